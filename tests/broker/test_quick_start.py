"""Each command of the quick start runs as the page has it, and its function is scaled by load."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh( terminal \d)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What the page installs is what these tests run in.
INSTALLED = re.compile(r"^(python3 -m venv|pip install|\. \S*activate).*$", re.MULTILINE)
SECONDS = 60.0


def blocks(terminal: str) -> list[str]:
    """The commands of a terminal in their order; "": before there are two."""
    page = (ROOT / "docs" / "quick-start.md").read_text()
    return [text for where, text in BLOCK.findall(page) if where.strip() == terminal]


@contextmanager
def running(script: str, folder: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """In the background; interrupted once, as by Ctrl+C, at the block's end. Gives the file with what it prints."""
    output = folder / "terminal-1"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {script}"],
            cwd=folder,
            env=variables,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield output
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0, output.read_text()
    finally:
        process.kill()


def test_the_quick_start_as_it_stands(rabbitmq: RabbitMQServer, tmp_path: Path) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM, "orders")
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "METRICS_"))},
        "AMQP_URL": queue.uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }

    def shell(script: str, folder: Path) -> str:
        command = ["bash", "-euc", INSTALLED.sub("", script)]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    tmp_path.chmod(0o700)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    _install, write, once = blocks("")
    shell(write, tmp_path)
    folder = tmp_path / "my-queue"
    assert "done: hello" in shell(once, folder)
    (local,), (send, explain) = blocks("terminal 1"), blocks("terminal 2")
    with running(local, folder, variables) as output:
        wait_until(lambda: "metrics: http" in output.read_text(), SECONDS, f"it runs; see {output}")
        shell(send, folder)
        wait_until(lambda: "-> 8: " in output.read_text(), SECONDS, f"8 workers; see {output}")
        assert "default/orders" in shell(explain, folder)
        heading, row = shell("workqueue-operator get", folder).splitlines()
        assert heading.split()[:3] == ["NAMESPACE", "NAME", "READY"]
        assert row.split()[:2] == ["default", "orders"]
        queue.wait_for_counts(0, 0, SECONDS)
        wait_until(lambda: "-> 0: " in output.read_text(), SECONDS, f"no worker is left; see {output}")
