"""What the store finds without looking at everything, and that what it finds is never stale."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workqueue_broker.address import BrokerAddress
from workqueue_operator.cluster.port import Target
from workqueue_operator.resource import Key, WorkQueue
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

from tests.support.passes import DEPLOYMENT, body


class CountedAddress(BrokerAddress):
    """Counts how often two addresses are compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedAddress.compared += 1
        return super().__eq__(other)

    __hash__ = BrokerAddress.__hash__


class CountedKey(Key):
    """Counts how often two keys are compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return isinstance(other, Key) and str(self) == str(other)

    __hash__ = Key.__hash__


def see(store: Store, name: str, generation: int = 1, **spec: Any) -> Tracked:
    made = body(name, **spec)
    made["metadata"]["generation"] = generation
    store.see_workqueue(made)
    return next(tracked for tracked in store if tracked.key.name == name)


def filled(count: int) -> Store:
    store = Store()
    for number in range(count):
        made = body(f"q{number}", scaleTargetRef={"name": f"w{number}"})
        store.see_workqueue(made)
    for number, tracked in enumerate(store):
        store.set_address(tracked, CountedAddress(username=str(number)))
    return store


@pytest.mark.parametrize("count", [10, 2_000])
def test_members_compares_with_none_but_the_ones_it_finds(count: int) -> None:
    store = filled(count)
    CountedAddress.compared = 0
    assert [one.key.name for one in store.members(CountedAddress(username="7"))] == ["q7"]
    assert CountedAddress.compared <= 1


@pytest.mark.parametrize("count", [10, 2_000])
def test_owner_of_compares_with_none_but_its_deployment(count: int) -> None:
    store = filled(count)
    CountedKey.compared = 0
    assert store.owner_of(CountedKey("team", "w7")) == Key("team", "q7")
    assert CountedKey.compared <= 2


def test_the_hash_of_an_address_is_computed_once() -> None:
    class Hosts(tuple[tuple[str, int], ...]):
        hashed = 0

        def __hash__(self) -> int:
            Hosts.hashed += 1
            return super().__hash__()

    address = BrokerAddress(hosts=Hosts((("rabbitmq", 5672),)))
    before = Hosts.hashed
    assert len({address, address, BrokerAddress(hosts=(("rabbitmq", 5672),))}) == 1
    assert Hosts.hashed == before


NAMES = st.sampled_from(["a", "b", "c"])
ADDRESSES = [BrokerAddress(username=name) for name in ("x", "y")]
STEPS = st.one_of(
    st.tuples(st.just("see"), NAMES, st.sampled_from(["w1", "w2", "BAD NAME"]), st.sampled_from(["s1", "s2"])),
    st.tuples(st.just("move"), NAMES, st.sampled_from(ADDRESSES), st.none()),
    st.tuples(st.just("forget"), NAMES, st.none(), st.none()),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=30))
def test_the_indexes_are_what_a_search_of_everything_finds(steps: list[tuple[Any, ...]]) -> None:
    store = Store()
    for generation, (step, name, value, secret) in enumerate(steps):
        known = next((tracked for tracked in store if tracked.key.name == name), None)
        if step == "see":
            see(store, name, generation, scaleTargetRef={"name": value}, broker={"secretName": secret})
        elif step == "forget":
            store.forget_workqueue(Key("team", name))
        elif known:
            store.set_address(known, value)
    usable = sorted((one for one in store if isinstance(one.spec, WorkQueue)), key=lambda one: str(one.key))
    targets = {one.key: one.spec.target for one in usable if isinstance(one.spec, WorkQueue)}
    for address in ADDRESSES:
        assert store.members(address) == [one for one in usable if one.address == address]
    for target in (Key("team", "w1"), Key("team", "w2")):
        claims = [key for key, claimed in targets.items() if claimed == target]
        assert store.owner_of(target) == (claims[0] if claims else None)
    read, too_many = store.users()
    assert not too_many
    found = {one.key.name for users in read.values() for one in users}
    assert found == {one.key.name for one in usable}


def target(version: int, replicas: int) -> Target:
    return Target(DEPLOYMENT, "uid", replicas, replicas, False, "app=one", version)


def test_a_state_from_before_is_no_news() -> None:
    store = Store()
    store.see_target(target(9, 5))
    store.see_target(target(8, 3))
    store.see_target(target(8, 3), listed=True)  # made just before version 9
    store.see_target(target(9, 5))
    store.see_target(target(8, 3), listed=True)
    assert store.target(DEPLOYMENT) == target(9, 5)


def test_a_cluster_that_was_restored_is_seen_as_it_is() -> None:
    """Its versions are smaller from then on; each list says so, those of the watch come every five minutes."""
    store = Store()
    store.see_target(target(900, 5))
    store.see_target(target(100, 3), listed=True)
    store.see_target(target(101, 3), listed=True)
    assert store.target(DEPLOYMENT) == target(101, 3)
    store.see_target(target(102, 4))
    assert store.target(DEPLOYMENT) == target(102, 4)
