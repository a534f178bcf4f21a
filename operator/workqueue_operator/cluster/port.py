"""The port to what runs the workers. Kubernetes is one adapter, the fake of the tests another.

ClusterError
├── ClusterUnavailable  temporary: no answer, overload; the next pass tries again
├── Forbidden           our service account may not: grant it (the chart's RBAC does)
├── NotFound            the object is not there
├── Conflict            the object is no longer as we saw it; the next pass reads it again
└── Rejected            an admission webhook, a policy or the schema refuses the request: its words say what to change
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workqueue_operator.resource import Key


class ClusterError(Exception):
    """Any failure to use the cluster."""

    kind = "cluster"


class ClusterUnavailable(ClusterError):
    """No answer, or overload; worth another try."""

    kind = "unavailable"


class Forbidden(ClusterError):
    """The operator's service account lacks a right."""

    kind = "forbidden"


class NotFound(ClusterError):
    """The object is not there."""

    kind = "not_found"


class Conflict(ClusterError):
    """The object changed since we saw it."""

    kind = "conflict"


class Rejected(ClusterError):
    """The API server refuses the request from any client: an admission webhook, a policy, or its schema."""

    kind = "rejected"


#: By namespace ("" for the whole cluster): its WorkQueues as the API server has them, or why they could not be listed.
Listing = Mapping[str, Sequence[Mapping[str, Any]] | ClusterError]


@dataclass(frozen=True)
class Target:
    """A Deployment, as far as scaling it goes."""

    key: Key
    uid: str
    replicas: int
    ready: int
    rolling_out: bool
    #: The label selector of its pods, as the API server takes it in a query: all of spec.selector, never empty.
    selector: str
    #: Grows with every change of the object; comparable since KEP-5504, and in practice before.
    resource_version: int
    #: Why it cannot make pods, such as a quota, and why its rollout does not go on, in its own words; "": it does.
    refused: str = ""
    stuck: str = ""
    #: The field manager that set its size last, such as kubectl; "": not known.
    sized_by: str = ""
    #: The pods' terminationGracePeriodSeconds.
    grace_seconds: int = 30


@dataclass(frozen=True)
class Pod:
    """A worker pod of a Deployment."""

    name: str
    uid: str
    #: None until it has one.
    ip: str | None
    #: Its phase: no container has run yet, or it has no node.
    pending: bool
    #: Its container runs now; in one that does not there is no task.
    running: bool
    ready: bool
    terminating: bool
    #: Its phase is Succeeded or Failed, as of an evicted one: it never runs again, and no ReplicaSet counts it.
    finished: bool
    #: Seconds since 1970; when it was made.
    created: float
    #: controller.kubernetes.io/pod-deletion-cost; 0 without the annotation.
    deletion_cost: int
    #: How often a container, or one that runs before it, was started again; 0 when it had ended in order, as a worker
    #: does after --max-tasks.
    restarts: int
    #: A container, or one that runs before it, waits in CrashLoopBackOff or for an image: the kubelet's word; else "".
    trouble: str = ""
    #: No node fits: the scheduler's words; else "".
    unschedulable: str = ""
    namespace: str = ""

    @property
    def active(self) -> bool:
        """Whether a ReplicaSet counts it among its replicas (controller_utils.go, IsPodActive)."""
        return not (self.terminating or self.finished)


@dataclass(frozen=True)
class Notice:
    """One Event about a WorkQueue."""

    reason: str
    message: str
    #: "Normal" or "Warning".
    type: str = "Normal"
    #: Type of the condition that it reports; empty: none.
    condition: str = ""


class Cluster(Protocol):
    """What the operator does to a cluster. Every method raises a ClusterError when it cannot."""

    async def list_workqueues(self) -> Listing:
        """The WorkQueues of each watched namespace. Raises nothing: an error stands in the place of its namespace."""

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        """The decoded keys of a Secret."""

    async def read_target(self, key: Key) -> Target:
        """The Deployment."""

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        """The pods of the Deployment, terminating and finished ones too."""

    async def find_autoscaler(self, target: Key) -> str | None:
        """The name of a HorizontalPodAutoscaler on the Deployment, if there is one."""

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        """Set the pod's deletion cost, or take it away."""

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        """Scale the Deployment if its replicas are still as in `target`, else Conflict; answers it as it then is.

        From or to 0, and where `sized_by` is "", any other change of the Deployment since then is a Conflict too.
        """

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Merge into the WorkQueue's status."""

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        """Post an Event about the WorkQueue, or count it up when the same reason was just posted."""

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        """How many tasks the worker in the pod has in progress; None when it does not answer in time."""
