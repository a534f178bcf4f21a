"""new-task with standard streams that are closed, full, broken or fed: the exit code is about the tasks alone."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.task_queue import TaskQueue

pytestmark = pytest.mark.any_rabbitmq

NEW_TASK = f"{sys.executable} -m workqueue_producer"


def shell(queue: TaskQueue, directory: Path, line: str, stdin: int = subprocess.DEVNULL) -> tuple[int, str, str]:
    """Run the line, in which NEW stands for new-task; the exit code is new-task's."""
    line = f"{line.replace('NEW', NEW_TASK)}; exit ${{PIPESTATUS[${{FROM:-0}}]}}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "QUEUE_"))}
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment | {"AMQP_URL": queue.uri},
        cwd=directory,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def bodies(queue: TaskQueue) -> list[bytes]:
    return [body for _, body in queue.take_all()]


@pytest.mark.parametrize("line", ["NEW hello | true", "NEW hello --json | true", "NEW hello >&-", "NEW hello >&- 2>&-"])
def test_no_reader_is_no_failure(quorum_queue: TaskQueue, tmp_path: Path, line: str) -> None:
    assert shell(quorum_queue, tmp_path, line) == (0, "", "")
    assert bodies(quorum_queue) == [b"hello"]


@pytest.mark.parametrize("flags", ["", "--json", "--repeat 3"])
def test_a_full_output_is_reported_and_the_exit_code_stays_true(
    quorum_queue: TaskQueue, tmp_path: Path, flags: str
) -> None:
    code, _, err = shell(quorum_queue, tmp_path, f"NEW hello {flags} > /dev/full")
    assert (code, err) == (0, "new-task: cannot write to the standard output: No space left on device\n")
    assert set(bodies(quorum_queue)) == {b"hello"}


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_what_went_wrong_and_cannot_be_said_keeps_its_exit_code(
    quorum_queue: TaskQueue, tmp_path: Path, closed: str
) -> None:
    code, out, _ = shell(quorum_queue, tmp_path, f"NEW hello --queue nowhere --declare Never --json {closed}")
    assert code == 3
    assert [json.loads(line)["exit_code"] for line in out.splitlines()] in ([3], [])
    assert shell(quorum_queue, tmp_path, f"NEW --repeat 0 {closed}")[:2] == (2, "")


def test_a_letter_that_the_output_cannot_encode_is_no_failure(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    code, out, err = shell(quorum_queue, tmp_path, "PYTHONUTF8=0 PYTHONIOENCODING=ascii NEW 'caf\u00e9'")
    assert (code, out, err) == (0, " [x] Sent 'caf\\xe9'\n", "")


def test_a_progress_that_no_person_can_see_stops_nothing(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    code, out, _ = shell(quorum_queue, tmp_path, "NEW x --repeat 2000 2>/dev/full")
    assert (code, out.startswith(" [x] Sent 2000 tasks")) == (0, True)
    assert len(bodies(quorum_queue)) == 2000


@pytest.mark.parametrize("line", ["printf '1\\n' | FROM=1 NEW", "FROM=0 NEW < given", "sleep 0 | FROM=1 NEW"])
def test_an_input_without_a_word_about_it_is_refused_with_the_remedies(
    quorum_queue: TaskQueue, tmp_path: Path, line: str
) -> None:
    (tmp_path / "given").write_text("1\n", encoding="utf-8")
    source = 1 if "|" in line else 0
    code, out, err = shell(quorum_queue, tmp_path, f"FROM={source}; {line.replace(f'FROM={source} ', '')}")
    assert (code, out) == (2, "")
    assert "'new-task -' sends each of its lines" in err
    assert bodies(quorum_queue) == []


@pytest.mark.parametrize("line", ["NEW", "NEW < /dev/null", "NEW <&-", "NEW < /dev/zero"])
def test_hello_world_is_sent_where_nothing_is_fed(quorum_queue: TaskQueue, tmp_path: Path, line: str) -> None:
    assert shell(quorum_queue, tmp_path, line) == (0, " [x] Sent 'Hello World!'\n", "")
    assert bodies(quorum_queue) == [b"Hello World!"]


def test_hello_world_is_sent_from_a_terminal(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    try:
        assert shell(quorum_queue, tmp_path, "NEW", stdin=child)[0] == 0
    finally:
        os.close(parent)
        os.close(child)
    assert bodies(quorum_queue) == [b"Hello World!"]


def test_a_whole_file_is_one_task(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(b'{\n  "order": 1\n}\n')
    code, out, _ = shell(quorum_queue, tmp_path, "NEW --body-file body.json")
    assert (code, out.startswith(" [x] Sent 1 tasks to task_queue")) == (0, True)
    assert shell(quorum_queue, tmp_path, "NEW --body-file - < body.json")[0] == 0
    assert shell(quorum_queue, tmp_path, "NEW --body-file missing")[0] == 2
    assert bodies(quorum_queue) == [b'{\n  "order": 1\n}\n'] * 2


def test_the_version_is_that_of_the_package(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    assert shell(quorum_queue, tmp_path, "NEW --version")[:2] == (0, "new-task 0.1.0\n")
