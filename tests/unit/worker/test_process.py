"""The worker as a process: its end, its standard streams, process 1, and what it says of a handler's code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

WORKER = [sys.executable, "-m", "workqueue_worker"]
NO_BROKER = {"AMQP_URL": "amqp://127.0.0.1:1/"}
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "ctrl-c"])


def environment(**variables: str) -> dict[str, str]:
    mine = ("AMQP_", "WORKER_", "LOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)} | variables


def run_one(folder: Path, *words: str, body: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [*WORKER, "run-one", *words]
    return subprocess.run(
        *(command,),
        input=body,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def run_in_shell(folder: Path, words: str) -> subprocess.CompletedProcess[bytes]:
    """The worker's command line with redirections, as a person writes them."""
    script = f"{sys.executable} -m workqueue_worker {words}"
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment(), check=False, timeout=50)


# The end.

#: A thread that is no daemon, as libraries leave them; it ends when a file is there, which no test makes in time.
STAYS = """
import threading, time
from pathlib import Path
def stay():
    while not Path("release").exists():
        time.sleep(0.05)
threading.Thread(target=stay, name="of a library").start()
Path("imported").touch()
def handle(body, task):
    pass
"""


def start_worker_that_stays(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    (folder / "stays.py").write_text(STAYS)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*WORKER, "run", "--handler", "stays:handle", "--metrics-port", "0"],
            cwd=folder,
            env=environment(**NO_BROKER, **variables),
            stderr=log,
        )


def read(path: Path) -> str:
    return path.read_text()


@SIGNALS
def test_a_worker_ends_after_it_left_whatever_threads_a_library_left(tmp_path: Path, number: signal.Signals) -> None:
    process = start_worker_that_stays(tmp_path)
    try:
        wait_until(lambda: "not consuming" in read(tmp_path / "log"), 30, "it works")
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert "left exit_code=0" in read(tmp_path / "log")
    assert "Threads that are no daemons keep it: of a library" in read(tmp_path / "log")


def test_a_signal_after_it_left_ends_it_at_once_with_the_same_code(tmp_path: Path) -> None:
    process = start_worker_that_stays(tmp_path)
    try:
        wait_until(lambda: "not consuming" in read(tmp_path / "log"), 30, "it works")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: "left" in read(tmp_path / "log"), 30, "it has left")

        def ended() -> bool:
            process.send_signal(signal.SIGINT)  # again and again: "left" is logged before it listens for these
            return process.poll() is not None

        wait_until(ended, 30, "it ends")
        assert process.returncode == 0
    finally:
        process.kill()
    assert "Threads that are no daemons" not in read(tmp_path / "log")


@pytest.mark.parametrize("command", ["run", "check", "run-one"])
def test_no_command_is_kept_by_such_a_thread(tmp_path: Path, command: str) -> None:
    """`run` ends here as the module fails after it has started its thread."""
    (tmp_path / "stays.py").write_text(STAYS + ("1 / 0" if command == "run" else ""))
    done = subprocess.run(
        [*WORKER, command, "--handler", "stays:handle"],
        cwd=tmp_path,
        env=environment(**NO_BROKER),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == {"run": 2, "check": 1, "run-one": 0}[command]


# Standard streams.


@pytest.mark.parametrize("stdout", ["> /dev/full", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "| true; exit ${PIPESTATUS[0]}"])
def test_exit_codes_are_true_when_the_output_has_no_reader(tmp_path: Path, stdout: str) -> None:
    assert run_in_shell(tmp_path, f"run-one < /dev/null {stdout}").returncode == 0
    stops = run_in_shell(tmp_path, f"run-one --task-timeout 0.1 -- sleep 987 < /dev/null {stdout}")
    assert stops.returncode == 75


def test_a_check_without_a_reader_says_by_its_exit_code_what_it_found(tmp_path: Path) -> None:
    assert run_in_shell(tmp_path, "check --handler nothing:handle > /dev/full").returncode == 1


@pytest.mark.parametrize("stdout", [">&-", "> /dev/full"])
def test_a_handler_may_print_though_nothing_takes_it(tmp_path: Path, stdout: str) -> None:
    (tmp_path / "prints.py").write_text("def handle(body, task):\n    print('x' * 100_000, flush=True)\n")
    assert run_in_shell(tmp_path, f"run-one --handler prints:handle < /dev/null {stdout}").returncode == 0


@pytest.mark.parametrize("spoils", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout = open('/dev/full', 'w')"])
def test_a_handler_that_spoils_stdout_changes_no_exit_code(tmp_path: Path, spoils: str) -> None:
    lines = f"import sys\ndef handle(body, task):\n    {spoils}\n    sys.stdout and sys.stdout.closed or print('x')\n"
    (tmp_path / "spoils.py").write_text(lines)
    assert run_in_shell(tmp_path, "run-one --handler spoils:handle < /dev/null").returncode == 0


#: Its object goes as Python takes its modules apart, when a signal's handlers are no longer there.
SIGNALLED_LAST = """
import os, signal
class Last:
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.{name}):
        kill(process, number)
last = Last()
def handle(body, task):
    pass
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_the_last_moment_changes_no_exit_code(tmp_path: Path, name: str) -> None:
    (tmp_path / "last.py").write_text(SIGNALLED_LAST.format(name=name))
    assert run_in_shell(tmp_path, "run-one --handler last:handle < /dev/null").returncode == 0


# Process 1.

#: Leaves an orphan, and says whether process 1 reaps it; the exit code of its own child must stay its own.
ORPHAN = """
import os, subprocess, sys, time
from pathlib import Path
def handle(body, task):
    child = subprocess.Popen(["sh", "-c", "sleep 0.05 & echo $!; exit 7"], stdout=subprocess.PIPE, text=True)
    orphan = int(child.communicate()[0])
    assert child.returncode == 7, child.returncode
    until = time.monotonic() + 20
    while Path(f"/proc/{orphan}").exists():
        assert time.monotonic() < until, "a zombie"
        time.sleep(0.02)
"""


def as_process_1(*command: str) -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    space = ["unshare", *rights, "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*space, "true"], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no process namespace can be made: unshare fails")
    return [*space, *command]


def test_as_process_1_it_reaps_orphans_and_takes_no_exit_code_from_a_handler(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN)
    done = subprocess.run(
        as_process_1(*WORKER, "run-one", "--handler", "orphan:handle"),
        input=b"",
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, b"done\n")


@pytest.mark.parametrize(("script", "exit_code"), [("exit 65", 65), ("exit 1", 75)])
def test_as_process_1_its_exit_code_is_the_workers(tmp_path: Path, script: str, exit_code: int) -> None:
    command = as_process_1(*WORKER, "run-one", "--", "sh", "-c", script)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment(), check=False, timeout=50)
    assert done.returncode == exit_code


def child_of(process: int) -> int:
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


@SIGNALS
def test_as_process_1_it_passes_signals_on(tmp_path: Path, number: signal.Signals) -> None:
    with (tmp_path / "log").open("wb") as log:
        space = subprocess.Popen(
            as_process_1(*WORKER, "run", "--metrics-port", "0"), env=environment(**NO_BROKER), stderr=log
        )
    try:
        wait_until(lambda: "not consuming" in read(tmp_path / "log"), 30, "it works")
        os.kill(child_of(space.pid), number)
        assert space.wait(30) == 0
    finally:
        space.kill()
    assert "left exit_code=0" in read(tmp_path / "log")


def test_as_process_1_a_killed_worker_is_said_as_a_shell_says_it(tmp_path: Path) -> None:
    (tmp_path / "kills.py").write_text(
        "import os, signal\ndef handle(body, task):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = as_process_1(*WORKER, "run-one", "--handler", "kills:handle")
    done = subprocess.run(command, input=b"", cwd=tmp_path, env=environment(), check=False, timeout=50)
    assert done.returncode == 128 + signal.SIGKILL


# What it says of a handler's code.


def test_a_failed_attempt_is_shown_with_its_traceback_from_the_handlers_first_line(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("def handle(body, task):\n    return {}['missing']\n")
    done = run_one(tmp_path, "--handler", "fails:handle")
    first, second, third, *_, last = done.stderr.splitlines()
    assert (first, second) == ("retry: KeyError: 'missing'", "Traceback (most recent call last):")
    assert third == f'  File "{tmp_path}/fails.py", line 1, in handle'.replace("line 1", "line 2")
    assert last == "KeyError: 'missing'"
    assert "workqueue_worker" not in done.stderr


def test_reject_and_retry_are_answers_and_have_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "rejects.py").write_text(
        "from workqueue_worker.task import Reject\ndef handle(body, task):\n    raise Reject('no')\n"
    )
    assert run_one(tmp_path, "--handler", "rejects:handle").stderr == "reject: no\n"


def _failed_import(folder: Path) -> None:
    (folder / "outer.py").write_text("import inner\n")
    (folder / "inner.py").write_text("import os\nDATABASE = os.environ['DATABASE_URL_OF_A_TEAM']\n")


@pytest.mark.parametrize("command", ["run", "check", "run-one"])
def test_a_failed_import_is_shown_with_its_traceback(tmp_path: Path, command: str) -> None:
    _failed_import(tmp_path)
    done = subprocess.run(
        [*WORKER, command, "--handler", "outer:handle"],
        cwd=tmp_path,
        env=environment(**NO_BROKER),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    said = done.stdout + done.stderr
    assert "handler 'outer:handle' cannot be imported: KeyError: 'DATABASE_URL_OF_A_TEAM'\n" in said
    assert f'File "{tmp_path}/inner.py", line 2, in <module>' in said
    assert "importlib" not in said


def test_a_failed_import_is_one_line_of_a_json_log(tmp_path: Path) -> None:
    _failed_import(tmp_path)
    done = run_one(tmp_path, "--handler", "outer:handle", LOG_FORMAT="json")
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["level"] == "error"
    assert "cannot be imported" in line["message"]
    assert f'File "{tmp_path}/inner.py", line 2' in line["exception"]


PARAMETERS: list[tuple[str, Callable[[str], bool]]] = [
    ("def handle(body): pass", lambda said: "its parameters are (body)" in said),
    ("async def handle(): pass", lambda said: "its parameters are ()" in said),
    ("def handle(body, task, *, must): pass", lambda said: "(body, task, *, must)" in said),
]


@pytest.mark.parametrize(("source", "is_said"), PARAMETERS, ids=[source for source, _ in PARAMETERS])
def test_a_handler_that_cannot_be_called_with_two_arguments_is_refused(
    tmp_path: Path, source: str, is_said: Callable[[str], bool]
) -> None:
    (tmp_path / "wrong.py").write_text(f"{source}\n")
    done = run_one(tmp_path, "--handler", "wrong:handle")
    assert done.returncode == 2
    assert is_said(done.stderr), done.stderr
    assert "def handle(body, task)" in done.stderr


@pytest.mark.parametrize(
    "source", ["def handle(*args): pass", "handle = print", "def handle(body, task, more=1): pass", "handle = dict"]
)
def test_whatever_can_be_called_with_two_arguments_is_taken(tmp_path: Path, source: str) -> None:
    (tmp_path / "right.py").write_text(f"{source}\n")
    assert "cannot be called" not in run_one(tmp_path, "--handler", "right:handle").stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORKER_HANLDER": "x:y"}, "WORKER_HANLDER, which is no setting of a worker's: is WORKER_HANDLER meant?"),
        ({"QUEUE_NAME": "orders"}, "the tutorial's handler does the tasks of queue 'orders'"),
    ],
)
def test_a_worker_that_does_real_tasks_with_the_tutorials_handler_warns(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*WORKER, "--metrics-port", "0"], env=environment(**NO_BROKER, **variables), stdout=log, stderr=log
        )
    try:
        wait_until(lambda: words in read(tmp_path / "log"), 30, "the warning")
    finally:
        process.kill()
        process.wait()


def test_one_body_is_run_with_id_headers_and_content_type(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text(
        "def handle(body, task):\n    print(body, task.id, task.headers, task.content_type)\n"
    )
    words = ("--id", "m7", "--header", "a=1", "--header", "b=x=y", "--content-type", "text/plain")
    done = run_one(tmp_path, "--handler", "shows:handle", *words, body="B")
    assert done.stdout == "b'B' m7 {'a': '1', 'b': 'x=y'} text/plain\n"


def test_help_without_a_subcommand_shows_the_settings_of_run_and_the_version_is_printed() -> None:
    def said(word: str) -> str:
        return subprocess.run([*WORKER, word], capture_output=True, text=True, check=True, env=environment()).stdout

    assert "WORKER_MAX_ATTEMPTS" in said("--help")
    assert said("--version") == f"workqueue-worker {version('workqueue')}\n"
