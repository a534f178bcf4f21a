"""The Publisher and new-task against other ways to publish confirmed messages, on one broker in one run.

Usage: python -m benchmarks.publisher.run [--rounds 7] [--messages 20000] [--rabbitmq 3.10] [--output FOLDER]. Half a
minute a round. All send 100 bytes, persistent and mandatory. It starts a RabbitMQ of its own on loopback.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from workqueue_broker.declaration import QueueType

from benchmarks.publisher import go_client
from benchmarks.rounds import Run, facts, take_turns, write
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
BODY_BYTES = 100
WINDOW = 1000
DEADLINE_SECONDS = 120.0
QUEUE = "tasks"


@dataclass(frozen=True)
class Contender:
    """One way to publish."""

    name: str
    command: Sequence[str]
    messages: int
    #: Its rate, from what it printed.
    rate: Callable[[str], float] = float


def main() -> None:
    """Run everything and write it down."""
    options = _options()
    program = go_client.build()
    failures: list[str] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(RabbitMQServer(Path(directory) / "broker", options.rabbitmq)) as server,
    ):
        lines = Path(directory) / "tasks.txt"
        lines.write_text(("x" * BODY_BYTES + "\n") * options.messages, encoding="utf-8")
        server.start()
        rabbitmq = server.release
        runs = _runs(server, _contenders(options.messages, program, lines))
        rates = list(take_turns(runs, options.rounds, options.minutes, failures))
    recorded = facts(f"python benchmarks/publisher/{shlex.join(['run.py', *sys.argv[1:]])}", rabbitmq)
    recorded |= go_client.versions() | {
        "rounds": str(max(rate.round for rate in rates)),
        "failed": "; ".join(failures) or "none",
        "window": str(WINDOW),
        "bytes": str(BODY_BYTES),
    }
    baselines = ["one at a time", "bare window"]
    write(options.output, f"rabbitmq-{options.rabbitmq}", recorded, rates, baselines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="at least 1 (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=20_000, help="in each run (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="start no round after so many (default: %(default)g)"
    )
    parser.add_argument("--rabbitmq", default="3.10", help="version (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder to write to")
    return parser.parse_args()


def _contenders(messages: int, go_program: Path, lines: Path) -> list[Contender]:
    new_task = [sys.executable, "-m", "workqueue_producer", "--file", str(lines), "--json", "--window", str(WINDOW)]
    return [
        # Slow enough to be measured with a tenth.
        Contender("one at a time", [sys.executable, "one_at_a_time.py"], max(1, messages // 10)),
        Contender("bare window", [sys.executable, "bare_window.py"], messages),
        Contender("bare window, our properties", [sys.executable, "bare_window.py", "properties"], messages),
        Contender("publish_many", [sys.executable, "ours.py", "many"], messages),
        Contender("submit", [sys.executable, "ours.py", "submit"], messages),
        Contender("new-task --file", new_task, messages, _new_task_rate),
        Contender("Go client", [str(go_program)], messages),
    ]


def _new_task_rate(printed: str) -> float:
    """Its own seconds, in which it also connects, reads the file and closes."""
    summary = json.loads(printed)
    return float(summary["confirmed"] / summary["seconds"])


def _runs(server: RabbitMQServer, contenders: Sequence[Contender]) -> list[Run]:
    return [
        Run(f"{queue_type.lower()} queue", contender.name, _Measurement(server, queue_type, contender))
        for queue_type in QueueType
        for contender in contenders
    ]


@dataclass(frozen=True)
class _Measurement:
    server: RabbitMQServer
    queue_type: QueueType
    contender: Contender

    def __call__(self) -> float:
        """The rate; raises when the contender fails, or the queue has not every message."""
        vhost = self.server.new_vhost()
        try:
            queue = TaskQueue(self.server, vhost, self.queue_type, QUEUE).declare()
            printed = self._send(queue.uri)
            all_there = lambda: queue.counts() == (self.contender.messages, 0)  # noqa: E731
            wait_until(all_there, 30, f"every message of {self.contender.name} is in the queue")
            return self.contender.rate(printed)
        finally:
            self.server.management("DELETE", f"/api/vhosts/{vhost}")

    def _send(self, uri: str) -> str:
        variables = {
            "AMQP_URL": uri,
            "QUEUE_NAME": QUEUE,
            "QUEUE_TYPE": str(self.queue_type),
            "BENCHMARK_URI": uri,
            "BENCHMARK_QUEUE": QUEUE,
            "BENCHMARK_QUEUE_TYPE": self.queue_type.lower(),
            "BENCHMARK_MESSAGES": str(self.contender.messages),
            "BENCHMARK_WINDOW": str(WINDOW),
            "BENCHMARK_BODY_BYTES": str(BODY_BYTES),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "QUEUE_"))}
        done = subprocess.run(
            self.contender.command,
            env=inherited | variables,
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.contender.name} failed: {done.stderr[-2000:]}")
        return done.stdout


if __name__ == "__main__":
    main()
