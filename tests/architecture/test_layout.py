"""The shape of the tree: what must not be there, and what must not be needed."""

import operator
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_operator_is_a_plain_directory() -> None:
    """With an __init__.py at the root, `operator` would hide Python's own module of that name."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_pythons_own_operator_module_is_the_one_that_is_imported() -> None:
    assert operator.__file__ is not None
    assert Path(operator.__file__).parent == Path(sysconfig.get_path("stdlib"))


def test_python_starts_at_the_root_without_site_packages() -> None:
    """A .pth file may import `operator` early and so hide the clash; -S runs none."""
    subprocess.run([sys.executable, "-S", "-c", "import collections, json"], cwd=ROOT, check=True)


@pytest.mark.parametrize("package", ["workqueue_broker", "workqueue_producer", "workqueue_worker"])
def test_the_images_packages_import_without_the_operators_libraries(package: str) -> None:
    """Every module is imported in an interpreter in which kopf, kubernetes and aiohttp cannot be."""
    code = f"""
import sys, pkgutil, importlib
for name in ("kopf", "kubernetes", "aiohttp"):
    sys.modules[name] = None
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_trick_of_the_test_before_works() -> None:
    """A library that is hidden that way really cannot be imported."""
    code = "import sys; sys.modules['kopf'] = None\nimport kopf"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"ModuleNotFoundError" in done.stderr


def test_one_function_of_the_operator_and_its_library_makes_foreign_text_fit_to_be_shown() -> None:
    parts = [ROOT / "operator" / "workqueue_operator", ROOT / "broker" / "workqueue_broker"]
    own = {path.name for part in parts for path in part.glob("*.py") if "isprintable() else" in path.read_text()}
    assert own == {"foreign_text.py"}


def test_loops_and_passes_wait_by_the_operators_clock() -> None:
    """So that a test can let their time pass. kopf's thread alone has an event loop, and waits, of its own."""
    package = ROOT / "operator" / "workqueue_operator"
    paths = [path for folder in ("loops", "passes") for path in (package / folder).rglob("*.py")]
    waits = re.compile(r"asyncio\.sleep|asyncio\.timeout|\btime\.(?:monotonic|time|sleep)|loop\(\)\.time")
    assert [path.name for path in paths if waits.search(path.read_text())] == ["kopf_watch.py"]


def test_the_simulation_runs_the_operators_own_passes_and_decides_nothing_itself() -> None:
    """So that what docs/benchmarks/simulation.md compares with KEDA is what the image does."""
    ours = (ROOT / "benchmarks" / "simulation" / "ours.py").read_text()
    assert "workqueue_operator.wiring" in ours
    assert "scaling.decision" not in ours


def test_one_place_wires_the_operators_passes_and_loops() -> None:
    """Tests, benchmarks and the assembly call it, so that each of them runs the wiring that the image runs."""
    parts = ("Gatherer", "Applier", "Reporter", "Reconciler", "Scheduler")
    pattern = re.compile(rf"\b(?:{'|'.join(parts)})\(")
    folders = [ROOT / name for name in ("operator", "tests", "benchmarks", "dev")]
    wiring = {path.name for folder in folders for path in folder.rglob("*.py") if pattern.search(path.read_text())}
    assert wiring == {"wiring.py", "reconcile.py"}
