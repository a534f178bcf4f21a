"""Keeping policies: how much is written, for whom, and what is remembered; on a management API in memory."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, InvalidAddress, QueueMissing
from workqueue_operator.loops.policy_keeper import SET_SECONDS, PolicyKeeper, verdict_of
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import (
    ManagementError,
    ManagementRefused,
    ManagementUnavailable,
    PolicyRefused,
)
from workqueue_operator.rabbitmq.queue_policy import Policy, QueueInForce, Verdict, VirtualHost
from workqueue_operator.resource import WorkQueue
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeQueueReader, ManualClock

ADDRESS = BrokerAddress(management_uri="http://rabbitmq:15672")


@dataclass
class FakeManagementApi:
    """Stores policies, and needs so long for each."""

    clock: ManualClock
    seconds: float = 0.01
    policies: dict[str, Policy] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    #: By policy name, "" for each.
    errors: dict[str, ManagementError] = field(default_factory=dict)

    async def set_policy(self, policy: Policy) -> None:
        self.clock.advance(self.seconds)
        self.asked.append(policy.name)
        error = self.errors.get(policy.name) or self.errors.get("")
        if error:
            raise error
        self.policies[policy.name] = policy


@dataclass
class Broker:
    """A virtual host whose statistics are never late, and the operator's part that keeps its policies."""

    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=Store)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    reader: FakeQueueReader = field(default_factory=FakeQueueReader)

    def __post_init__(self) -> None:
        self.api = FakeManagementApi(self.clock)
        self.policies = PolicyKeeper(self.store, self.reader, Metrics(self.registry), self.clock)

    def add(
        self,
        name: str,
        address: BrokerAddress = ADDRESS,
        created: str = "2026-01-01T00:00:00Z",
        namespace: str = "team",
        **spec: Any,
    ) -> Tracked:
        metadata = {"namespace": namespace, "name": name, "uid": name, "generation": 1, "creationTimestamp": created}
        body = {"broker": {"secretName": "rabbitmq"}, "scaleTargetRef": {"name": name}, **spec}
        self.store.see_workqueue({"metadata": metadata, "spec": body})
        tracked = next(one for one in self.store if one.key.name == name)
        self.store.set_address(tracked, address)
        tracked.note_answer(None)
        return tracked

    async def look(self, *missing: str) -> None:
        """One look at the virtual host, in which every queue is but the missing ones."""
        found = {}
        for tracked in self.store:
            assert isinstance(tracked.spec, WorkQueue)
            queue = tracked.spec.queue
            mine = self.api.policies.get(f"workqueue.{queue.declaration.name}")
            found[queue.declaration.name] = QueueInForce(
                "quorum", mine.name if mine else "", mine.definition if mine else {}
            )
            found[queue.dead_letter_queue] = QueueInForce("quorum", "", {})
        queues = {name: queue for name, queue in found.items() if name not in missing}
        await self.policies.keep(self.api, ADDRESS, VirtualHost(queues, dict(self.api.policies)))  # type: ignore[arg-type] # a fake

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"workqueue_operator_{name}", labels) or 0.0


@pytest.fixture
def broker() -> Broker:
    return Broker()


def verdict(tracked: Tracked) -> Verdict:
    assert tracked.policy is not None
    return tracked.policy.verdict


async def test_each_queue_gets_its_policy_once(broker: Broker) -> None:
    one, two = broker.add("one"), broker.add("two", queue={"maxLength": 5})
    await broker.look()
    assert (verdict(one).applied, verdict(two).applied) == (None, None)
    for _ in range(10):
        await broker.look()
    assert (verdict(one).applied, verdict(two).applied) == (True, True)
    assert sorted(broker.api.asked) == ["workqueue.one", "workqueue.two"]
    assert broker.count("policies_set_total") == 2
    assert [notice.reason for notice in one.notices] == ["PolicySet"]


async def test_a_user_who_may_not_is_asked_once_a_look_and_every_queue_says_so(broker: Broker) -> None:
    both = [broker.add("one"), broker.add("two")]
    broker.api.errors[""] = ManagementRefused("give the user the tag policymaker")
    await broker.look()
    assert [verdict(tracked).reason for tracked in both] == ["AccessRefused", "AccessRefused"]
    assert len(broker.api.asked) == 1
    assert broker.store.broker_errors() == {"localhost:5672/%2F": {"management_refused": 1}}


async def test_an_api_that_goes_away_during_that_time_is_not_asked_for_the_others(broker: Broker) -> None:
    broker.add("one"), broker.add("two")
    broker.api.errors[""] = ManagementUnavailable("no answer")
    await broker.look()
    assert len(broker.api.asked) == 1


async def test_a_policy_that_is_refused_keeps_no_other_waiting(broker: Broker) -> None:
    refused, fine = broker.add("one"), broker.add("two")
    broker.api.errors["workqueue.one"] = PolicyRefused("unknown key")
    broker.api.seconds = SET_SECONDS
    for _ in range(4):
        await broker.look()
    assert verdict(refused).reason == "PolicyRefused"
    assert verdict(fine).applied is True


async def test_a_broker_that_needs_long_for_a_policy_has_three_quarters_of_the_time_for_others(broker: Broker) -> None:
    for number in range(20):
        broker.add(f"q{number}")
    broker.api.seconds = 4 * SET_SECONDS
    for _ in range(12):
        await broker.look()
    assert len(broker.api.asked) == 3


async def test_limits_that_a_person_asked_for_are_set_first(broker: Broker) -> None:
    broker.add("a-default")
    broker.add("b-limited", queue={"maxLength": 5})
    broker.api.seconds = SET_SECONDS
    await broker.look()
    assert broker.api.asked == ["workqueue.b-limited"]


async def test_of_two_workqueues_on_one_queue_the_older_sets_the_policy(broker: Broker) -> None:
    """Also when they log in as different users; else each would undo what the other did."""
    other_user = BrokerAddress(username="other", management_uri=ADDRESS.management_uri)
    older = broker.add("first", other_user, "2025-01-01T00:00:00Z", queue={"name": "jobs", "maxLength": 5})
    younger = broker.add("second", queue={"name": "jobs", "maxLength": 7})
    await broker.look()
    assert broker.api.asked == []
    assert verdict(younger).reason == "QueueShared"
    assert str(older.key) in verdict(younger).message


def other_login(broker: Broker, trouble: BrokerError | None, created: str = "2025-01-01T00:00:00Z") -> Tracked:
    """A WorkQueue of another namespace on the queue `jobs`, whose reading by its own login ends so."""
    address = BrokerAddress(username="other", password="wrong", management_uri=ADDRESS.management_uri)
    spec = {"name": "jobs", "maxLength": 5}
    tracked = broker.add("squatter", address, created, "elsewhere", queue=spec)
    tracked.login_works = None
    if trouble is not UNTRIED:
        tracked.note_answer(trouble)
    return tracked


#: No trouble and no reading either.
UNTRIED = BrokerError("not tried")
REFUSALS = [AccessRefused("wrong password"), BrokerUnavailable("no answer"), QueueMissing("404"), InvalidAddress("a")]


@pytest.mark.parametrize("trouble", REFUSALS)
async def test_a_claim_whose_login_does_not_work_keeps_no_policy_from_being_set(
    broker: Broker, trouble: BrokerError
) -> None:
    other_login(broker, trouble)
    mine = broker.add("mine", queue={"name": "jobs", "maxLength": 7})
    await broker.look()
    await broker.look()
    assert verdict(mine).applied is True
    assert broker.api.policies["workqueue.jobs"].definition["max-length"] == 7


async def test_a_login_that_worked_keeps_its_claim_while_the_broker_does_not_answer_it(broker: Broker) -> None:
    """Else the two would set the policy in turns, at each short outage."""
    older = other_login(broker, None)
    older.note_answer(BrokerUnavailable("no answer"))
    younger = broker.add("mine", queue={"name": "jobs", "maxLength": 7})
    await broker.look()
    assert (verdict(younger).reason, broker.api.asked) == ("QueueShared", [])
    older.note_answer(AccessRefused("its user is gone"))
    await broker.look()
    assert broker.api.asked == ["workqueue.jobs"]


async def test_an_older_claim_that_was_not_tried_yet_is_waited_for(broker: Broker) -> None:
    """After a restart, the younger one's loop may be the first to look."""
    other_login(broker, UNTRIED)
    mine = broker.add("mine", queue={"name": "jobs", "maxLength": 7})
    await broker.look()
    assert (verdict(mine).reason, broker.api.asked) == ("Pending", [])


async def test_another_login_has_to_prove_itself_again(broker: Broker) -> None:
    older = other_login(broker, None)
    broker.store.set_address(older, BrokerAddress(username="other", password="new"))
    assert older.login_works is None


async def test_no_verdict_names_a_workqueue_of_another_namespace(broker: Broker) -> None:
    other_login(broker, None)
    mine = broker.add("mine", queue={"name": "jobs", "maxLength": 7})
    await broker.look()
    assert "another namespace" in verdict(mine).message
    assert "squatter" not in verdict(mine).message
    assert "elsewhere" not in verdict(mine).message


async def test_a_missing_dead_letter_queue_is_made_first(broker: Broker) -> None:
    tracked = broker.add("one")
    await broker.look("one.dead")
    assert (verdict(tracked).reason, broker.api.asked) == ("Pending", [])
    assert "one.dead" in broker.reader.queues
    tracked.last.dead_letter_trouble = AccessRefused("no configure permission")
    await broker.look("one.dead")
    assert verdict(tracked).reason == "DeadLetterQueueMissing"
    assert "no configure permission" in verdict(tracked).message


def test_every_error_is_a_reason() -> None:
    errors = (ManagementRefused("a"), ManagementUnavailable("b"), PolicyRefused("c"))
    assert [verdict_of(error) for error in errors] == [
        Verdict(False, "AccessRefused", "a"),
        Verdict(False, "ManagementApiUnavailable", "b"),
        Verdict(False, "PolicyRefused", "c"),
    ]
