"""Commands: what they get of a task, and how they end."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from workqueue_worker.cancellation import Cancellation
from workqueue_worker.command import CommandHandler, environment_of
from workqueue_worker.settlement import Failed, Finished
from workqueue_worker.task import Task

from tests.support.described import DESCRIBED
from tests.support.waiting import wait_until


def task(**changes: Any) -> Task:
    return Task(**({"id": "m1", "queue": "q"} | changes))


def test_headers_of_every_kind_reach_a_command_as_json() -> None:
    strange = {"nan": float("nan"), "bytes": b"\xff", "nested": {"\\xff": [b"\xfe", None, 1.5]}, 5: 6}
    text = environment_of(task(headers=strange))["TASK_HEADERS"]
    found = json.loads(text, parse_constant=pytest.fail)
    assert found == {"nan": "nan", "bytes": "b'\\xff'", "nested": {"\\xff": ["b'\\xfe'", None, 1.5]}, "5": 6}


def test_a_command_that_ends_in_order_after_sigterm_has_done_its_work(tmp_path: Path) -> None:
    def run(ends_with: str) -> object:
        (tmp_path / "ready").unlink(missing_ok=True)
        script = f"trap '{ends_with}' TERM; touch {tmp_path}/ready; while true; do sleep 0.01; done"
        cancellation = Cancellation()
        outcomes: list[object] = []
        work = CommandHandler(["sh", "-c", script])
        thread = threading.Thread(target=lambda: outcomes.append(work.run(b"", task(cancelled=cancellation))))
        thread.start()
        wait_until((tmp_path / "ready").exists, 30, "the command runs")
        cancellation.set()
        thread.join()
        return outcomes[0]

    assert run("exit 0") == Finished()
    assert isinstance(run("exit 1"), Failed)


def test_a_command_that_has_ended_gets_no_late_signal(tmp_path: Path) -> None:
    """Its number may be another's by then. A child that it left behind listens in its place."""
    cancellation = Cancellation()
    child = f"""
        trap 'touch {tmp_path}/ended' TERM; trap 'touch {tmp_path}/asked' WINCH; touch {tmp_path}/listens
        while true; do sleep 0.01; done"""
    script = f'sh -c "$0" & echo $! > {tmp_path}/child; until [ -e {tmp_path}/listens ]; do sleep 0.01; done'
    assert CommandHandler(["sh", "-c", script, child]).run(b"", task(cancelled=cancellation)) == Finished()
    number = int((tmp_path / "child").read_text())
    cancellation.set()
    os.kill(number, signal.SIGWINCH)  # the higher number: a shell looks at it after SIGTERM
    wait_until((tmp_path / "asked").exists, 30, "the child has looked at its signals")
    os.kill(number, signal.SIGKILL)
    assert not (tmp_path / "ended").exists()


def test_a_command_runs_where_python_has_no_waitid() -> None:
    """As on macOS before Python 3.13, in a process of its own."""
    program = """
import os
del os.waitid
from workqueue_worker.command import CommandHandler
from workqueue_worker.task import Task
print(CommandHandler(["sh", "-c", "cat > /dev/null; exit 3"]).run(b"body", Task()))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert "the command ended with exit code 3" in ran.stdout, ran.stderr


def test_a_nul_in_metadata_is_an_escape_as_no_environment_can_hold_it() -> None:
    nul = task(id="a\x00b", app_id="\x00", headers={"h": "\x00"})
    known = environment_of(nul)
    assert (known["TASK_ID"], known["TASK_APP_ID"]) == ("a\\x00b", "\\x00")
    assert CommandHandler(["true"]).run(b"", nul) == Finished()


def test_a_command_sees_all_properties_and_only_those_that_are_there() -> None:
    properties = {**DESCRIBED, "user_id": "guest"}
    known = environment_of(task(**properties))
    assert {f"TASK_{name.upper()}": str(value) for name, value in properties.items()}.items() <= known.items()
    assert set(environment_of(Task())) == {"TASK_QUEUE", "TASK_ATTEMPT", "TASK_REDELIVERED", "TASK_HEADERS"}
