"""What contradicts a WorkQueue and ends no scaling: a second operator, a shared queue, times that do not fit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from workqueue_operator.cluster.port import Target
from workqueue_operator.resource import Key, WorkQueue

#: Seconds between the end of the longest task and the end of its worker: to hand it back, and to leave.
LEAVE_SECONDS = 15
#: RabbitMQ's consumer_timeout where nothing sets another one (rabbit.app, since 3.8.17).
DEFAULT_CONSUMER_TIMEOUT_SECONDS = 1800

EXCLUSIVE = "Exclusive"
TASKS_FIT = "TasksFit"


@dataclass(frozen=True)
class Dispute:
    """One contradiction: a condition that is only there while it is False."""

    condition: str
    #: One CamelCase word.
    reason: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known beside the spec and the Deployment."""

    #: Another operator of our name scaled the Deployment a short while ago.
    second_operator: bool = False
    #: The other WorkQueues on the queue.
    sharers: Sequence[Key] = ()
    #: Seconds, from a policy or an argument of the queue; None: none is known.
    consumer_timeout: float | None = None


def disputes(workqueue: WorkQueue, target: Target, facts: Facts) -> list[Dispute]:
    """At most one of each condition."""
    return [one for one in (_exclusive(workqueue, facts), _tasks_fit(workqueue, target, facts)) if one]


def _exclusive(workqueue: WorkQueue, facts: Facts) -> Dispute | None:
    if facts.second_operator:
        text = f"another workqueue-operator scales Deployment {workqueue.target.name} too: let one of them serve the"
        return Dispute(EXCLUSIVE, "SecondOperator", f"{text} namespace {workqueue.key.namespace} (watchNamespaces)")
    if not facts.sharers:
        return None
    near = sorted(key.name for key in facts.sharers if key.namespace == workqueue.key.namespace)
    others = f"WorkQueue {', '.join(near)}" if near else "a WorkQueue of another namespace"
    text = f"{others} has the queue {workqueue.queue.declaration.name} too, and each adds workers for the same messages"
    return Dispute(EXCLUSIVE, "QueueShared", f"{text}: keep one of them, or raise messagesPerReplica in each")


def _tasks_fit(workqueue: WorkQueue, target: Target, facts: Facts) -> Dispute | None:
    """Whether the longest task may end before Kubernetes kills its pod and RabbitMQ takes it back."""
    longest = workqueue.scaling.task_timeout_seconds
    needed = longest + LEAVE_SECONDS
    if target.grace_seconds < needed:
        text = f"terminationGracePeriodSeconds of Deployment {target.key.name} is {target.grace_seconds}, less than"
        remedy = f"raise it to {needed} in the pod template, or lower spec.taskTimeoutSeconds"
        return Dispute(
            TASKS_FIT, "GracePeriodTooShort", f"{text} spec.taskTimeoutSeconds {longest} + {LEAVE_SECONDS}: {remedy}"
        )
    limit = facts.consumer_timeout or DEFAULT_CONSUMER_TIMEOUT_SECONDS
    if longest > limit:
        known = "" if facts.consumer_timeout else ", RabbitMQ's default, as far as is known"
        text = f"spec.taskTimeoutSeconds is {longest}, more than the consumer timeout of {limit:.0f} s{known}"
        remedy = "raise consumer-timeout by a policy or consumer_timeout in rabbitmq.conf, or lower it"
        return Dispute(TASKS_FIT, "ConsumerTimeoutTooShort", f"{text}: RabbitMQ takes such a task back; {remedy}")
    return None
