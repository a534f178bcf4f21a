"""The folder of a `local` that runs is found by its lock, and what a killed one left is removed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workqueue_operator.local.state_folder import StateFolder, Unusable, find_workqueue
from workqueue_operator.resource import Key

ORDERS = Key("team", "orders")


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "workqueue-local"


def body(**status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": "orders"}, "status": status}


def test_a_workqueue_is_found_while_its_local_runs_and_not_afterwards(base: Path) -> None:
    first, second = StateFolder(), StateFolder()
    assert find_workqueue(ORDERS) is None
    first.write([])
    second.write([body(replicas=3)])
    assert find_workqueue(ORDERS) == body(replicas=3)
    second.write([body(replicas=4)])
    assert find_workqueue(ORDERS) == body(replicas=4)
    second.close()
    assert find_workqueue(ORDERS) is None
    first.close()
    assert [path.name for path in base.iterdir()] == ["lock"]


def test_what_a_killed_one_left_is_removed_by_the_next(base: Path) -> None:
    code = "import os\nfrom workqueue_operator.local.state_folder import StateFolder\n"
    code += "made = StateFolder()\nmade.write([])\nos.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = [path for path in base.iterdir() if path.is_dir()]
    assert find_workqueue(ORDERS) is None
    running = StateFolder()
    assert not left.exists()
    assert running.path.is_dir()
    running.close()


def test_a_folder_that_others_may_read_is_refused(base: Path) -> None:
    base.mkdir()
    os.chmod(base, 0o755)
    with pytest.raises(Unusable, match="is not a folder of this user alone: remove it"):
        StateFolder()
