"""What the operator's metrics say of a real queue: its dead letters, the broker's own totals, its first message."""

from collections.abc import Callable
from typing import Any, cast

from workqueue_broker.declaration import QueueType
from workqueue_operator.rabbitmq.dead_letters import ASK_SECONDS
from workqueue_operator.rabbitmq.leader import SETTLED_SECONDS

from tests.support.operating import NAME, Operating, operating, secret_of
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess


def secret(queue: TaskQueue) -> dict[str, str]:
    return secret_of(queue.server.address(queue.vhost), management_uri=queue.server.management_uri)


async def readings(operator: Operating, more: int) -> None:
    """Wait until the queues were read so many times more."""
    name = "workqueue_operator_readings_total"
    before = operator.registry.get_sample_value(name) or 0
    await operator.until(lambda: (operator.registry.get_sample_value(name) or 0) >= before + more, f"{more} readings")


async def test_dead_letters_are_counted_and_the_count_follows(task_queue: TaskQueue) -> None:
    task_queue.dead.declare().send("a", "b", "c")
    async with operating() as operator:
        operator.add(secret(task_queue), queue={"name": task_queue.name, "type": task_queue.type})
        await operator.until(lambda: operator.number("dead_letters") == 3, "three dead letters")
        task_queue.dead.send("d")
        operator.clock.ahead += ASK_SECONDS
        await operator.until(lambda: operator.number("dead_letters") == 4, "four dead letters")


async def test_a_missing_dead_letter_queue_has_no_count_and_costs_no_reading(rabbitmq: RabbitMQServer) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM).declare()
    queue.send("a")
    async with operating() as operator:
        operator.add(secret(queue), queue={"name": queue.name, "declare": "Never"})
        (tracked,) = operator.store
        await operator.until(lambda: tracked.dead_letters.failures, "the dead-letter queue was asked for")
        await readings(operator, 5)
        assert tracked.dead_letters.failures == 1
        assert operator.number("dead_letters") is None
        assert operator.number("messages_ready") == 1
        assert operator.number("queue_observed") == 1


async def test_an_empty_dead_letter_queue_is_zero_only_once_that_is_known(quorum_queue: TaskQueue) -> None:
    """0 messages and 0 consumers is also what a quorum queue without a leader answers."""
    quorum_queue.dead.declare()
    async with operating() as operator:
        operator.add(secret(quorum_queue), queue={"name": quorum_queue.name})
        (tracked,) = operator.store
        assert tracked.key == NAME
        await operator.until(lambda: tracked.dead_letters.empty_since, "the dead-letter queue was counted")
        assert operator.number("dead_letters") is None
        seen = tracked.dead_letter_leader
        operator.clock.ahead += ASK_SECONDS
        await operator.until(lambda: tracked.dead_letter_leader not in (None, seen), "the management API was asked")
        operator.clock.ahead += ASK_SECONDS
        await operator.until(lambda: operator.number("dead_letters") == 0, "no dead letters")


async def test_tasks_of_a_worker_that_was_gone_before_anything_scraped_it_are_counted(
    task_queue: TaskQueue, start_worker: Callable[..., WorkerProcess]
) -> None:
    """From the broker's totals: the worker's own counters went with it."""
    worker = start_worker(task_queue, "ledger_ok")
    with task_queue.sent("a", "b", "c"):
        # A busy broker may lose the counts of a channel that closes before they are collected.
        wait_until(lambda: totals(task_queue) == (3, 3), 60, "the broker has counted three published and three acked")
    worker.terminate()
    assert worker.exit_code() == 0
    async with operating() as operator:
        operator.add(secret(task_queue), queue={"name": task_queue.name, "type": task_queue.type}, mode="Paused")
        await operator.until(lambda: operator.number("messages_acked_total") == 3, "three tasks were acked")
        assert operator.number("messages_published_total") == 3
        assert operator.number("messages_redelivered_total") == 0


def totals(queue: TaskQueue) -> tuple[int, int]:
    """Published and acked, as the management API has them."""
    found = cast(dict[str, Any], queue.server.management("GET", f"/api/queues/{queue.vhost}/{queue.name}"))
    counted = found.get("message_stats", {})
    return counted.get("publish", 0), counted.get("ack", 0)


async def test_the_age_of_the_first_message_is_that_of_a_message_published_when_it_was(task_queue: TaskQueue) -> None:
    """Each of two batches came between two totals that the operator read, and so did its estimate of the first."""
    async with operating() as operator:
        operator.add(secret(task_queue), queue={"name": task_queue.name, "type": task_queue.type}, mode="Paused")
        (tracked,) = operator.store
        await operator.until(lambda: tracked.empty_since, "the queue was read")
        operator.clock.ahead += 2 * SETTLED_SECONDS  # 0 and 0 for so long, and the management API shows it too
        await operator.until(lambda: operator.number("oldest_message_age_seconds") == 0, "known to be empty")
        await compare_batch(operator, task_queue, 0, "a", "b", "c")
        await compare_batch(operator, task_queue, 3, "d", "e")


async def compare_batch(operator: Operating, queue: TaskQueue, already: int, *batch: str) -> None:
    """Send a batch after so many messages, take those, and compare the age of the first one of the batch."""
    (tracked,) = operator.store
    since = min(await counted(operator, already), tracked.last.read_at or 0.0)
    with queue.channel() as channel:  # open until the total has them: a busy broker may lose those of a short channel
        channel.confirm_delivery()
        for body in batch:
            channel.basic_publish("", queue.name, body.encode(), mandatory=True)
        until = await counted(operator, already + len(batch))
    take(queue, already)
    await operator.until(lambda: operator.number("messages_ready") == len(batch), "only the batch waits")
    now, age = operator.clock.monotonic(), operator.number("oldest_message_age_seconds")
    assert age is not None
    assert since <= operator.clock.monotonic() - age
    assert now - age <= until


async def test_messages_with_priorities_have_no_age(rabbitmq: RabbitMQServer) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.CLASSIC)
    with queue.channel() as channel:
        channel.queue_declare(queue.name, durable=True, arguments={"x-max-priority": 5})
    async with operating() as operator:
        operator.add(secret(queue), queue={"name": queue.name, "type": queue.type, "declare": "Never"}, mode="Paused")
        with queue.sent("a", "b"):
            await operator.until(lambda: operator.number("messages_published_total") == 2, "the totals are known")
        (tracked,) = operator.store
        assert tracked.oldest.points == []
        assert operator.number("oldest_message_age_seconds") is None


async def counted(operator: Operating, published: int) -> float:
    """When the operator first had a total of so many, in seconds of its clock."""
    (tracked,) = operator.store

    def total() -> bool:
        return bool(tracked.oldest.points) and tracked.oldest.points[-1].published == published

    await operator.until(total, f"a total of {published}")
    return tracked.oldest.points[-1].time


def take(queue: TaskQueue, count: int) -> None:
    with queue.channel() as channel:
        for _ in range(count):
            channel.basic_get(queue.name, auto_ack=True)
