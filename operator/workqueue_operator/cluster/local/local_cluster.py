"""Local processes as the Cluster port: Deployments, pods, Secrets and WorkQueues in memory, each pod's programs real.

What a Deployment's controller, a ReplicaSet's and a kubelet do in a cluster, this does in one event loop.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workqueue_operator import web
from workqueue_operator.cluster import worker_page
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.local.local_pod import LocalPod
from workqueue_operator.cluster.local.manifests import Manifests
from workqueue_operator.cluster.local.merge_patch import merged
from workqueue_operator.cluster.local.orphans import Orphans
from workqueue_operator.cluster.local.workload import Surroundings, Workload
from workqueue_operator.cluster.port import Conflict, Listing, NotFound, Notice, Pod, Target
from workqueue_operator.resource import Key

#: Seconds for a worker's answer, as in a cluster.
ASK_TIMEOUT_SECONDS = 1.0
#: Events that are remembered, and workers that have ended whose output is kept.
MOST_EVENTS = 200
MOST_OUTPUTS = 50
#: The field manager of a size that a manifest sets.
MANIFEST = "manifest"
#: Seconds from a second Ctrl+C to SIGKILL: a worker stops its tasks, and hands back what does not end.
HURRY_SECONDS = 8.0


@dataclass
class LocalEvent:
    """An Event, and how often it came."""

    key: Key
    uid: str
    notice: Notice
    count: int
    #: Seconds since 1970; of the last time.
    time: float


@dataclass
class Hooks:
    """What others do when something changed."""

    on_target: Callable[[Target], None] = lambda _: None
    on_event: Callable[[LocalEvent], None] = lambda _: None
    on_status: Callable[[], None] = lambda: None
    #: A line about a pod: its name, and what became of it.
    on_pod: Callable[[str, str], None] = lambda _name, _text: None


@dataclass
class _Deployment:
    workload: Workload
    target: Target
    pods: dict[str, LocalPod] = field(default_factory=dict)


class LocalCluster:
    """The Cluster port on this machine. `folder` gets the output of each worker and the files that pods mount."""

    def __init__(
        self, manifests: Manifests, surroundings: Surroundings, folder: Path, session: web.Session, hooks: Hooks
    ) -> None:
        self.hooks = hooks
        self.events: deque[LocalEvent] = deque(maxlen=MOST_EVENTS)
        self._surroundings = surroundings
        self._folder = folder
        self._session = session
        self._workqueues = {key: dict(body) for key, body in manifests.workqueues.items()}
        self._secrets = dict(manifests.secrets)
        self._autoscalers = dict(manifests.autoscalers)
        self._deployments: dict[Key, _Deployment] = {}
        self._orphans = Orphans()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        #: The outputs of workers that have ended, oldest first.
        self._outputs: deque[Path] = deque()

    def deploy(self, workload: Workload) -> None:
        """Create a Deployment; its pods start at once."""
        size, uid = workload.replicas, f"deployment-{workload.key}"
        target = Target(
            key=workload.key,
            uid=uid,
            replicas=1 if size is None else size,
            ready=0,
            rolling_out=False,
            selector=workload.selector,
            resource_version=1,
            sized_by="" if size is None else MANIFEST,
            grace_seconds=workload.grace_seconds,
        )
        self._deployments[workload.key] = _Deployment(workload, target)
        self._carry_out(workload.key)

    def add_autoscaler(self, name: str, target: Key) -> None:
        """Create a HorizontalPodAutoscaler."""
        self._autoscalers[target] = name

    def add_secret(self, key: Key, data: Mapping[str, bytes]) -> None:
        """Create a Secret."""
        self._secrets[key] = data

    def add_workqueue(self, key: Key, body: Mapping[str, Any]) -> None:
        """Create a WorkQueue."""
        self._workqueues[key] = dict(body)

    def workqueue(self, key: Key) -> Mapping[str, Any] | None:
        """The WorkQueue with its status; None: there is none."""
        return self._workqueues.get(key)

    def bodies(self) -> Sequence[Mapping[str, Any]]:
        """All WorkQueues with their status."""
        return list(self._workqueues.values())

    def targets(self) -> Sequence[Target]:
        """All Deployments."""
        return [deployment.target for deployment in self._deployments.values()]

    async def list_workqueues(self) -> Listing:
        """All of them."""
        return {"": self.bodies()}

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        """The keys of a Secret; one that is no UTF-8 text is left out."""
        if key not in self._secrets:
            raise NotFound(f"no file has the Secret {key}")
        decoded = {name: _decoded(value) for name, value in self._secrets[key].items()}
        return {name: value for name, value in decoded.items() if value is not None}

    async def read_target(self, key: Key) -> Target:
        """The Deployment."""
        return self._deployment(key).target

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        """The Deployment's pods, those that terminate too."""
        deployment = self._deployments.get(target.key)
        return [pod.value() for pod in deployment.pods.values()] if deployment else []

    async def find_autoscaler(self, target: Key) -> str | None:
        """The one of the manifests. It does not scale here, but in a cluster it would, against the operator."""
        return self._autoscalers.get(target)

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        """Set the pod's deletion cost, or take it away."""
        self._pod(namespace, pod).deletion_cost = cost or 0

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        """Scale the Deployment if it is still as in `target`, else Conflict; see Cluster.set_replicas."""
        there = self._deployment(target.key).target
        whole = 0 in (target.replicas, replicas) or not target.sized_by
        if there.replicas != target.replicas or (whole and there.resource_version != target.resource_version):
            raise Conflict(f"Deployment {target.key} is no longer as it was seen")
        return self.resize(target.key, replicas, FIELD_MANAGER)

    def resize(self, key: Key, replicas: int, manager: str) -> Target:
        """Give the Deployment another size, in the name of a field manager."""
        deployment = self._deployment(key)
        self._change(deployment, replace(deployment.target, replicas=replicas, sized_by=manager))
        self._carry_out(key)
        return deployment.target

    def delete_pod(self, namespace: str, name: str) -> None:
        """As a person does; the Deployment makes another one."""
        pod = self._pod(namespace, name)
        self._terminate(pod)
        self._carry_out(pod.key)

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Merge into the WorkQueue's status."""
        if key not in self._workqueues:
            raise NotFound(f"no file has the WorkQueue {key}")
        body = self._workqueues[key]
        self._workqueues[key] = {**body, "status": merged(body.get("status"), dict(status))}
        self.hooks.on_status()

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        """Remember an Event, or count up the last one of the same reason."""
        same = (one for one in reversed(self.events) if (one.uid, one.notice.reason) == (uid, notice.reason))
        event = next(same, None)
        if event is None:
            event = LocalEvent(key, uid, notice, 0, 0.0)
            self.events.append(event)
        event.notice, event.count, event.time = notice, event.count + 1, time.time()
        self.hooks.on_event(event)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        """The worker's own gauge, from the metrics page on its pod's port; `port` is that of the manifest."""
        try:
            here = self._pod(pod.namespace, pod.name).metrics_port
        except NotFound:
            return None
        page = await web.fetch_page(self._session, f"http://127.0.0.1:{here}/metrics", ASK_TIMEOUT_SECONDS)
        return None if page is None else worker_page.tasks_in_progress(page)

    async def drain(self) -> None:
        """Delete all pods, and wait until they have ended; none is made any more."""
        self._draining = True
        for deployment in self._deployments.values():
            for pod in list(deployment.pods.values()):
                self._terminate(pod)
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._orphans.close()

    def hurry(self, seconds: float = HURRY_SECONDS) -> None:
        """End what still drains within so many seconds."""
        for pod in self.pods():
            if pod.terminating:
                pod.hurry(seconds)

    def pods(self) -> Sequence[LocalPod]:
        """All that there are."""
        return [pod for deployment in self._deployments.values() for pod in deployment.pods.values()]

    def _deployment(self, key: Key) -> _Deployment:
        if key not in self._deployments:
            raise NotFound(f"no file has the Deployment {key}")
        return self._deployments[key]

    def _pod(self, namespace: str, name: str) -> LocalPod:
        found = (pod for pod in self.pods() if (pod.key.namespace, pod.name) == (namespace, name))
        pod = next(found, None)
        if pod is None:
            raise NotFound(f"no pod {namespace}/{name}")
        return pod

    def _carry_out(self, key: Key) -> None:
        """What a ReplicaSet does: delete the pods that are too many, in its order, and make those that lack."""
        deployment = self._deployments[key]
        active = [pod for pod in deployment.pods.values() if not pod.terminating]
        for pod in sorted(active, key=_deletion_order)[: max(0, len(active) - deployment.target.replicas)]:
            self._terminate(pod)
        if not self._draining:
            for _ in range(deployment.target.replicas - len(active)):
                self._make_pod(deployment)

    def _make_pod(self, deployment: _Deployment) -> None:
        name = f"{deployment.workload.key.name}-{secrets.token_hex(3)}"
        pod = LocalPod(
            name,
            deployment.workload,
            self._surroundings,
            self._folder,
            self._orphans,
            lambda text: self._pod_changed(deployment, name, text),
        )
        deployment.pods[name] = pod
        for coroutine in (self._run(deployment, pod), pod.probe(self._session)):
            task = asyncio.create_task(coroutine, name=name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, deployment: _Deployment, pod: LocalPod) -> None:
        try:
            await pod.run()
        finally:
            deployment.pods.pop(pod.name, None)
            pod.close()
            self._outputs.append(pod.output)
            if len(self._outputs) > MOST_OUTPUTS:
                self._outputs.popleft().unlink(missing_ok=True)
            self._pod_changed(deployment, pod.name, "has ended")

    def _terminate(self, pod: LocalPod) -> None:
        if not pod.terminating:
            pod.terminate()
            deployment = self._deployments[pod.key]
            self._pod_changed(deployment, pod.name, "is asked to finish and end")

    def _pod_changed(self, deployment: _Deployment, name: str, text: str) -> None:
        if text:
            self.hooks.on_pod(name, text)
        ready = sum(pod.ready for pod in deployment.pods.values() if not pod.terminating)
        if ready != deployment.target.ready:
            self._change(deployment, replace(deployment.target, ready=ready))

    def _change(self, deployment: _Deployment, target: Target) -> None:
        version = deployment.target.resource_version + 1
        deployment.target = replace(target, resource_version=version)
        self.hooks.on_target(deployment.target)


def _deletion_order(pod: LocalPod) -> tuple[bool, bool, int, float]:
    """As a ReplicaSet: pending, then not ready, then cheap, then young (controller_utils.go, ActivePodsWithRanks)."""
    return not pod.pending, pod.ready, pod.deletion_cost, -pod.created


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:  # a keystore, say; nothing that says where a broker is
        return None
