"""The worker against the bare tutorial loop, Celery and Dramatiq, on one broker in one run.

Usage: python -m benchmarks.worker.run [--rounds 5] [--queue-type classic] [--rabbitmq 3.10] [--output FOLDER].
Two minutes for each round of a queue type. It starts a RabbitMQ of its own on loopback; the queue is full before a
contender starts.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer import Publisher

from benchmarks.rounds import Run, facts, take_turns, write
from benchmarks.worker import peers
from benchmarks.worker.contenders import QUEUE, Contender, contenders
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
#: Seconds for one contender's run; the slowest takes about ten on an idle machine.
DEADLINE_SECONDS = 60.0
#: After the last task; a contender may ack a little later.
ACK_SECONDS = 15.0
BASELINE = "bare loop"
#: Tasks that wait, for each that a contender does at a time: 20 to 30 turns, of which the last four fifths are timed.
WAITING_TASKS_ALONE, WAITING_TASKS_EACH = 125, 60
VHOST = "/"


@dataclass(frozen=True)
class Work:
    """What a contender is to do."""

    queue_type: str
    tasks: int
    #: Seconds that a task waits.
    task_seconds: float

    @property
    def name(self) -> str:
        return f"{self.task_seconds * 1000:.0f} ms tasks" if self.task_seconds else "no-op tasks"


def main() -> None:
    """Run everything and write it down."""
    options = _options()
    programs = peers.programs()
    failures: list[str] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(RabbitMQServer(Path(directory) / "broker", options.rabbitmq)) as server,
    ):
        server.start()
        rabbitmq = server.release
        runs = _runs(server, Path(directory), programs, options)
        rates = list(take_turns(runs, options.rounds, options.minutes, failures))
    recorded = facts(f"python benchmarks/worker/{shlex.join(['run.py', *sys.argv[1:]])}", rabbitmq) | peers.versions()
    recorded |= {"rounds": str(max(rate.round for rate in rates)), "failed": "; ".join(failures) or "none"}
    write(options.output, "-".join(["rabbitmq", options.rabbitmq, *options.queue_type]), recorded, rates, [BASELINE])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="at least 1 (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=5000, help="no-op tasks in each run (default: %(default)s)")
    types = ("quorum", "classic")
    minutes = "start no round that would end later (default: 12 for each queue type)"
    parser.add_argument("--queue-type", choices=types, action="append", help="may be given twice (default: quorum)")
    parser.add_argument("--minutes", type=float, help=minutes)
    parser.add_argument("--rabbitmq", default="3.10", help="version (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder to write to")
    options = parser.parse_args()
    options.queue_type = options.queue_type or ["quorum"]
    options.minutes = options.minutes or 12.0 * len(options.queue_type)
    return options


def _runs(server: RabbitMQServer, directory: Path, programs: Path, options: argparse.Namespace) -> list[Run]:
    """One shape's contenders stand side by side, so that they meet the same machine."""
    runs = []
    for queue_type in options.queue_type:
        for prefetch in (1, 16):
            for seconds in (0.0, 0.010):
                for contender in contenders(prefetch, queue_type, programs):
                    work = Work(queue_type, _tasks(contender, options.tasks, seconds), seconds)
                    shape = f"{queue_type} queue, {work.name}, prefetch {prefetch}"
                    runs.append(Run(shape, contender.name, _Measurement(server, directory, contender, work)))
    return runs


def _tasks(contender: Contender, no_ops: int, seconds: float) -> int:
    if not seconds:
        return no_ops
    return WAITING_TASKS_ALONE if contender.concurrency == 1 else WAITING_TASKS_EACH * contender.concurrency


@dataclass(frozen=True)
class _Measurement:
    server: RabbitMQServer
    directory: Path
    contender: Contender
    work: Work

    def __call__(self) -> float:
        """The rate; raises when the contender does not come to its end, or leaves a task in the queue."""
        try:
            return self._measure()
        finally:
            self._delete_queues()

    def _delete_queues(self) -> None:
        """Celery's queues for delays stay, as making them takes longer than everything else."""
        with TaskQueue(self.server, VHOST, self._queue.type).channel() as channel:
            for end in ("", ".dead", ".DQ", ".XQ"):  # also our dead letters, and Dramatiq's
                channel.queue_delete(QUEUE + end)

    @property
    def _queue(self) -> QueueDeclaration:
        return QueueDeclaration(QUEUE, QueueType(self.work.queue_type.capitalize()))

    def _measure(self) -> float:
        result = self.directory / "result"
        result.unlink(missing_ok=True)
        environment = self._environment(result)
        self._send(environment)
        log = self.directory / "contender.log"
        with _running(self.contender.command, environment, log) as process:

            def ended() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.contender.name} ended: {log.read_text(encoding='utf-8')[-2000:]}")
                return result.exists()

            wait_until(ended, DEADLINE_SECONDS, f"{self.contender.name} does its {self.work.tasks} tasks")
            acked = lambda: self.server.counts(VHOST, QUEUE) == (0, 0)  # noqa: E731
            wait_until(acked, ACK_SECONDS, f"{self.contender.name} has acked every task")
        return float(result.read_text(encoding="utf-8"))

    def _environment(self, result: Path) -> dict[str, str]:
        uri = self.server.uri(VHOST)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "WORKER_"))},
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "AMQP_URL": uri,
            "BENCHMARK_URI": uri,
            "BENCHMARK_QUEUE": QUEUE,
            "BENCHMARK_QUEUE_TYPE": self.work.queue_type,
            "BENCHMARK_TASKS": str(self.work.tasks),
            "BENCHMARK_TASK_SECONDS": str(self.work.task_seconds),
            "BENCHMARK_PREFETCH": str(self.contender.prefetch),
            "BENCHMARK_RESULT": str(result),
            **self.contender.variables,
        }

    def _send(self, environment: dict[str, str]) -> None:
        if self.contender.sends:
            subprocess.run(self.contender.sends, env=environment, cwd=HERE, check=True, timeout=DEADLINE_SECONDS)
        else:
            with Publisher(self.server.address(VHOST), self._queue) as publisher:
                publisher.publish_many(b"task" for _ in range(self.work.tasks))
        full = lambda: self.server.counts(VHOST, QUEUE) == (self.work.tasks, 0)  # noqa: E731
        wait_until(full, DEADLINE_SECONDS, f"the queue has {self.work.tasks} tasks for {self.contender.name}")


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, and whatever it started, end with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=HERE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # all is acked or failed by now, and a leave in order takes seconds
        process.wait()


if __name__ == "__main__":
    main()
