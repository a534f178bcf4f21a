"""The custom resource as a value: raw dictionaries are parsed here, once, and nowhere else.

The defaults repeat those of the schema, so that a body from a test or an old API server means the same. Pure.
"""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from workqueue_broker.declaration import Declare, QueueDeclaration, QueueType
from workqueue_broker.names import InvalidName, checked_name, dead_letter_name

GROUP = "workqueue.dev"
VERSION = "v1alpha1"
PLURAL = "workqueues"
KIND = "WorkQueue"

#: Names of Secrets and Deployments (RFC 1123 subdomains), which become parts of API paths. The definition of WorkQueue
#: has the same rule, but an object may have been stored under another definition.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_LENGTH = 253
#: The definition's numbers have the format int32.
INT32_MAX = 2**31 - 1
LAST_PORT = 65535
#: A wrong value in an error, cut in length and depth.
_shown = reprlib.Repr().repr
#: The objects of the spec, each with what an error suggests for it.
_EXAMPLES = {
    "spec": "{broker: {secretName: rabbitmq}, scaleTargetRef: {name: worker}}",
    "spec.broker": "{secretName: rabbitmq}",
    "spec.queue": "{name: task_queue}",
    "spec.scaleTargetRef": "{name: worker}",
    "spec.workers": "{metricsPort: 8000}",
    "spec.scaling": "{maxReplicas: 5}",
    "spec.scaling.scaleUp": "{maxStep: 10}",
    "spec.scaling.scaleDown": "{stabilizationWindowSeconds: 60}",
    "spec.scaling.fallback": "{afterSeconds: 60, replicas: 2}",
}


class InvalidSpec(ValueError):
    """A WorkQueue that cannot be used; the message names the field and the remedy. A person must change it."""


class Mode(StrEnum):
    """What the operator may do: everything, everything but write to the Deployment, or nothing."""

    ACTIVE = "Active"
    DRY_RUN = "DryRun"
    PAUSED = "Paused"


@dataclass(frozen=True)
class Key:
    """Namespace and name of an object."""

    namespace: str
    name: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Key":
        """The key of an object as the API server has it."""
        return cls(body["metadata"]["namespace"], body["metadata"]["name"])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Fallback:
    """What to run when the queue has been unknown for long."""

    after_seconds: int
    replicas: int


@dataclass(frozen=True)
class ScalingPolicy:
    """`spec.scaling`, with what else the decision depends on."""

    min_replicas: int = 0
    max_replicas: int = 50
    #: Ready messages that one worker may have waiting.
    messages_per_replica: int = 5
    #: Seconds in which the backlog should be gone; None: by messages_per_replica alone.
    drain_seconds: int | None = None
    #: Seconds; a reading is never meant to be older.
    poll_period_seconds: int = 1
    #: Workers added at most in one step; 0: no limit.
    scale_up_max_step: int = 0
    scale_down_stabilization_seconds: int = 60
    fallback: Fallback | None = None
    #: Seconds; the longest one task may take, the upper bound of a service time.
    task_timeout_seconds: int = 600


@dataclass(frozen=True)
class QueueSpec:
    """`spec.queue`: what is declared, and what goes by policy."""

    declaration: QueueDeclaration
    declare: Declare
    dead_letter_queue: str
    delivery_limit: int
    max_length: int | None
    message_ttl_seconds: int | None


@dataclass(frozen=True)
class WorkQueue:
    """One parsed custom resource."""

    key: Key
    uid: str
    generation: int
    #: RFC 3339; the older of two on one Deployment keeps it.
    created: str
    mode: Mode
    broker_secret: str
    queue: QueueSpec
    #: The Deployment that is scaled, in the same namespace.
    target: Key
    scaling: ScalingPolicy
    metrics_port: int


T = TypeVar("T", bound=StrEnum)


def parse(body: Mapping[str, Any]) -> WorkQueue:
    """The WorkQueue of a custom resource's body; raises InvalidSpec."""
    metadata, spec = body["metadata"], _object(body, "spec")
    key = Key(_name(metadata, "namespace", "metadata"), _name(metadata, "name", "metadata"))
    return WorkQueue(
        key=key,
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        mode=_word(spec, "mode", Mode, Mode.ACTIVE, "spec"),
        broker_secret=_name(_object(spec, "spec.broker"), "secretName", "spec.broker"),
        queue=_queue(_object(spec, "spec.queue"), key.name),
        target=Key(key.namespace, _name(_object(spec, "spec.scaleTargetRef"), "name", "spec.scaleTargetRef")),
        scaling=_scaling(_object(spec, "spec.scaling"), _number(spec, "taskTimeoutSeconds", "spec", 600, at_least=1)),
        metrics_port=_number(
            _object(spec, "spec.workers"), "metricsPort", "spec.workers", 8000, at_least=1, at_most=LAST_PORT
        ),
    )


def _queue(queue: Mapping[str, Any], default_name: str) -> QueueSpec:
    path = "spec.queue"
    name = _queue_name(queue, "name") or _by_rule("metadata.name", default_name)
    return QueueSpec(
        declaration=QueueDeclaration(name, _word(queue, "type", QueueType, QueueType.QUORUM, path)),
        declare=_word(queue, "declare", Declare, Declare.CREATE, path),
        dead_letter_queue=_queue_name(queue, "deadLetterQueue") or _default_dead_letter_queue(queue, name),
        delivery_limit=_number(queue, "deliveryLimit", path, 20, at_least=1),
        max_length=_optional(queue, "maxLength", path, at_least=1),
        message_ttl_seconds=_optional(queue, "messageTtlSeconds", path, at_least=1),
    )


def _queue_name(queue: Mapping[str, Any], field: str) -> str | None:
    """None when the field is missing or empty."""
    name, path = queue.get(field), f"spec.queue.{field}"
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise InvalidSpec(f"{path} is {_shown(name)}: set the name of a queue")
    return _by_rule(path, name)


def _default_dead_letter_queue(queue: Mapping[str, Any], name: str) -> str:
    field = "spec.queue.name" if queue.get("name") else "metadata.name"
    try:
        return dead_letter_name(name, field, "spec.queue.deadLetterQueue")
    except InvalidName as error:
        raise InvalidSpec(str(error)) from error


def _by_rule(path: str, name: str) -> str:
    try:
        return checked_name(name)
    except InvalidName as error:
        raise InvalidSpec(f"{path} {error}") from error


def _scaling(scaling: Mapping[str, Any], task_timeout_seconds: int) -> ScalingPolicy:
    path = "spec.scaling"
    policy = ScalingPolicy(
        min_replicas=_number(scaling, "minReplicas", path, 0),
        max_replicas=_number(scaling, "maxReplicas", path, 50),
        messages_per_replica=_number(scaling, "messagesPerReplica", path, 5, at_least=1),
        drain_seconds=_optional(scaling, "drainSeconds", path, at_least=1),
        poll_period_seconds=_number(scaling, "pollPeriodSeconds", path, 1, at_least=1),
        scale_up_max_step=_number(_object(scaling, f"{path}.scaleUp"), "maxStep", f"{path}.scaleUp", 0),
        scale_down_stabilization_seconds=_number(
            _object(scaling, f"{path}.scaleDown"), "stabilizationWindowSeconds", f"{path}.scaleDown", 60
        ),
        fallback=_fallback(_object(scaling, f"{path}.fallback"), f"{path}.fallback"),
        task_timeout_seconds=task_timeout_seconds,
    )
    if policy.min_replicas > policy.max_replicas:
        raise InvalidSpec(
            f"{path}.minReplicas is {policy.min_replicas}, more than maxReplicas, which is {policy.max_replicas}: "
            "lower minReplicas or raise maxReplicas"
        )
    return policy


def _fallback(fallback: Mapping[str, Any], path: str) -> Fallback | None:
    if not fallback:
        return None
    return Fallback(_number(fallback, "afterSeconds", path, 60, at_least=1), _number(fallback, "replicas", path, 0))


def _object(parent: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The field at the end of the path; empty when it is missing."""
    value = parent.get(path.rpartition(".")[2])
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidSpec(f"{path} is {_shown(value)}: it must be an object, such as {_EXAMPLES[path]}")
    return value


def _name(parent: Mapping[str, Any], field: str, path: str) -> str:
    value = parent.get(field)
    if value is None or value == "":
        raise InvalidSpec(f"{path}.{field} is missing: set it to the name of an object in the same namespace")
    if not isinstance(value, str) or len(value) > NAME_LENGTH or not _NAME.fullmatch(value):
        raise InvalidSpec(
            f"{path}.{field} is {_shown(value)}, which no object can have as its name: use lower-case letters, "
            f"digits, '-' and '.', at most {NAME_LENGTH}"
        )
    return value


def _word(parent: Mapping[str, Any], field: str, words: type[T], default: T, path: str) -> T:
    value = parent.get(field)
    try:
        return default if value is None else words(value)
    except ValueError as error:
        raise InvalidSpec(f"{path}.{field} is {_shown(value)}: use one of {', '.join(words)}") from error


def _number(
    parent: Mapping[str, Any], field: str, path: str, default: int, *, at_least: int = 0, at_most: int = INT32_MAX
) -> int:
    value = parent.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
        raise InvalidSpec(f"{path}.{field} is {_shown(value)}: set a whole number from {at_least} to {at_most}")
    return value


def _optional(parent: Mapping[str, Any], field: str, path: str, *, at_least: int) -> int | None:
    return None if parent.get(field) is None else _number(parent, field, path, 0, at_least=at_least)
