"""Leaving loses nothing, and with time enough runs nothing twice: workers get SIGTERM at any moment, and a ledger."""

import random
import signal
from enum import StrEnum

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

LEAVES = 8  # in each round
WORKERS = 2
TASKS_PER_LEAVE = 4
BODIES = ("sleep 0", "sleep 0.05", "sleep 0.3", "fail-until 2", "retry-until 2", "reject no")
#: The leave during which the broker takes no copy of a failed task, and the one before which it cuts all workers off.
ALARMED, CUT_OFF = 3, 6


class Asked(StrEnum):
    """How a worker is asked to leave."""

    ONCE = "once"
    TWICE = "twice"
    #: Its grace period ends before some of its tasks do.
    IN_A_HURRY = "in-a-hurry"


class Crew:
    """Workers on one queue, each of whom leaves some time."""

    def __init__(self, queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, asked: Asked) -> None:
        seed = random.randrange(1_000_000)
        print(f"seed {seed}")
        self._chance = random.Random(seed)
        self._queue, self._start_worker, self._ledger, self._asked = queue, start_worker, ledger, asked
        self.sent: dict[str, str] = {}
        self.left: list[WorkerProcess] = []
        self.at_work = [self._start() for _ in range(WORKERS)]

    def _start(self) -> WorkerProcess:
        grace = "0.1" if self._asked is Asked.IN_A_HURRY else "60"
        flags = ("--max-attempts", "1000", "--retry-max-delay", "0.3", "--grace-period", grace)
        return self._start_worker(self._queue, "by_body", *flags, "--concurrency", str(self._chance.choice([1, 3])))

    def send(self) -> None:
        tasks = {f"t{len(self.sent) + number}": self._chance.choice(BODIES) for number in range(TASKS_PER_LEAVE)}
        self._queue.send(*tasks.values(), ids=list(tasks))
        self.sent.update(tasks)

    def any_moment(self) -> None:
        """At once, as one may still start or connect; or some lines of the ledger later, in the midst of the work."""
        lines = len(self._ledger()) + self._chance.randrange(6)
        wait_until(lambda: len(self._ledger()) >= lines or not any(self._queue.counts()), 60, "tasks are worked on")

    def leave(self) -> None:
        self.left.append(self.at_work.pop(0))
        for _ in range(2 if self._asked is Asked.TWICE else 1):
            self.left[-1].terminate()

    def change(self) -> None:
        self.leave()
        self.at_work.append(self._start())

    def exit_codes(self) -> set[int]:
        """Of all who had begun: one whose Python was still starting has heard no signal and taken no task."""
        while self.at_work:
            self.leave()
        codes = [(worker.exit_code(), worker) for worker in self.left]
        return {code for code, worker in codes if code != -signal.SIGTERM or worker.log}


@pytest.mark.once
@pytest.mark.kills
@pytest.mark.parametrize("type_", list(QueueType))
@pytest.mark.parametrize("asked", list(Asked))
def test_a_worker_asked_to_leave_at_any_moment(
    own_rabbitmq: RabbitMQServer,
    start_worker: StartWorker,
    ledger: Ledger,
    rounds: int,
    asked: Asked,
    type_: QueueType,
) -> None:
    """Asked once and with time enough, each task is done once, by the worker that had it; else at least once."""
    queue = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_).declare()
    crew = Crew(queue, start_worker, ledger, asked)
    for number in [*range(LEAVES)] * rounds:
        crew.send()
        if number == CUT_OFF and asked is not Asked.ONCE:  # it costs acks, and so second runs
            crew.at_work[0].ready()
            queue.close_connections()
        crew.any_moment()
        own_rabbitmq.set_memory_alarm(number == ALARMED)
        crew.change()
        own_rabbitmq.set_memory_alarm(False)
    queue.wait_for_counts(0, 0, seconds=60)
    codes = crew.exit_codes()
    dead_lettered = [properties.message_id for properties, _ in queue.dead.take_all()]
    done = [line.id for line in ledger() if line.word == "done"]
    to_be_dead_lettered = {name for name, text in crew.sent.items() if text.startswith("reject")}
    assert (set(dead_lettered), set(done)) == (to_be_dead_lettered, crew.sent.keys() - to_be_dead_lettered)
    if asked is Asked.ONCE:
        assert codes == {0}
        assert (len(dead_lettered), len(done)) == (len(set(dead_lettered)), len(set(done)))
    else:
        assert codes <= {0, 75}
