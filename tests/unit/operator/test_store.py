"""What the operator knows after events and lists of any order."""

from typing import Any

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_operator.assembly import fill
from workqueue_operator.cluster.port import Forbidden, Listing
from workqueue_operator.rabbitmq.leader import LeaderSeen
from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import NO_MANAGEMENT_URI, Counts, NoRates
from workqueue_operator.scaling.rates import NOT_ASKED, Estimate, Sample
from workqueue_operator.store import Store

from tests.support.fakes import FakeCluster, ManualClock
from tests.support.passes import DEPLOYMENT, WORKQUEUE, Operator, body


def test_a_list_takes_back_no_workqueue_that_is_being_deleted() -> None:
    """A user's finalizer may hold it for long; its deletion was seen as an event."""
    store = Store()
    store.see_workqueue(body())
    going = body()
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    store.forget_workqueue(WORKQUEUE)
    store.replace_workqueues({"": [going]}, store.keys())
    assert store.keys() == frozenset()


def test_a_list_forgets_what_is_being_deleted() -> None:
    store = Store()
    store.see_workqueue(body())
    going = body()
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    store.replace_workqueues({"": [going]}, store.keys())
    assert store.keys() == frozenset()


def test_why_there_are_no_rates_is_always_about_the_address_that_is_used() -> None:
    """When the Secret's management_uri was taken away, the error of the API that was there before is not repeated."""
    operator = Operator()
    tracked, hosts = operator.add(), (("rabbitmq", 5672),)
    operator.store.set_address(tracked, BrokerAddress(hosts=hosts, management_uri="http://rabbitmq:15672"))
    assert tracked.estimate.rates(0.0) == NOT_ASKED
    tracked.estimate = tracked.estimate.without_sample(NoRates("http://rabbitmq:15672: connection refused"))
    operator.store.set_address(tracked, BrokerAddress(hosts=hosts))
    assert tracked.estimate.rates(0.0) == NO_MANAGEMENT_URI
    tracked.forget_queues()
    assert tracked.estimate.rates(0.0) == NO_MANAGEMENT_URI


@pytest.mark.parametrize("moved", [{"queue": {"name": "other"}}, {}])
def test_what_was_measured_of_a_queue_is_not_taken_for_another_one(moved: dict[str, Any]) -> None:
    """A rate between the totals of two queues may ask for all workers; an empty queue's leader is not the other's."""
    store = Store()
    store.see_workqueue(body())
    (tracked,) = store
    store.set_address(tracked, BrokerAddress(hosts=(("old", 5672),)))
    tracked.estimate = Estimate().updated(Sample(1.0, 100, 100, 0, 0)).updated(Sample(6.0, 110, 110, 0, 1))
    tracked.leader, tracked.empty_since, tracked.consumer_timeout = LeaderSeen(6.0, "quorum", empty=True), 1.0, 60.0
    tracked.sharers = (Key("team", "mails"),)
    if moved:
        edited = body(**moved)
        edited["metadata"]["generation"] = 2
        store.see_workqueue(edited)
    else:
        store.set_address(tracked, BrokerAddress(hosts=(("new", 5672),)))
    assert tracked.estimate == Estimate(no_rates=NO_MANAGEMENT_URI)
    forgotten = [tracked.leader, tracked.empty_since, tracked.consumer_timeout, tracked.sharers]
    assert forgotten == [None, None, None, None]


async def test_at_the_start_the_older_of_two_is_known_before_anything_is_decided() -> None:
    """The watch may report the younger one first; it must not scale in the meantime."""
    operator = Operator()
    late = Key("team", "late")
    operator.cluster.workqueues[late] = body("late", created="2026-06-01T00:00:00Z")
    operator.cluster.workqueues[WORKQUEUE] = body()
    await fill(operator.store, operator.cluster, operator.clock)
    younger = next(tracked for tracked in operator.store if tracked.key == late)
    await operator.after(3, younger, Counts(500, 0))
    assert operator.replicas == 0
    assert operator.condition("ScalingActive", late)["reason"] == "TargetConflict"


@pytest.mark.parametrize(
    ("status", "in_use"),
    [
        ({}, False),
        ({"messagesReady": 0, "consumers": 0}, False),
        ({"messagesReady": 3, "consumers": 0}, True),
        ({"messagesReady": 0, "consumers": 2}, True),
        ({"conditions": []}, True),
    ],
)
def test_whether_a_queue_was_in_use_is_known_from_the_status(status: dict[str, Any], in_use: bool) -> None:
    """A status without counts says that the counts were unknown."""
    store = Store()
    store.see_workqueue({**body(), "status": status})
    assert [tracked.memory.history.in_use for tracked in store] == [in_use]


async def test_the_deployment_of_a_workqueue_is_its_own_namespaces() -> None:
    cluster = FakeCluster()
    cluster.workqueues[WORKQUEUE] = body()
    store = Store()
    await fill(store, cluster, ManualClock())
    assert store.owner_of(DEPLOYMENT) == WORKQUEUE


async def test_a_namespace_that_cannot_be_listed_keeps_what_is_known_of_it() -> None:
    store = Store()
    store.see_workqueue(body())
    other = body("other")
    other["metadata"]["namespace"] = "blue"
    store.see_workqueue(other)
    store.replace_workqueues({"team": Forbidden("403"), "blue": []}, store.keys())
    assert store.keys() == {WORKQUEUE}


async def test_at_the_start_one_namespace_that_is_gone_keeps_no_other_waiting() -> None:
    """The Role of a deleted namespace goes with it, so that each list of it is refused."""

    class HalfGone(FakeCluster):
        async def list_workqueues(self) -> Listing:
            return {"gone": Forbidden("403"), "team": [body()]}

    store = Store()
    await fill(store, HalfGone(), ManualClock())
    assert store.keys() == {WORKQUEUE}


def of_generation(generation: int) -> dict[str, Any]:
    made = body()
    made["metadata"]["generation"] = generation
    return made


def generation(store: Store) -> int:
    (tracked,) = store
    return tracked.generation


def test_a_list_from_just_before_an_edit_takes_back_no_edit() -> None:
    store = Store()
    store.see_workqueue(of_generation(1))
    before = store.keys()
    store.see_workqueue(of_generation(2))
    store.replace_workqueues({"": [of_generation(1)]}, before)
    assert generation(store) == 2


def test_a_restored_cluster_has_older_workqueues_which_the_second_list_takes_in() -> None:
    store = Store()
    store.see_workqueue(of_generation(3))
    for _ in range(2):
        store.replace_workqueues({"": [of_generation(1)]}, store.keys())
    assert generation(store) == 1
