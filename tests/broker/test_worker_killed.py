"""Nothing is lost: workers killed at random, the broker crashed and alarmed in between, and a ledger of it all."""

import random
from collections.abc import Iterator

import pytest
from rabbitmq_server import RabbitMQServer
from task_queue import TaskQueue
from waiting import wait_until
from worker_process import WorkerProcess
from workqueue_broker.declaration import QueueType

KILLS = 100  # with each of the two queue types
WORKERS = 4
TASKS_PER_KILL = 3
#: High, since a kill counts as an attempt, and no task of this test deserves to be parked for one.
FLAGS = ("--max-attempts", "1000", "--retry-max-delay", "0.05")


def bodies(chance: random.Random) -> Iterator[str]:
    """Mostly short work, some that fails at first, some that is to be parked."""
    while True:
        yield chance.choice(["sleep 0", "sleep 0.05", "sleep 0.2", "fail-until 2", "reject no"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("type_", list(QueueType))
def test_every_confirmed_task_is_finished_or_parked_though_workers_and_broker_are_killed(
    own_rabbitmq: RabbitMQServer, start_worker, ledger, type_: QueueType
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    body = bodies(chance)
    queue = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_).declare()
    confirmed: dict[str, str] = {}

    def send(count: int) -> None:
        tasks = {f"t{len(confirmed) + number}": next(body) for number in range(count)}
        queue.send(*tasks.values(), ids=list(tasks))
        confirmed.update(tasks)

    def start() -> WorkerProcess:
        return start_worker(queue, "by_body", *FLAGS, "--concurrency", str(chance.choice([1, 3])))

    workers = [start() for _ in range(WORKERS)]
    for kill in range(KILLS):
        send(TASKS_PER_KILL)
        victim = workers.pop(0)
        done = len(ledger())
        if chance.random() < 0.5:  # at its start, while it connects; or when work has gone on
            wait_until(lambda done=done: len(ledger()) > done or not any(queue.counts()), 60, "tasks are worked on")
        victim.kill()
        workers.append(start())
        if kill == KILLS // 3:
            own_rabbitmq.set_memory_alarm(True)
            for _ in range(WORKERS):  # tasks that need a copy are held now: kill who holds them
                workers.pop(0).kill()
                workers.append(start().ready())
            own_rabbitmq.set_memory_alarm(False)
        if kill == 2 * KILLS // 3:
            own_rabbitmq.kill()
            own_rabbitmq.start()
    queue.wait_for_counts(0, 0, seconds=120)
    parked = {properties.message_id for properties, _ in queue.dead.take_all()}
    finished = {line.id for line in ledger() if line.word == "done"}
    ended = {
        line.id for line in ledger() if line.word == "started" and line.body.startswith("fail") and line.attempt > 1
    }
    assert len(confirmed) == KILLS * TASKS_PER_KILL
    assert {name for name, text in confirmed.items() if text.startswith("reject")} == parked
    assert {name for name, text in confirmed.items() if text.startswith("sleep")} <= finished
    assert {name for name, text in confirmed.items() if text.startswith("fail")} <= ended
