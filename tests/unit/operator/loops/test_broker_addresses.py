"""How often a broker's Secret is read, and what becomes of what it says."""

from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import AccessRefused, BrokerError, InvalidAddress
from workqueue_operator.cluster.port import ClusterUnavailable
from workqueue_operator.loops.broker_addresses import RECHECK_JITTER, RECHECK_SECONDS, REREAD_SECONDS, BrokerAddresses
from workqueue_operator.loops.broker_loop import unknown
from workqueue_operator.metrics import Metrics
from workqueue_operator.resource import Key
from workqueue_operator.store import MOST_SECRETS, Store
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeCluster, ManualClock

SECRET = Key("team", "rabbitmq")
GOOD = {"uri": "amqp://user:first@rabbitmq/"}
CHANGED = {"uri": "amqp://user:second@rabbitmq/", "management_uri": "http://rabbitmq:15672"}
LONGEST = RECHECK_SECONDS * (1 + RECHECK_JITTER)


@dataclass
class CountingCluster(FakeCluster):
    """Counts the Secrets that are read."""

    reads: list[Key] = field(default_factory=list)

    async def read_secret(self, key: Key) -> dict[str, str]:
        self.reads.append(key)
        return dict(await super().read_secret(key))


@dataclass
class World:
    cluster: CountingCluster = field(default_factory=CountingCluster)
    store: Store = field(default_factory=Store)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.cluster.secrets[SECRET] = GOOD
        self.addresses = BrokerAddresses(self.store, self.cluster, Metrics(CollectorRegistry()), self.clock)

    def add(
        self, name: str, secret: str = SECRET.name, generation: int = 1, namespace: str = SECRET.namespace
    ) -> Tracked:
        metadata = {"namespace": namespace, "name": name, "uid": name, "generation": generation}
        spec = {"broker": {"secretName": secret}, "scaleTargetRef": {"name": name}}
        self.store.see_workqueue({"metadata": metadata, "spec": spec})
        return next(one for one in self.store if one.key.name == name)

    async def after(self, seconds: float) -> None:
        """Let time pass, with a look every second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await self.addresses.look_up()


@pytest.fixture
def world() -> World:
    return World()


async def test_workqueues_that_share_a_secret_share_the_reading(world: World) -> None:
    tracked = [world.add(f"q{number}") for number in range(100)]
    await world.after(1)
    assert world.cluster.reads == [SECRET]
    assert {one.address for one in tracked} == {BrokerAddress.from_secret(GOOD)}
    world.add("late")
    world.add("q1", generation=2)  # its spec changed
    await world.after(1)
    assert world.cluster.reads == [SECRET]
    assert all(one.address for one in world.store)


async def test_a_secret_that_works_is_read_about_once_a_minute(world: World) -> None:
    world.add("jobs")
    await world.after(600)
    assert 600 / LONGEST <= len(world.cluster.reads) <= 1 + 600 / (RECHECK_SECONDS * (1 - RECHECK_JITTER))


async def test_a_change_that_breaks_nothing_is_taken_up(world: World) -> None:
    tracked = [world.add("one"), world.add("two")]
    await world.after(1)
    world.cluster.secrets[SECRET] = CHANGED
    await world.after(LONGEST)
    assert [one.address for one in tracked] == [BrokerAddress.from_secret(CHANGED)] * 2


@pytest.mark.parametrize("trouble", [AccessRefused("wrong password"), InvalidAddress("a strange password")])
async def test_an_address_that_does_not_work_is_looked_up_sooner_for_all_who_share_it(
    world: World, trouble: BrokerError
) -> None:
    one, two = world.add("one"), world.add("two")
    await world.after(1)
    one.last.trouble = trouble
    world.cluster.secrets[SECRET] = CHANGED
    await world.after(REREAD_SECONDS)
    assert two.address == BrokerAddress.from_secret(CHANGED)
    assert len(world.cluster.reads) == 2


async def test_a_missing_secret_is_looked_for_every_ten_seconds(world: World) -> None:
    del world.cluster.secrets[SECRET]
    one, two = world.add("one"), world.add("two")
    await world.after(1 + 5 * REREAD_SECONDS)
    assert len(world.cluster.reads) == 6
    assert isinstance(one.address, InvalidAddress)
    assert one.address is two.address


@pytest.mark.parametrize("broken", [None, {"host": ""}, {"uri": "http://rabbitmq"}])
async def test_a_secret_that_became_unusable_takes_no_working_address_away(
    world: World, broken: dict[str, str] | None
) -> None:
    tracked = world.add("jobs")
    await world.after(1)
    if broken is None:
        del world.cluster.secrets[SECRET]
    else:
        world.cluster.secrets[SECRET] = broken
    await world.after(5 * LONGEST)
    assert tracked.address == BrokerAddress.from_secret(GOOD)
    assert [(one.reason, one.type) for one in tracked.notices] == [("SecretUnusable", "Warning")]
    tracked.last.trouble = AccessRefused("the old password")
    await world.after(REREAD_SECONDS)
    assert isinstance(tracked.address, InvalidAddress)


async def test_a_secret_that_can_be_used_again_is_reported_once(world: World) -> None:
    tracked = world.add("jobs")
    await world.after(1)
    for data in ({"host": ""}, GOOD):
        world.cluster.secrets[SECRET] = data
        await world.after(5 * LONGEST)
    assert [(one.reason, one.type) for one in tracked.notices] == [
        ("SecretUnusable", "Warning"),
        ("SecretUsable", "Normal"),
    ]
    assert SECRET.name in tracked.notices[1].message


async def test_a_secret_whose_old_login_stopped_working_too_is_reported_as_usable_all_the_same(world: World) -> None:
    tracked = world.add("jobs")
    await world.after(1)
    world.cluster.secrets[SECRET] = {"host": ""}
    await world.after(5 * LONGEST)
    tracked.last.trouble = AccessRefused("the old password")
    await world.after(REREAD_SECONDS)
    world.cluster.secrets[SECRET] = CHANGED
    await world.after(5 * LONGEST)
    assert [one.reason for one in tracked.notices] == ["SecretUnusable", "SecretUsable"]


async def test_an_api_server_that_does_not_answer_is_no_news_about_a_secret(world: World) -> None:
    tracked = world.add("jobs")
    await world.after(1)
    world.cluster.failures.append(ClusterUnavailable("no answer"))
    await world.after(LONGEST)
    assert (tracked.address, list(tracked.notices)) == (BrokerAddress.from_secret(GOOD), [])


async def test_a_namespace_has_so_many_secrets_and_the_newest_beyond_them_say_so(world: World) -> None:
    for number in range(MOST_SECRETS + 2):
        world.cluster.secrets[Key("team", f"s{number}")] = {"uri": f"amqp://user{number}:p@rabbitmq/"}
    # Their age is that of their names here; added in the other order, as a watch may give them.
    tracked = [world.add(f"q{number:02}", f"s{number}") for number in reversed(range(MOST_SECRETS + 2))][::-1]
    await world.after(1)
    assert all(isinstance(one.address, BrokerAddress) for one in tracked[:MOST_SECRETS])
    beyond = [one.address for one in tracked[MOST_SECRETS:]]
    assert [error.kind for error in beyond if isinstance(error, BrokerError)] == ["too_many_secrets"] * 2
    assert len(world.cluster.reads) == MOST_SECRETS
    assert isinstance(beyond[-1], BrokerError)
    assert unknown(beyond[-1]).cause == "TooManySecrets"
    assert f"name {MOST_SECRETS} others" in str(tracked[-1].address)
    world.store.forget_workqueue(tracked[0].key)
    await world.after(1)
    assert isinstance(tracked[MOST_SECRETS].address, BrokerAddress)


async def test_another_namespace_has_its_own_bound(world: World) -> None:
    for number in range(MOST_SECRETS + 5):
        world.add(f"q{number:02}", f"s{number}")
    neighbour = world.add("neighbour", namespace="blue")
    world.cluster.secrets[Key("blue", SECRET.name)] = GOOD
    await world.after(1)
    assert isinstance(neighbour.address, BrokerAddress)


async def test_a_password_that_changes_is_taken_up_at_the_bound(world: World) -> None:
    """The old and the new address are in use together for a moment; that is not one Secret more."""
    for number in range(MOST_SECRETS):
        world.cluster.secrets[Key("team", f"s{number}")] = {"uri": f"amqp://user{number}:p@rabbitmq/"}
        world.add(f"a{number:02}", f"s{number}"), world.add(f"b{number:02}", f"s{number}")
    await world.after(1)
    world.cluster.secrets[Key("team", "s0")] = CHANGED
    await world.after(LONGEST)
    assert {one.address for one in world.store if one.key.name in ("a00", "b00")} == {
        BrokerAddress.from_secret(CHANGED)
    }


async def test_heartbeats_make_no_other_address(world: World) -> None:
    world.cluster.secrets[Key("team", "slow")] = {"uri": f"{GOOD['uri']}?heartbeat=7"}
    one, two = world.add("one"), world.add("two", "slow")
    await world.after(1)
    assert one.address == two.address
    assert isinstance(one.address, BrokerAddress)
    assert world.store.members(one.address) == [one, two]


async def test_secrets_that_no_workqueue_names_any_more_are_forgotten(world: World) -> None:
    tracked = world.add("jobs")
    await world.after(1)
    world.store.forget_workqueue(tracked.key)
    await world.after(1)
    world.add("jobs")
    await world.after(1)
    assert len(world.cluster.reads) == 2


@pytest.mark.parametrize("text", [{"host": "a b"}, {"uri": "amqps://r", "tls.crt": "c", "tls.key": "k"}])
async def test_a_secret_that_is_read_again_unchanged_is_not_parsed_again(world: World, text: dict[str, str]) -> None:
    world.cluster.secrets[SECRET] = text
    tracked = world.add("one")
    await world.after(1)
    first = tracked.address
    assert isinstance(first, InvalidAddress)
    await world.after(3 * REREAD_SECONDS)
    assert len(world.cluster.reads) > 2
    assert tracked.address is first
    world.cluster.secrets[SECRET] = {**text, "note": "not looked at"}
    await world.after(2 * REREAD_SECONDS)
    assert tracked.address is first
    world.cluster.secrets[SECRET] = GOOD
    await world.after(2 * REREAD_SECONDS)
    assert isinstance(tracked.address, BrokerAddress)
    world.cluster.secrets[SECRET] = text
    tracked.last.trouble = AccessRefused("with that login")
    await world.after(2 * REREAD_SECONDS)
    assert isinstance(tracked.address, InvalidAddress)
