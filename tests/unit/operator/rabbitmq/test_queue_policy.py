"""A queue's policy: what it says, and what is done about what is there."""

import re
from dataclasses import replace
from typing import Any

import pytest
from workqueue_broker.declaration import Declare, QueueDeclaration, QueueType
from workqueue_operator.rabbitmq.queue_policy import (
    MOST_POLICIES,
    PRIORITY,
    Leave,
    MakeDeadLetterQueue,
    Policy,
    QueueInForce,
    SetPolicy,
    Verdict,
    VirtualHost,
    hands_off,
    is_asked_for,
    plan,
    wanted_policy,
)
from workqueue_operator.resource import Mode, QueueSpec


def spec(
    kind: QueueType = QueueType.QUORUM,
    *,
    delivery_limit: int = 20,
    max_length: int | None = None,
    ttl: int | None = None,
    declare: Declare = Declare.CREATE,
) -> QueueSpec:
    return QueueSpec(QueueDeclaration("jobs", kind), declare, "jobs.dead", delivery_limit, max_length, ttl)


WANTED = wanted_policy(spec())
OTHER = Policy("everything", ".*", {"max-length": 3}, priority=0)
DEAD = QueueInForce("quorum", "", {})
OURS_APPLIES = QueueInForce("quorum", WANTED.name, WANTED.definition)


def there(jobs: QueueInForce | None, *policies: Policy, dead: bool = True) -> VirtualHost:
    queues = {"jobs": jobs, "jobs.dead": DEAD if dead else None}
    return VirtualHost(
        {name: queue for name, queue in queues.items() if queue is not None},
        {policy.name: policy for policy in policies},
    )


def verdict(action: object) -> Verdict:
    assert isinstance(action, Leave)
    return action.verdict


def test_without_any_limit_what_rabbitmq_takes_away_is_dead_lettered() -> None:
    assert wanted_policy(spec()).definition == {
        "delivery-limit": 20,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "jobs.dead",
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
    }


def test_a_classic_queue_has_no_key_that_only_quorum_queues_know() -> None:
    """RabbitMQ applies nothing of a policy to a queue that does not support one of its keys."""
    assert wanted_policy(spec(QueueType.CLASSIC)).definition == {
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "jobs.dead",
    }


@pytest.mark.parametrize("kind", list(QueueType))
def test_every_limit_is_in_rabbitmqs_words_and_units(kind: QueueType) -> None:
    definition = wanted_policy(spec(kind, max_length=100, ttl=86400)).definition
    assert (definition["max-length"], definition["overflow"]) == (100, "reject-publish")
    assert definition["message-ttl"] == 86_400_000


@pytest.mark.parametrize("name", ["jobs", "a.b", "a+b (c)", "[x]", "schlüssel", "a|b", "back\\slash", "a$"])
def test_the_pattern_matches_its_queue_and_no_other(name: str) -> None:
    made = wanted_policy(replace(spec(), declaration=QueueDeclaration(name)))
    assert made.name == f"workqueue.{name}"
    assert re.search(made.pattern, name)
    for other in (f"{name}.dead", f"x{name}", name.replace(".", "x") + "x", name[:-1]):
        assert not re.search(made.pattern, other)


def test_a_missing_policy_is_set_also_before_its_queue_is_there() -> None:
    assert plan(spec(), there(DEAD), None) == SetPolicy(WANTED, "it was missing")
    assert plan(spec(), there(None), None) == SetPolicy(WANTED, "it was missing")


@pytest.mark.parametrize(
    "changed",
    [
        {"priority": 1},
        {"pattern": ".*"},
        {"apply_to": "all"},
        {"definition": {**WANTED.definition, "max-length": 1}},
        {"definition": {}},
    ],
)
def test_a_policy_of_ours_that_a_person_changed_is_set_again(changed: dict[str, Any]) -> None:
    action = plan(spec(), there(OURS_APPLIES, replace(WANTED, **changed)), None)
    assert action == SetPolicy(WANTED, "it was not as spec.queue asks for")


def test_where_there_are_many_policies_only_limits_are_set_that_a_person_asked_for() -> None:
    """RabbitMQ's work for each grows with all of them."""
    many = [Policy(f"p{number}", "^x$", {}) for number in range(MOST_POLICIES)]
    found = verdict(plan(spec(), there(DEAD, *many), None))
    assert (found.applied, found.reason) == (False, "TooManyPolicies")
    assert isinstance(plan(spec(), there(DEAD, *many[1:]), None), SetPolicy)
    assert isinstance(plan(spec(max_length=7), there(DEAD, *many), None), SetPolicy)
    assert isinstance(plan(spec(), there(DEAD, *many, replace(WANTED, priority=1)), None), SetPolicy)


def test_a_changed_limit_is_set() -> None:
    action = plan(spec(max_length=7), there(OURS_APPLIES, WANTED), None)
    assert isinstance(action, SetPolicy)
    assert action.policy.definition["max-length"] == 7


def test_nothing_is_done_while_all_is_as_it_should_be() -> None:
    assert verdict(plan(spec(), there(OURS_APPLIES, WANTED, OTHER), None)).applied is True


def test_the_event_names_the_policy_whose_place_ours_takes() -> None:
    action = plan(spec(), there(QueueInForce("quorum", "everything", {"max-length": 3}), OTHER), None)
    assert isinstance(action, SetPolicy)
    assert action.why == "it takes the place of policy everything, which has priority 0"


def test_the_statistics_may_not_know_our_policy_yet() -> None:
    """They are up to 5 s old: no verdict, and above all not that another policy is in the way."""
    for seen in (QueueInForce("quorum"), DEAD, QueueInForce("quorum", "everything", {"max-length": 3})):
        assert verdict(plan(spec(), there(seen, WANTED, OTHER), None)).applied is None


def test_another_policy_of_higher_priority_is_named_with_the_remedy() -> None:
    stronger = replace(OTHER, priority=PRIORITY + 1)
    found = verdict(
        plan(spec(), there(QueueInForce("quorum", "everything", {"max-length": 3}), WANTED, stronger), None)
    )
    assert (found.applied, found.reason) == (False, "OtherPolicy")
    for word in ("policy everything", "priority 51", "below 50", "delivery-limit=20", 'dead-letter-exchange=""'):
        assert word in found.message


def test_another_policy_that_does_the_same_is_as_good() -> None:
    """That is how one sets keys that ours does not have."""
    definition = {**WANTED.definition, "consumer-timeout": 7_200_000}
    stronger = Policy("mine", "^jobs$", definition, priority=99)
    found = verdict(plan(spec(), there(QueueInForce("quorum", "mine", definition), WANTED, stronger), None))
    assert (found.applied, found.message) == (True, "policy mine does what is asked for")


def test_without_a_dead_letter_queue_no_policy_is_set() -> None:
    assert isinstance(plan(spec(), there(DEAD, dead=False), None), MakeDeadLetterQueue)


def test_a_policy_for_a_queue_of_another_type_is_not_set() -> None:
    found = verdict(plan(spec(), there(QueueInForce("classic", "", {})), None))
    assert (found.applied, found.reason) == (False, "QueueMismatch")


@pytest.mark.parametrize(
    ("mode", "declare", "older", "reason"),
    [
        (Mode.DRY_RUN, Declare.CREATE, None, "DryRun"),
        (Mode.PAUSED, Declare.CREATE, None, "Paused"),
        (Mode.ACTIVE, Declare.NEVER, None, "DeclareNever"),
        (Mode.ACTIVE, Declare.CREATE, "team/first", "QueueShared"),
    ],
)
def test_what_is_not_ours_to_set_is_compared_and_left(
    mode: Mode, declare: Declare, older: str | None, reason: str
) -> None:
    queue = spec(declare=declare, max_length=100)
    hands = hands_off(queue, mode, older)
    found = verdict(plan(queue, there(QueueInForce("quorum", "", {}), dead=False), hands))
    assert (found.applied, found.reason) == (False, reason)
    assert "max-length=100" in found.message
    in_force = {**wanted_policy(queue).definition, "max-length": 50}  # an operator policy may ask for less
    assert verdict(plan(queue, there(QueueInForce("quorum", "theirs", in_force)), hands)).applied is True
    assert verdict(plan(queue, there(QueueInForce("quorum")), hands)).applied is None


def test_of_a_queue_that_is_taken_as_it_is_no_key_is_missed_that_its_type_has_not() -> None:
    """A classic queue ignores a policy with delivery-limit; and Create would only bring the mismatch back."""
    queue = spec(declare=Declare.NEVER, max_length=100)
    found = verdict(plan(queue, there(QueueInForce("classic", "", {})), hands_off(queue, Mode.ACTIVE, None)))
    assert "max-length=100" in found.message
    for harmful in ("delivery-limit", "dead-letter-strategy", "Create"):
        assert harmful not in found.message


def test_an_active_queue_that_we_declare_is_ours_to_set() -> None:
    assert hands_off(spec(), Mode.ACTIVE, None) is None


def test_only_what_is_no_default_counts_as_asked_for() -> None:
    assert not is_asked_for(spec())
    assert not is_asked_for(spec(QueueType.CLASSIC, delivery_limit=5))  # it has none
    assert all(map(is_asked_for, (spec(delivery_limit=5), spec(max_length=1), spec(ttl=1))))
