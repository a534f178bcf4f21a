"""0 messages and 0 consumers: an empty queue, or a quorum queue without a leader."""

from typing import Any

import pytest
from workqueue_broker.declaration import QueueType
from workqueue_operator.rabbitmq.leader import SETTLED_SECONDS, STALE_SECONDS, LeaderSeen, has_leader
from workqueue_operator.rabbitmq.management_api import _in_force
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import Operator

EMPTY = Counts(0, 0)
KNOWN_EMPTY = Counts(0, 0, has_leader=True)


async def test_a_classic_queue_that_answers_nothing_is_empty_beside_ready_workers() -> None:
    """Workers that poll make no consumer; when the queue is done they go."""
    operator = Operator(replicas_at_start=3)
    tracked = operator.add(queue={"type": "Classic"})
    await operator.after(70, tracked, KNOWN_EMPTY)
    assert operator.replicas == 0
    assert operator.condition("QueueObserved")["status"] == "True"
    await operator.watches_ended()


async def test_a_quorum_queue_of_which_nothing_else_is_known_is_held() -> None:
    operator = Operator(replicas_at_start=3)
    tracked = operator.add()
    await operator.after(600, tracked, EMPTY)
    assert operator.replicas == 3
    assert operator.condition("QueueObserved")["reason"] == "NoLeader"
    assert "management_uri" in operator.condition("QueueObserved")["message"]


async def test_workers_that_were_never_ready_are_not_held_at_their_peak_when_another_empties_the_queue() -> None:
    operator = Operator()
    tracked = operator.add()
    await operator.after(61, tracked, EMPTY)
    operator.cluster.replicasets_lag = True  # the pods are never made
    await operator.after(1, tracked, Counts(100, 0))
    operator.ready(0)
    await operator.after(120, tracked, Counts(100, 0))
    assert operator.replicas == 20
    await operator.after(70, tracked, EMPTY)
    assert operator.replicas == 0


async def test_after_a_restart_of_the_operator_they_are_not_held_either() -> None:
    before = Operator()
    tracked = before.add()
    before.cluster.replicasets_lag = True
    await before.after(1, tracked, Counts(100, 0))
    before.ready(0)
    await before.after(10, tracked, Counts(100, 0))
    after = Operator(cluster=before.cluster, clock=before.clock, replicas_at_start=None)
    again = after.add(before.cluster.workqueues[tracked.key])
    await after.after(70, again, EMPTY)
    assert after.replicas == 0


async def test_workers_that_just_became_ready_are_no_warning() -> None:
    """Without a readiness probe they are Ready before they consume."""
    operator = Operator(replicas_at_start=2)
    tracked = operator.add()
    await operator.after(5, tracked, EMPTY)
    assert operator.condition("QueueObserved")["status"] == "Unknown"
    assert operator.condition("Ready")["status"] == "True"
    assert operator.status().get("messagesReady") is None
    await operator.after(5, tracked, Counts(0, 2))
    assert operator.condition("QueueObserved")["status"] == "True"
    assert operator.event_reasons == []


def seen(asked_at: float = 100.0, *, kind: str | None = "quorum", empty: bool = True) -> LeaderSeen:
    return LeaderSeen(asked_at, kind, empty)


@pytest.mark.parametrize(
    ("what", "declared", "expected"),
    [
        (None, QueueType.CLASSIC, True),
        (None, QueueType.QUORUM, False),
        (seen(kind="classic", empty=False), QueueType.QUORUM, True),
        (seen(kind="quorum", empty=False), QueueType.CLASSIC, False),
        (seen(), QueueType.QUORUM, True),
        (seen(empty=False), QueueType.QUORUM, False),
        (seen(100.0 - SETTLED_SECONDS + 1), QueueType.QUORUM, False),
    ],
)
def test_what_shows_a_leader(what: LeaderSeen | None, declared: QueueType, expected: bool) -> None:
    assert has_leader(what, declared, empty_since=100.0 - SETTLED_SECONDS, now=105.0) is expected


def test_what_the_management_api_said_long_ago_shows_none() -> None:
    assert not has_leader(seen(), QueueType.QUORUM, 0.0, 100.0 + STALE_SECONDS + 1)


NODES = ["a", "b", "c"]
WHOLE = {"type": "quorum", "state": "running", "leader": "a", "online": NODES, "members": NODES}
NUMBERS = {"messages": 0, "consumers": 0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"messages": 1}, False),
        ({"consumers": 4}, False),
        ({"messages": None}, False),
        ({"messages": 0.0}, False),
        ({"state": "minority"}, False),
        ({"online": ["b", "c"]}, False),
        ({"online": ["a"]}, False),
        ({"online": "a"}, False),
        ({"members": None}, False),
        ({"leader": None}, False),
        ({"leader": {}}, False),
    ],
)
def test_only_a_whole_answer_is_an_empty_queue(change: dict[str, Any], expected: bool) -> None:
    assert _in_force({**WHOLE, **NUMBERS, **change}).empty is expected
