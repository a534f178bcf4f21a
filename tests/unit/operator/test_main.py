"""The command line: an installation without Kubernetes says what it can do."""

import subprocess
import sys

import pytest

#: As if these had never been installed.
WITHOUT = (
    "import sys; sys.modules.update(kopf=None, kubernetes=None); from workqueue_operator.__main__ import main; main()"
)


@pytest.mark.parametrize("words", [(), ("run",), ("explain", "team/orders")])
def test_without_kubernetes_a_command_for_a_cluster_names_the_extra(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not installed, which a cluster needs: install the extra `operator`" in done.stderr
    assert "workqueue-operator local FILE" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_kubernetes_there_is_still_local() -> None:
    words = ("explain", "--local", "nowhere/nothing")
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no `workqueue-operator local` of yours runs WorkQueue nowhere/nothing" in done.stderr
