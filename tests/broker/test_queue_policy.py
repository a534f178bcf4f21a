"""Limits and dead letters on a real broker: the policy is set, kept, and does what it says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import NackError
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueType

from tests.support.operating import SECRET, Operating, operating, secret_of
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.tls_front import Authority, TlsFront
from tests.support.waiting import wait_until

NAME = "workqueue.jobs"


@pytest.fixture
def jobs(rabbitmq: RabbitMQServer, queue_type: QueueType) -> TaskQueue:
    """The queue that the operator makes, in a virtual host of its own."""
    return TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type, "jobs")


@pytest.fixture
def quorum_jobs(rabbitmq: RabbitMQServer) -> TaskQueue:
    """The same, where the type makes no difference."""
    return TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM, "jobs")


def secret(queue: TaskQueue, **more: str) -> dict[str, str]:
    return secret_of(queue.server.address(queue.vhost), management_uri=queue.server.management_uri, **more)


def api(queue: TaskQueue, method: str, what: str, name: str = "", body: object = None) -> Any:
    return queue.server.management(method, f"/api/{what}/{queue.vhost.replace('/', '%2F')}{name}", body)


def policies(queue: TaskQueue) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in api(queue, "GET", "policies")}


def queues(queue: TaskQueue) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in api(queue, "GET", "queues")}


def set_policy(queue: TaskQueue, name: str, definition: dict[str, Any], priority: int = 0, pattern: str = ".*") -> None:
    body = {"pattern": pattern, "apply-to": "queues", "priority": priority, "definition": definition}
    api(queue, "PUT", "policies", f"/{name}", body)


async def applied(operator: Operating) -> None:
    await operator.until(lambda: operator.condition("PolicyApplied").get("status") == "True", "the policy applies")


async def not_applied(operator: Operating, reason: str) -> str:
    """The message, once it says so."""
    await operator.until(lambda: operator.condition("PolicyApplied").get("reason") == reason, reason)
    assert operator.condition("PolicyApplied")["status"] == "False"
    return str(operator.condition("PolicyApplied")["message"])


async def test_the_policy_is_set_and_in_force(jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(jobs), queue={"type": jobs.type, "maxLength": 100, "messageTtlSeconds": 3600})
        await applied(operator)
        assert list(policies(jobs)) == [NAME]
        in_force = queues(jobs)["jobs"]["effective_policy_definition"]
        assert in_force == policies(jobs)[NAME]["definition"]
        assert (in_force["max-length"], in_force["message-ttl"]) == (100, 3_600_000)
        dead = queues(jobs)["jobs.dead"]
        assert (dead["type"], dead["durable"]) == (jobs.type.value.lower(), True)
        assert not dead.get("policy")


async def test_a_policy_that_was_deleted_or_changed_is_set_again(quorum_jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(quorum_jobs))
        await applied(operator)
        wanted = policies(quorum_jobs)[NAME]
        api(quorum_jobs, "DELETE", "policies", f"/{NAME}")
        await operator.until(lambda: policies(quorum_jobs).get(NAME) == wanted, "it is there again")
        set_policy(quorum_jobs, NAME, {"max-length": 1})
        await operator.until(lambda: policies(quorum_jobs)[NAME] == wanted, "it is as it was")
        assert "PolicySet" in [event.reason for event in operator.cluster.events]


async def test_a_changed_limit_changes_the_policy(quorum_jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(quorum_jobs), queue={"maxLength": 100})
        await applied(operator)
        operator.change(queue={"maxLength": 7, "deadLetterQueue": "rejects"})
        await operator.until(lambda: policies(quorum_jobs)[NAME]["definition"].get("max-length") == 7, "it is changed")
        assert policies(quorum_jobs)[NAME]["definition"]["dead-letter-routing-key"] == "rejects"
        assert "rejects" in queues(quorum_jobs)
        await applied(operator)


async def test_a_foreign_policy_is_never_touched(quorum_jobs: TaskQueue) -> None:
    """One below ours gives way; one above ours is reported in the condition, with the remedy."""
    set_policy(quorum_jobs, "everything", {"max-length": 3})
    async with operating() as operator:
        operator.add(secret(quorum_jobs))
        await applied(operator)
        theirs = policies(quorum_jobs)["everything"]
        assert (theirs["priority"], theirs["definition"]) == (0, {"max-length": 3})
        set_policy(quorum_jobs, "stronger", {"max-length": 4}, priority=99)
        message = await not_applied(operator, "OtherPolicy")
        assert "policy stronger" in message
        assert "priority 99" in message
        assert policies(quorum_jobs)["stronger"]["definition"] == {"max-length": 4}
        api(quorum_jobs, "DELETE", "policies", "/stronger")
        await applied(operator)


async def test_an_operator_policy_may_ask_for_less(quorum_jobs: TaskQueue) -> None:
    limit = {"pattern": ".*", "apply-to": "queues", "definition": {"max-length": 2}}
    api(quorum_jobs, "PUT", "operator-policies", "/limit", limit)
    async with operating() as operator:
        operator.add(secret(quorum_jobs), queue={"maxLength": 100})
        await applied(operator)


async def test_a_task_too_many_is_refused_to_its_producer(jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(jobs), queue={"type": jobs.type, "maxLength": 5})
        await applied(operator)
        with pytest.raises(NackError):
            await asyncio.to_thread(send_one_by_one, jobs, 50)
        ready, _ = jobs.counts()
        assert ready >= 5
        assert jobs.dead.counts() == (0, 0)


async def test_a_task_past_its_delivery_limit_is_dead_lettered(quorum_jobs: TaskQueue) -> None:
    """Given back again and again by a consumer that counts nothing itself."""
    async with operating() as operator:
        operator.add(secret(quorum_jobs), queue={"deliveryLimit": 2})
        await applied(operator)
        quorum_jobs.send("poison", ids=["p"])
        deliveries = await asyncio.to_thread(lambda: sum(1 for _ in given_back(quorum_jobs)))
        await asyncio.to_thread(quorum_jobs.dead.wait_for_counts, 1, 0)
        assert deliveries == 3  # the first, and two more
        [(properties, body)] = quorum_jobs.dead.take_all()
        assert (body, properties.message_id) == (b"poison", "p")
        assert properties.headers["x-death"][0]["reason"] == "delivery_limit"


async def test_a_task_past_its_time_is_dead_lettered(jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(jobs), queue={"type": jobs.type, "messageTtlSeconds": 1})
        await applied(operator)

        def sent_and_dead_lettered() -> bool:
            """A classic queue's process hears of its policy a little later; what came before that never expires."""
            jobs.send("late", ids=["l"])
            return jobs.dead.counts()[0] > 0

        await asyncio.to_thread(wait_until, sent_and_dead_lettered, 30, "a task is dead-lettered")
        (properties, body), *_ = jobs.dead.take_all()
        assert (body, properties.headers["x-death"][0]["reason"]) == (b"late", "expired")


async def test_what_expires_while_the_dead_letter_queue_is_missing_waits_for_it(own_rabbitmq: RabbitMQServer) -> None:
    """At-least-once: a quorum queue keeps what it cannot dead-letter, and the operator makes the queue again."""
    # Milliseconds until RabbitMQ tries again; three minutes by default.
    own_rabbitmq.evaluate("application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000)")
    jobs = TaskQueue(own_rabbitmq, "/", QueueType.QUORUM, "jobs")
    async with operating() as operator:
        operator.add(secret(jobs), queue={"messageTtlSeconds": 1})
        await applied(operator)
        jobs.dead.delete()
        jobs.send("late", ids=["l"])
        await operator.until(lambda: "jobs.dead" in queues(jobs), "the dead-letter queue is there again")
        await asyncio.to_thread(jobs.dead.wait_for_counts, 1, 0, 60.0)


@pytest.mark.parametrize("name", ["a.b", "a+b (c) [d]", "schlüssel", "a/b%2Fc"])
async def test_any_name_has_a_policy_of_its_own(rabbitmq: RabbitMQServer, name: str) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM, name)
    async with operating() as operator:
        operator.add(secret(queue), queue={"name": name})
        await applied(operator)
        assert list(policies(queue)) == [f"workqueue.{name}"]


@pytest.fixture
def user(quorum_jobs: TaskQueue) -> Iterator[str]:
    """A user who may do everything in the virtual host and has the tag management alone."""
    server, name = quorum_jobs.server, f"user-of-{quorum_jobs.vhost}"
    server.management("PUT", f"/api/users/{name}", {"password": "s3cret-word", "tags": "management"})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    server.management("PUT", f"/api/permissions/{quorum_jobs.vhost}/{name}", everything)
    yield name
    server.management("DELETE", f"/api/users/{name}")


async def test_a_user_who_may_set_no_policy(quorum_jobs: TaskQueue, user: str) -> None:
    async with operating() as operator:
        login = {"username": user, "password": "s3cret-word"}
        operator.add(secret(quorum_jobs, **login), queue={"maxLength": 100})
        message = await not_applied(operator, "AccessRefused")
        assert f"give the user {user} the tag policymaker" in message
        assert "s3cret-word" not in str(operator.status)
        assert operator.observed()
        assert operator.condition("Ready")["reason"] == "AccessRefused"
        assert operator.broker_errors("management_refused")
        tags = {"password": "s3cret-word", "tags": "policymaker"}
        quorum_jobs.server.management("PUT", f"/api/users/{user}", tags)
        await applied(operator)


async def test_a_user_who_may_make_no_dead_letter_queue(quorum_jobs: TaskQueue, user: str) -> None:
    """The queue itself is read all the same."""
    server = quorum_jobs.server
    server.management("PUT", f"/api/users/{user}", {"password": "s3cret-word", "tags": "policymaker"})
    own = {"configure": "^jobs$", "write": ".*", "read": ".*"}
    server.management("PUT", f"/api/permissions/{quorum_jobs.vhost}/{user}", own)
    async with operating() as operator:
        operator.add(secret(quorum_jobs, username=user, password="s3cret-word"))
        message = await not_applied(operator, "DeadLetterQueueMissing")
        assert "jobs.dead" in message
        assert operator.observed()
        assert policies(quorum_jobs) == {}
        quorum_jobs.dead.declare()
        await applied(operator)


async def test_without_the_management_api_the_secrets_key_is_named(quorum_jobs: TaskQueue) -> None:
    """And once the key is there, it is found without a restart."""
    async with operating() as operator:
        without = {key: value for key, value in secret(quorum_jobs).items() if key != "management_uri"}
        operator.add(without, queue={"maxLength": 100})
        assert "management_uri" in await not_applied(operator, "ManagementApiMissing")
        assert operator.condition("Ready")["reason"] == "ManagementApiMissing"
        assert "jobs.dead" in queues(quorum_jobs)
        operator.cluster.secrets[SECRET] = secret(quorum_jobs)
        operator.clock.ahead += 100.0
        await applied(operator)
        assert operator.observed()


@pytest.mark.any_rabbitmq
async def test_a_management_api_behind_tls_is_verified_by_the_secrets_authority(
    quorum_jobs: TaskQueue, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    front = TlsFront(quorum_jobs.server.management_port, authority.issue("management", "IP:127.0.0.1"))
    unverified = {"uri": quorum_jobs.uri, "management_uri": f"https://127.0.0.1:{front.port}"}
    async with operating() as operator:
        operator.add(unverified)
        message = await not_applied(operator, "ManagementApiUnavailable")
        assert f"https://127.0.0.1:{front.port}" in message
        assert "its authority must be in ca.crt" in message
        operator.cluster.secrets[SECRET] = {**unverified, "ca.crt": authority.certificate.read_text()}
        operator.clock.ahead += 100.0
        await applied(operator)
    front.close()


@pytest.mark.any_rabbitmq
async def test_a_management_api_that_is_away(broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker, management_uri="http://127.0.0.1:1"), queue={"maxLength": 100})
        assert "http://127.0.0.1:1" in await not_applied(operator, "ManagementApiUnavailable")
        assert operator.observed()


async def test_a_dry_run_writes_nothing(quorum_jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(quorum_jobs), mode="DryRun", queue={"maxLength": 100})
        await operator.until(lambda: operator.unknown_because() == "QueueMissing", "no queue is made")
        quorum_jobs.declare()
        quorum_jobs.send("task")  # the statistics list a queue once it was used
        assert "max-length=100" in await not_applied(operator, "DryRun")
        assert operator.condition("Ready")["status"] == "True"
        assert (policies(quorum_jobs), list(queues(quorum_jobs))) == ({}, ["jobs"])


async def test_a_paused_queue_keeps_the_policy_that_a_person_gave_it(quorum_jobs: TaskQueue) -> None:
    async with operating() as operator:
        operator.add(secret(quorum_jobs), queue={"maxLength": 100})
        await applied(operator)
        operator.change(mode="Paused", queue={"maxLength": 100})
        definition = {**policies(quorum_jobs)[NAME]["definition"], "max-length": 1000}
        await operator.until(lambda: operator.condition("ScalingActive").get("reason") == "Paused", "it is paused")
        set_policy(quorum_jobs, NAME, definition, pattern="^jobs$")
        assert "max-length=100" in await not_applied(operator, "Paused")
        assert policies(quorum_jobs)[NAME]["definition"] == definition
        assert operator.condition("Ready")["status"] == "True"


async def test_a_queue_that_is_not_ours_to_declare_gets_no_policy_of_ours(quorum_jobs: TaskQueue) -> None:
    quorum_jobs.declare().send("task")
    async with operating() as operator:
        operator.add(secret(quorum_jobs), queue={"declare": "Never", "maxLength": 100})
        assert "max-length=100" in await not_applied(operator, "DeclareNever")
        assert (policies(quorum_jobs), list(queues(quorum_jobs))) == ({}, ["jobs"])
        definition = {"delivery-limit": 5, "max-length": 100, "overflow": "reject-publish"}
        dead_letters = {"dead-letter-exchange": "", "dead-letter-routing-key": "jobs.dead"}
        set_policy(quorum_jobs, "theirs", {**definition, **dead_letters, "dead-letter-strategy": "at-least-once"})
        await applied(operator)
        assert operator.condition("PolicyApplied")["message"] == "policy theirs does what is asked for"


def send_one_by_one(queue: TaskQueue, count: int) -> None:
    for _ in range(count):
        queue.send("task")


def given_back(queue: TaskQueue) -> Iterator[None]:
    """Each delivery, rejected so that it comes again."""
    with queue.channel() as channel:
        for method, _, _ in channel.consume(queue.name, inactivity_timeout=5):
            if method is None:
                return
            yield
            channel.basic_reject(method.delivery_tag, requeue=True)
