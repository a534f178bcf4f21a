"""Nothing is lost: workers killed at random, the broker crashed and alarmed in between, and a ledger of it all."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError
from workqueue_broker.declaration import QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import Ledger, TaskQueue
from tests.support.valve import Valve
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

KILLS = 12  # in each round, with an alarm after one of them and a crash of the broker after another
WORKERS = 4
TASKS_PER_KILL = 3
ALARM, CRASH = 4, 9
#: High, since a kill counts as an attempt, and no task of this test deserves to be dead-lettered for one.
FLAGS = ("--max-attempts", "1000", "--retry-max-delay", "0.05")


def bodies(chance: random.Random) -> Iterator[str]:
    """Mostly short work, some that fails at first, some that is to be dead-lettered."""
    while True:
        yield chance.choice(["sleep 0", "sleep 0.05", "sleep 0.2", "fail-until 2", "reject no"])


class Producer:
    """Sends tasks, and knows which of them the broker has confirmed."""

    def __init__(self, queue: TaskQueue, chance: random.Random) -> None:
        self._queue = queue
        self._bodies = bodies(chance)
        self.sent: dict[str, str] = {}
        self.confirmed: set[str] = set()

    def send(self, count: int) -> None:
        tasks = {f"t{len(self.sent) + number}": next(self._bodies) for number in range(count)}
        self.sent.update(tasks)
        self._queue.send(*tasks.values(), ids=list(tasks))
        self.confirmed.update(tasks)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Goes on sending inside the block, one by one, whatever becomes of the broker."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.02):
                with suppress(AMQPError, OSError, AMQPConnectorException):  # then it is not confirmed
                    self.send(1)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.once
@pytest.mark.kills
@pytest.mark.parametrize("type_", list(QueueType))
def test_every_confirmed_task_is_finished_or_dead_lettered_though_workers_and_broker_are_killed(
    own_rabbitmq: RabbitMQServer, start_worker: StartWorker, ledger: Ledger, rounds: int, type_: QueueType
) -> None:
    """What was sent and not confirmed may be there or not."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    queue = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_).declare()
    producer = Producer(queue, chance)

    def start() -> WorkerProcess:
        return start_worker(queue, "by_body", *FLAGS, "--concurrency", str(chance.choice([1, 3])))

    def any_moment() -> None:
        """At once, perhaps while a worker starts or connects; or when some more lines are written: in the work."""
        lines = len(ledger()) + chance.randrange(6)
        wait_until(lambda: len(ledger()) >= lines or not any(queue.counts()), 60, "tasks are worked on")

    workers = [start() for _ in range(WORKERS)]
    for kill in [*range(KILLS)] * rounds:
        producer.send(TASKS_PER_KILL)
        any_moment()
        workers.pop(0).kill()
        workers.append(start())
        if kill == ALARM:
            own_rabbitmq.set_memory_alarm(True)
            for _ in range(WORKERS):  # tasks that need a copy are held now: kill who holds them
                workers.pop(0).kill()
                workers.append(start().ready())
            own_rabbitmq.set_memory_alarm(False)
        if kill == CRASH:
            with producer.sending():
                any_moment()
                own_rabbitmq.kill()
                own_rabbitmq.start()
                any_moment()
    queue.wait_for_counts(0, 0, seconds=120)
    dead_lettered = {properties.message_id for properties, _ in queue.dead.take_all()}
    done = {line.id for line in ledger() if line.word == "done"}
    assert len(producer.confirmed) >= rounds * KILLS * TASKS_PER_KILL
    to_be_dead_lettered = {name for name, text in producer.sent.items() if text.startswith("reject")}
    assert producer.confirmed & to_be_dead_lettered <= dead_lettered <= to_be_dead_lettered
    assert producer.confirmed - to_be_dead_lettered <= done


@pytest.mark.once
def test_a_worker_that_dies_between_the_copy_and_the_ack_leaves_two_and_loses_none(
    task_queue: TaskQueue, start_worker: StartWorker
) -> None:
    """The broker's answers stop coming while the copy is on its way: the worker never hears of the confirm."""
    with Valve(task_queue.server.amqp_port) as valve:
        uri = task_queue.uri.replace(f":{task_queue.server.amqp_port}/", f":{valve.port}/")
        worker = start_worker(task_queue, "until_released_then_reject", AMQP_URL=uri).ready()
        task_queue.send("a", ids=["twice"])
        wait_until(lambda: worker.metric("tasks_in_progress") == 1, 30, "the task has started")
        valve.close_after_publish()
        (worker.output_file.parent / "release").touch()
        task_queue.dead.declare().wait_for_counts(1, 0)
        worker.kill()
    task_queue.wait_for_counts(1, 0)
    ((original, _),) = task_queue.take_all()
    ((copy, _),) = task_queue.dead.take_all()
    assert original.message_id == copy.message_id == "twice"
