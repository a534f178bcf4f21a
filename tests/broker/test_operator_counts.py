"""What the operator's metrics say of a real queue: its dead letters, and the broker's own totals."""

from operating import NAME, Operating, operating, secret_of
from rabbitmq_server import RabbitMQServer
from task_queue import TaskQueue
from workqueue_broker.declaration import QueueType
from workqueue_operator.dead_letters import ASK_SECONDS


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
