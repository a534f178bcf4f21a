"""The RabbitMQ policy of a queue: what it should say, and what is to be done about what is there. Pure.

RabbitMQ applies one policy to a queue, the one of the highest priority. Ours has the queue's name in its own, matches
that queue alone, and is the only one that is ever touched. Why it says what it says: docs/decisions/0009.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workqueue_broker.declaration import Declare, QueueType

from workqueue_operator.resource import Mode, QueueSpec

PREFIX = "workqueue."
#: Above the catch-all policies that people have, which mostly have 0; below what people set on purpose.
PRIORITY = 50
#: Policies of a virtual host from which on no defaults are set any more, only limits that the user asked for. For each
#: policy that is set RabbitMQ matches all policies with all queues: that took about half a second with 200 of each, and
#: more than 15 s with 1,000 (3.10 and 4.0, on two busy cores).
MOST_POLICIES = 200
#: spec.queue.deliveryLimit where the user set none; as the schema fills it in, it counts as not asked for.
DEFAULT_DELIVERY_LIMIT = 20

APPLIED = "Applied"
PENDING = "Pending"
ACCESS_REFUSED = "AccessRefused"
POLICY_REFUSED = "PolicyRefused"
MANAGEMENT_API_MISSING = "ManagementApiMissing"
MANAGEMENT_API_UNAVAILABLE = "ManagementApiUnavailable"

Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """A policy as RabbitMQ stores it."""

    name: str
    pattern: str
    definition: Definition
    priority: int = PRIORITY
    apply_to: str = "queues"


@dataclass(frozen=True)
class QueueInForce:
    """A queue as RabbitMQ's statistics describe it, which are up to 5 s old; None: they do not have it yet."""

    #: In RabbitMQ's word: quorum, classic, stream.
    type: str | None = None
    #: The policy that applies to it; empty: none does.
    policy: str | None = None
    #: What applies to it, operator policies included.
    definition: Definition | None = None
    #: It has 0 messages and 0 consumers, and its leader and a majority are online; False: not so, or not answered.
    empty: bool = False
    #: Each message that its total counts enters it, and leaves it in the order in which it came. Not so with
    #: priorities, and while it is full: messages that it refuses are counted too.
    ordered: bool = False


@dataclass(frozen=True)
class VirtualHost:
    """The queues and the policies of a virtual host, by name."""

    queues: Mapping[str, QueueInForce] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Whether the limits of a queue hold; it becomes the condition PolicyApplied."""

    #: None: not known.
    applied: bool | None
    #: One CamelCase word.
    reason: str
    message: str


@dataclass(frozen=True)
class Leave:
    """Nothing is to be done, for it is so, or it is not ours to change."""

    verdict: Verdict


@dataclass(frozen=True)
class MakeDeadLetterQueue:
    """First the queue for dead letters: a policy that sends them nowhere would lose them."""

    verdict: Verdict


@dataclass(frozen=True)
class SetPolicy:
    """The policy is to be set."""

    policy: Policy
    #: For the Event: what was found instead.
    why: str


Action = Leave | MakeDeadLetterQueue | SetPolicy


@dataclass(frozen=True)
class HandsOff:
    """Why a policy is not to be set, and what would change that."""

    reason: str
    remedy: str


def wanted_policy(queue: QueueSpec) -> Policy:
    """The policy that a queue of this spec should have."""
    name = queue.declaration.name
    return Policy(f"{PREFIX}{name}", f"^{re.escape(name)}$", _definition(queue, queue.declaration.type))


def _definition(queue: QueueSpec, kind: QueueType) -> dict[str, Any]:
    """What RabbitMQ takes away by itself goes to the dead-letter queue, through the default exchange.

    At-least-once dead lettering is there for quorum queues since 3.10, and only together with reject-publish.
    """
    made: dict[str, Any] = {"dead-letter-exchange": "", "dead-letter-routing-key": queue.dead_letter_queue}
    if kind is QueueType.QUORUM:
        made["delivery-limit"] = queue.delivery_limit
        made["dead-letter-strategy"] = "at-least-once"
        made["overflow"] = "reject-publish"
    if queue.max_length is not None:
        made["max-length"] = queue.max_length
        made["overflow"] = "reject-publish"
    if queue.message_ttl_seconds is not None:
        made["message-ttl"] = queue.message_ttl_seconds * 1000
    return made


def is_asked_for(queue: QueueSpec) -> bool:
    """Whether the user set a limit, and did not only leave the defaults."""
    own_limit = queue.declaration.type is QueueType.QUORUM and queue.delivery_limit != DEFAULT_DELIVERY_LIMIT
    return own_limit or queue.max_length is not None or queue.message_ttl_seconds is not None


def hands_off(queue: QueueSpec, mode: Mode, older: str | None) -> HandsOff | None:
    """Why the policy of a queue is not ours to set; `older`: another WorkQueue that has the same queue."""
    if older:
        return HandsOff("QueueShared", f"the older WorkQueue {older} sets the limits of this queue: set them there")
    if queue.declare is Declare.NEVER:
        return HandsOff("DeclareNever", "set this policy yourself")
    if mode is not Mode.ACTIVE:
        return HandsOff(mode.value, "set spec.mode to Active")
    return None


def plan(queue: QueueSpec, there: VirtualHost, hands: HandsOff | None) -> Action:
    """What is to be done about a queue's policy."""
    wanted, seen = wanted_policy(queue), there.queues.get(queue.declaration.name)
    if hands:
        return Leave(_as_it_is(_definition(queue, _type_there(queue, seen)), seen, hands))
    if seen and seen.type and seen.type != queue.declaration.type.value.lower():
        text = f"no policy is set: spec.queue.type is {queue.declaration.type}, and the queue is of type {seen.type}"
        return Leave(Verdict(False, "QueueMismatch", text))
    if queue.dead_letter_queue not in there.queues:
        return MakeDeadLetterQueue(_pending(f"the dead-letter queue {queue.dead_letter_queue} is not there yet"))
    found = there.policies.get(wanted.name)
    if found is None and len(there.policies) >= MOST_POLICIES and not is_asked_for(queue):
        return Leave(_crowded())
    if found != wanted:
        return SetPolicy(wanted, _what_was_wrong(found, seen, there))
    return Leave(_in_force(wanted, seen, there))


def consumer_timeout(seen: QueueInForce) -> float | None:
    """Seconds of the key consumer-timeout of what applies to the queue; None: nothing sets it."""
    milliseconds = (seen.definition or {}).get("consumer-timeout")
    return milliseconds / 1000 if isinstance(milliseconds, int) and milliseconds > 0 else None


def missing_dead_letter_queue(queue: QueueSpec, trouble: str) -> Verdict:
    """The dead-letter queue cannot be made."""
    name = queue.dead_letter_queue
    text = f"no policy is set, as the dead-letter queue {name} is missing: create it, or fix this: {trouble}"
    return Verdict(False, "DeadLetterQueueMissing", text)


def missing_management_api() -> Verdict:
    """There is nothing to set a policy with."""
    text = "no policy is set, as the broker's Secret (spec.broker.secretName) has no key management_uri: set it"
    return Verdict(False, MANAGEMENT_API_MISSING, text)


def unclear_owner() -> Verdict:
    """Whether an older WorkQueue sets the limits will be known in a moment."""
    return _pending("an older WorkQueue names this queue, and its login was not tried yet")


def waiting(policy: Policy) -> Verdict:
    """The policy is stored, or will be in a moment."""
    return _pending(f"policy {policy.name}: RabbitMQ does not show yet that it applies")


def _crowded() -> Verdict:
    text = (
        f"no policy is set for defaults alone, as the virtual host has {MOST_POLICIES} policies or more and is slow: "
        "set a limit in spec.queue, or use another virtual host"
    )
    return Verdict(False, "TooManyPolicies", text)


def _type_there(queue: QueueSpec, seen: QueueInForce | None) -> QueueType:
    """A queue that is taken as it is may be of another type: RabbitMQ ignores a policy with a key that it has not."""
    there = {kind.lower(): kind for kind in QueueType}
    return there.get((seen and seen.type) or "", queue.declaration.type)


def _as_it_is(wanted: Definition, seen: QueueInForce | None, hands: HandsOff) -> Verdict:
    """For a policy that is not ours to set: whether what is there does the same."""
    if seen is None or seen.definition is None:
        return _pending("RabbitMQ does not show yet what applies to the queue")
    lacking = _lacking(wanted, seen.definition)
    if not lacking:
        return Verdict(True, APPLIED, f"policy {seen.policy} does what is asked for")
    return Verdict(False, hands.reason, f"not in force: {_words(lacking)}; {hands.remedy}")


def _in_force(wanted: Policy, seen: QueueInForce | None, there: VirtualHost) -> Verdict:
    """Our policy is stored: whether RabbitMQ applies it."""
    if seen is None or not seen.policy:
        return waiting(wanted)
    if seen.policy == wanted.name:
        return Verdict(True, APPLIED, f"policy {wanted.name} applies")
    other = there.policies.get(seen.policy)
    if other is None or other.priority < PRIORITY:  # the statistics are from before ours was set
        return waiting(wanted)
    lacking = _lacking(wanted.definition, seen.definition or {})
    if not lacking:
        return Verdict(True, APPLIED, f"policy {other.name} does what is asked for")
    text = (
        f"policy {other.name} applies instead, with priority {other.priority}, and RabbitMQ applies one alone: "
        f"delete it, give it a priority below {PRIORITY}, or put into it {_words(lacking)}"
    )
    return Verdict(False, "OtherPolicy", text)


def _what_was_wrong(found: Policy | None, seen: QueueInForce | None, there: VirtualHost) -> str:
    if found is not None:
        return "it was not as spec.queue asks for"
    before = there.policies.get(seen.policy) if seen and seen.policy else None
    if before is not None and before.priority < PRIORITY:
        return f"it takes the place of policy {before.name}, which has priority {before.priority}"
    return "it was missing"


def _lacking(wanted: Definition, there: Definition) -> dict[str, Any]:
    """The keys that do not hold; a limit below the wanted one does, as an operator policy may set it."""
    return {key: value for key, value in wanted.items() if not _holds(value, there.get(key))}


def _holds(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, int) and isinstance(there, int):
        return 0 <= there <= wanted
    return bool(wanted == there)


def _words(definition: Definition) -> str:
    return ", ".join(f"{key}={value if value != '' else chr(34) * 2}" for key, value in sorted(definition.items()))


def _pending(text: str) -> Verdict:
    return Verdict(None, PENDING, text)
