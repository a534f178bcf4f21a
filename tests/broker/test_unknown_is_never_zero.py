"""A queue that cannot be read holds the workers, says why, and is read again by itself: one test for each cause."""

import asyncio
import json
from contextlib import ExitStack, closing

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_operator.cluster.local.held_port import HeldPort
from workqueue_operator.rabbitmq.leader import SETTLED_SECONDS
from workqueue_operator.resource import WorkQueue
from workqueue_operator.tracked import Tracked

from tests.support.http_server import HttpServer
from tests.support.operating import SECRET, Operating, operating, secret_of
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.slow_link import SlowLink
from tests.support.stranger import ANOTHER_LANGUAGE, BROKEN_AMQP, SILENCE, Stranger

QUEUE = {"queue": {"name": "jobs"}}
FALLBACK = {"scaling": {"fallback": {"afterSeconds": 2, "replicas": 2}}}
#: Seconds until a changed Secret is used, and a broker that is back: the Secret is read every ten.
LONG = 60


def send(address: BrokerAddress, count: int, declare: bool = False) -> None:
    send_to(address, "jobs", count, declare)


def send_to(address: BrokerAddress, queue: str, count: int, declare: bool = False) -> None:
    connection = connect(address, ConnectionSettings("test"))
    channel = connection.channel()
    if declare:
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", queue, b"task")
    connection.close()


def delete_queue(address: BrokerAddress) -> None:
    connection = connect(address, ConnectionSettings("test"))
    connection.channel().queue_delete("jobs")
    connection.close()


async def working(operator: Operating, broker: BrokerAddress, secret: dict[str, str]) -> None:
    """Read the queue by this Secret, and have four workers for it."""
    operator.add(secret)
    await operator.until(operator.observed, "the queue is read")
    send(broker, 20)
    await operator.until(lambda: operator.replicas == 4, "four workers run")


async def unknown(operator: Operating, reason: str, replicas: int = 4) -> None:
    """The queue becomes unknown for this reason, and the workers stay."""
    assert await operator.until(operator.unknown_because, "the queue is unknown", LONG) == reason
    assert operator.replicas == replicas


async def recovered(operator: Operating, broker: BrokerAddress) -> None:
    """It is read again, and counts again: five tasks more make a fifth worker."""
    await operator.until(operator.observed, "the queue is read again", LONG)
    send(broker, 5)
    await operator.until(lambda: operator.replicas == 5, "a fifth worker runs", LONG)


@pytest.mark.any_rabbitmq
async def test_broker_unreachable_at_the_start(own_rabbitmq: RabbitMQServer) -> None:
    own_rabbitmq.stop()
    async with operating() as operator:
        operator.add(secret_of(own_rabbitmq.address()), replicas=3)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
        assert operator.replicas == 3
        await asyncio.to_thread(own_rabbitmq.start)
        send(own_rabbitmq.address(), 20, declare=True)
        await operator.until(lambda: operator.replicas == 4, "the queue is read")


@pytest.mark.parametrize("replicas", [0, 1])
async def test_fallback_with_a_broker_that_was_never_reachable(replicas: int) -> None:
    async with operating() as operator:
        operator.add(secret_of(BrokerAddress(hosts=(("127.0.0.1", 1),))), replicas=replicas, **FALLBACK)
        await operator.until(lambda: operator.replicas == 2, "the fallback's workers run")
        assert operator.status["lastDecision"]["reason"] == "Fallback"


async def test_broker_gone_later(own_rabbitmq: RabbitMQServer) -> None:
    broker = own_rabbitmq.address()
    async with operating() as operator:
        await working(operator, broker, secret_of(broker))
        own_rabbitmq.kill()
        await unknown(operator, "Unavailable")
        await asyncio.to_thread(own_rabbitmq.start)
        await recovered(operator, broker)


async def test_channel_closed_by_404(broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker), replicas=2, queue={"name": "jobs", "declare": "Never"})
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "QueueMissing"
        assert "'jobs'" in operator.condition("QueueObserved")["message"]
        assert operator.replicas == 2
        send(broker, 15, declare=True)
        await operator.until(lambda: operator.replicas == 3, "the queue is read")


async def test_queue_deleted_under_load(broker: BrokerAddress) -> None:
    """It is made again, and as no worker consumes from the new one yet, the workers are held."""
    async with operating() as operator:
        await working(operator, broker, secret_of(broker))
        delete_queue(broker)
        await unknown(operator, "NoLeader")
        assert "QueueCreated" in [event.reason for event in operator.cluster.events]
        send(broker, 25)
        await operator.until(lambda: operator.replicas == 5, "the new queue is read")


async def test_ready_workers_and_no_consumers_is_a_queue_without_a_leader(broker: BrokerAddress) -> None:
    """What a quorum queue answers whose leader is away; the workers of the fake are Ready and consume nowhere."""
    async with operating() as operator:
        operator.add(secret_of(broker), replicas=5)
        await unknown(operator, "NoLeader", 5)
        send(broker, 30)
        await operator.until(lambda: operator.replicas == 6, "the queue is read")


async def test_credentials_changed(rabbitmq: RabbitMQServer, broker: BrokerAddress) -> None:
    """Changed at the broker first, and later in the Secret, as a rotation does."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    user = f"operator-of-{broker.virtual_host}"
    rabbitmq.management("PUT", f"/api/users/{user}", {"password": "old-secret", "tags": ""})
    rabbitmq.management("PUT", f"/api/permissions/{broker.virtual_host}/{user}", everything)
    async with operating() as operator:
        await working(operator, broker, secret_of(broker, username=user, password="old-secret"))
        rabbitmq.management("PUT", f"/api/users/{user}", {"password": "new-secret", "tags": ""})
        rabbitmq.evaluate(f'rabbit_networking:close_all_user_connections(<<"{user}">>, <<"rotated">>)')
        await operator.until(lambda: operator.unknown_because() == "AccessRefused", "the old password is refused", LONG)
        assert "old-secret" not in str(operator.status)
        assert operator.replicas == 4
        operator.cluster.secrets[SECRET] = secret_of(broker, username=user, password="new-secret")
        await recovered(operator, broker)


@pytest.mark.any_rabbitmq
async def test_host_name_gone(broker: BrokerAddress) -> None:
    async with operating() as operator:
        await working(operator, broker, secret_of(broker))
        operator.change_secret(secret_of(broker, host="no-such-host.invalid"))
        await unknown(operator, "Unavailable")
        assert "no-such-host.invalid" in operator.condition("QueueObserved")["message"]
        operator.change_secret(secret_of(broker))
        await recovered(operator, broker)


@pytest.mark.any_rabbitmq
async def test_secret_gone_or_incomplete(broker: BrokerAddress) -> None:
    async with operating() as operator:
        await working(operator, broker, secret_of(broker))
        operator.change_secret({"username": "only"})
        await unknown(operator, "InvalidAddress")
        assert "(spec.broker.secretName)" in operator.condition("QueueObserved")["message"]
        assert "key uri" in operator.condition("QueueObserved")["message"]
        named = next(tracked.spec.broker_secret for tracked in operator.store if isinstance(tracked.spec, WorkQueue))
        secret = next(key for key in operator.cluster.secrets if key.name == named)
        del operator.cluster.secrets[secret]
        await operator.until(
            lambda: f"there is no Secret {named}" in str(operator.status), "it says that none is there"
        )
        assert operator.replicas == 4
        operator.cluster.secrets[secret] = secret_of(broker)
        await recovered(operator, broker)


@pytest.mark.any_rabbitmq
async def test_a_broker_that_stands_still(own_rabbitmq: RabbitMQServer) -> None:
    """A process that is stopped answers nothing and closes nothing."""
    broker = own_rabbitmq.address()
    async with operating() as operator:
        await working(operator, broker, secret_of(broker))
        own_rabbitmq.freeze()
        try:
            await unknown(operator, "Unavailable")
        finally:
            own_rabbitmq.thaw()
        await recovered(operator, broker)


@pytest.mark.any_rabbitmq
async def test_answers_slower_than_the_poll_period(broker: BrokerAddress) -> None:
    """Seconds late, they are still answers: right ones, and the queue is never unknown."""
    (_, port), *_ = broker.hosts
    with SlowLink(port) as link:
        async with operating() as operator:
            await working(operator, broker, secret_of(broker, port=str(link.port)))
            link.latency_seconds = 1.0  # each way: two periods, and far from the 5 s that a round may take
            send(broker, 10)
            await operator.until(lambda: operator.replicas == 6, "six workers run")
            send(broker, 5)
            await operator.until(lambda: operator.replicas == 7, "seven workers run")
            assert operator.observed()
            assert "QueueObserved" not in [event.reason for event in operator.cluster.events]


@pytest.mark.any_rabbitmq
async def test_answers_slower_than_a_round_of_reading(broker: BrokerAddress) -> None:
    (_, port), *_ = broker.hosts
    with SlowLink(port) as link:
        async with operating() as operator:
            await working(operator, broker, secret_of(broker, port=str(link.port)))
            link.latency_seconds = 3.0
            send(broker, 5)
            await unknown(operator, "Unavailable")
            link.latency_seconds = 0.0
            await operator.until(lambda: operator.replicas == 5, "it is read again", LONG)
            await operator.until(operator.observed, "it is read again", LONG)


def queues(published: int, acked: int, *, unacknowledged: int = 2) -> str:
    """What the management API answers about the queue."""
    stats = {"publish": published, "ack": acked}
    return json.dumps([{"name": "jobs", "messages_unacknowledged": unacknowledged, "message_stats": stats}])


def answer_counting_up(management: HttpServer) -> None:
    """As for workers that ack one task in each period of asking."""
    management.answer = lambda _: (200, queues(20, len(management.asked)))


@pytest.mark.any_rabbitmq
async def test_management_api_away_while_amqp_works(broker: BrokerAddress) -> None:
    """drainSeconds falls back to messagesPerReplica and says why, until the API is there."""
    with ExitStack() as later:
        port = later.enter_context(closing(HeldPort())).number
        async with operating() as operator:
            operator.add(secret_of(broker, management_uri=f"http://127.0.0.1:{port}"), scaling={"drainSeconds": 60})
            await operator.until(operator.observed, "the queue is read")
            send(broker, 20)
            await operator.until(lambda: operator.replicas == 4, "four workers run")
            message = operator.status["recentDecisions"][0]["message"]
            assert "no rates known for drainSeconds" in message
            assert f"http://127.0.0.1:{port}" in message
            answer_counting_up(later.enter_context(HttpServer("", port)))
            await operator.until(lambda: "no rates known" not in operator.decision(), "the rates are known", LONG)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([{"name": "jobs", "messages_unacknowledged": 2}], id="no stats"),
        pytest.param([{"name": "jobs", "message_stats": {"publish": 9}}], id="no unacknowledged"),
        pytest.param(
            [{"name": "jobs", "messages_unacknowledged": 2, "message_stats": {"publish": 9, "ack": None}}], id="null"
        ),
        pytest.param([{"name": "another"}], id="no such queue"),
        pytest.param({"error": "not_authorised"}, id="an object"),
    ],
)
async def test_a_count_missing_in_a_management_answer(broker: BrokerAddress, answer: object) -> None:
    """It is not known and not zero: by messagesPerReplica, and it says so, until the number is there."""
    with HttpServer(json.dumps(answer)) as management:
        async with operating() as operator:
            operator.add(secret_of(broker, management_uri=management.uri), scaling={"drainSeconds": 60})
            await operator.until(operator.observed, "the queue is read")
            await operator.until(lambda: management.asked, "the API was asked")
            send(broker, 20)
            await operator.until(lambda: operator.replicas == 4, "four workers run")
            assert "no rates known for drainSeconds" in operator.decision()
            answer_counting_up(management)
            await operator.until(lambda: "no rates known" not in operator.decision(), "the rates are known", LONG)


@pytest.mark.any_rabbitmq
async def test_amqp_away_while_the_management_api_works(own_rabbitmq: RabbitMQServer) -> None:
    """Its counts are seconds old and no reading: the workers are held."""
    broker = own_rabbitmq.address()
    (_, port), *_ = broker.hosts
    link = SlowLink(port)
    secret = secret_of(broker, port=str(link.port), management_uri=own_rabbitmq.management_uri)
    with link:
        async with operating() as operator:
            await working(operator, broker, secret)
            link.__exit__(None, None, None)
            await unknown(operator, "Unavailable")
            operator.cluster.secrets[SECRET] = secret | {"port": str(port)}
            await recovered(operator, broker)


async def test_a_queue_of_another_type(broker: BrokerAddress) -> None:
    async with operating() as operator:
        send(broker, 20, declare=True)
        operator.add(secret_of(broker), replicas=1, queue={"name": "jobs", "type": "Classic"})
        await operator.until(lambda: operator.replicas == 4, "it is scaled by the queue that is there")
        await operator.until(lambda: operator.unknown_because() == "QueueMismatch", "the mismatch is reported")
        message = operator.condition("QueueObserved")["message"]
        for remedy in ("(QUEUE_TYPE, spec.queue.type) to its type", "Never"):
            assert remedy in message
        assert "delete" not in message
        assert operator.status["messagesReady"] == 20
        delete_queue(broker)
        await operator.until(lambda: operator.unknown_because() != "QueueMismatch", "it is made as it should be")
        send(broker, 15)
        await operator.until(operator.observed, "the new queue is read")


async def test_a_queue_with_an_applications_arguments_is_scaled_by_its_counts(broker: BrokerAddress) -> None:
    """Its type cannot fit and its messages must not go: `declare: Never` is what helps, and no deletion is advised."""
    connection = connect(broker, ConnectionSettings("test"))
    connection.channel().queue_declare("jobs", durable=True, arguments={"x-max-priority": 5})
    connection.close()
    send(broker, 15)
    async with operating() as operator:
        operator.add(secret_of(broker), queue={"name": "jobs", "type": "Classic"})
        await operator.until(lambda: operator.replicas == 3, "it is scaled")
        await operator.until(lambda: operator.unknown_because() == "QueueMismatch", "the mismatch is reported")
        operator.change(queue={"name": "jobs", "type": "Classic", "declare": "Never"})
        await operator.until(operator.observed, "it is taken as it is")


async def test_a_queue_whose_leader_is_gone_is_not_empty_though_the_management_api_shows_a_leader(
    own_rabbitmq: RabbitMQServer,
) -> None:
    """It shows the last numbers of a queue whose Ra server does not run, and a leader that is online."""
    broker = own_rabbitmq.address()
    async with operating() as operator:
        await working(operator, broker, secret_of(broker, management_uri=own_rabbitmq.management_uri))
        (tracked,) = operator.store
        await operator.until(lambda: tracked.estimate.last, "the management API has seen the messages", LONG)
        name = "%2F_jobs" if broker.virtual_host == "/" else f"{broker.virtual_host}_jobs"
        own_rabbitmq.evaluate(f'ra:stop_server(quorum_queues, {{list_to_atom("{name}"), node()}})')
        await operator.until(lambda: operator.unknown_because() == "NoLeader", "the leader is missed", LONG)
        await operator.until(lambda: looked_since_empty(tracked), "the management API was asked for long", LONG)
        assert (operator.replicas, operator.unknown_because()) == (4, "NoLeader")


async def test_a_quorum_queue_that_another_program_emptied_is_empty_once_the_management_api_shows_it(
    own_rabbitmq: RabbitMQServer,
) -> None:
    """The workers of the fake are Ready and consume nowhere."""
    broker = own_rabbitmq.address()
    async with operating() as operator:
        await working(operator, broker, secret_of(broker, management_uri=own_rabbitmq.management_uri))
        connection = connect(broker, ConnectionSettings("test"))
        connection.channel().queue_purge("jobs")
        connection.close()
        await operator.until(lambda: operator.replicas == 0, "the workers go", LONG)
        assert operator.observed()


def looked_since_empty(tracked: Tracked) -> bool:
    """The management API was asked again when its numbers could be believed."""
    seen, since = tracked.leader, tracked.empty_since
    return seen is not None and since is not None and seen.asked_at - since > 1.5 * SETTLED_SECONDS


@pytest.mark.any_rabbitmq
async def test_a_dead_broker_delays_no_other(own_rabbitmq: RabbitMQServer, broker: BrokerAddress) -> None:
    async with operating() as operator:
        await working(operator, own_rabbitmq.address(), secret_of(own_rabbitmq.address()))
        operator.add_neighbour(secret_of(broker))
        await operator.until(lambda: operator.observed("neighbour"), "the neighbour's queue is read")
        own_rabbitmq.freeze()
        try:
            for replicas in (1, 2, 3):  # through a whole round that the dead one does not answer
                send_to(broker, "neighbour", 5)
                await operator.until(lambda: operator.neighbours_replicas == replicas, "the neighbour is scaled")  # noqa: B023
                if replicas == 1:
                    assert operator.unknown_because() is None, (
                        "the neighbour had to wait for the dead broker's time limit"
                    )
                    await unknown(operator, "Unavailable")
        finally:
            own_rabbitmq.thaw()


BAD_SECRETS = {
    "ca that is no PEM": {"ca.crt": "not a pem"},
    "ca beyond ASCII": {"ca.crt": "Zertifikät"},
    "client certificate that is no PEM": {"port": "5671", "tls.crt": "a", "tls.key": "b"},
    "host with an empty label": {"host": "a..b"},
    "host with a label that is too long": {"host": "x" * 64},
    "uri with a bare bracket": {"uri": "amqp://user:topsecret@[::1/"},
    "uri with an odd letter": {"uri": "amqp://user:topsecret\u2048@h/"},
    "management_uri with a bare bracket": {"management_uri": "http://u:topsecret@[::1"},
    "vhost that is too long": {"vhost": "v" * 300},
}


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("bad", BAD_SECRETS)
async def test_a_bad_secret_is_reported_and_ends_no_other_tenants_scaling(broker: BrokerAddress, bad: str) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker, **BAD_SECRETS[bad]), replicas=4)
        operator.add_neighbour(secret_of(broker))
        await unknown(operator, "InvalidAddress")
        message = operator.condition("QueueObserved")["message"]
        assert "Secret rabbitmq (spec.broker.secretName)" in message
        assert "topsecret" not in str(operator.status)
        await operator.until(lambda: operator.observed("neighbour"), "the neighbour's queue is read")
        send_to(broker, "neighbour", 10)
        await operator.until(lambda: operator.neighbours_replicas == 2, "the neighbour is scaled")
        operator.cluster.secrets[SECRET] = secret_of(broker)
        await operator.until(lambda: operator.unknown_because() == "NoLeader", "the corrected Secret is used", LONG)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize(
    "says",
    [
        pytest.param(ANOTHER_LANGUAGE, id="another language"),
        pytest.param(SILENCE, id="silence"),
        pytest.param(BROKEN_AMQP, id="broken AMQP"),
    ],
)
async def test_a_stranger_in_the_brokers_place_ends_no_other_tenants_scaling(
    broker: BrokerAddress, says: bytes
) -> None:
    """What one server answers to a connection harms no WorkQueue of another server, and it is tried again and again."""
    with Stranger(says) as stranger:
        async with operating() as operator:
            operator.add(secret_of(broker, port=str(stranger.port)), replicas=4)
            operator.add_neighbour(secret_of(broker))
            await unknown(operator, "Unavailable")
            await operator.until(lambda: operator.observed("neighbour"), "the neighbour's queue is read")
            await operator.until(lambda: stranger.accepted >= 3, "it is tried again", LONG)
            send_to(broker, "neighbour", 10)
            await operator.until(lambda: operator.neighbours_replicas == 2, "the neighbour is scaled")
            assert operator.replicas == 4


async def test_a_queue_that_the_user_may_not_use_is_refused_alone(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    """Two WorkQueues on one connection; the user has rights on the one queue only."""
    user = f"one-queue-of-{broker.virtual_host}"
    rights = {"configure": "^neighbour$", "write": "^neighbour$", "read": "^neighbour$"}
    rabbitmq.management("PUT", f"/api/users/{user}", {"password": "secret", "tags": ""})
    rabbitmq.management("PUT", f"/api/permissions/{broker.virtual_host}/{user}", rights)
    secret = secret_of(broker, username=user, password="secret")
    async with operating() as operator:
        operator.add(secret, replicas=4)
        operator.add_neighbour(secret)
        await unknown(operator, "AccessRefused")
        assert "'jobs'" in operator.condition("QueueObserved")["message"]
        await operator.until(lambda: operator.observed("neighbour"), "the neighbour's queue is read")
        for replicas in (1, 2):
            send_to(broker, "neighbour", 5)
            await operator.until(lambda: operator.neighbours_replicas == replicas, "the neighbour is scaled")  # noqa: B023
        assert operator.unknown_because() == "AccessRefused"
