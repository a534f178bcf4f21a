"""What the API server refuses ends no pass: counts and conditions are written, with its words, and one Event."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from workqueue_operator.cluster.port import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Notice,
    Pod,
    Rejected,
    Target,
)
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeCluster
from tests.support.passes import Operator

WORDS = 'PATCH …/scale: 403 deployments.apps "thumbnails-worker" is forbidden: User "operator" cannot patch'
NO_RIGHT = Forbidden(WORDS)
BY_WEBHOOK = Rejected('PATCH …/scale: 422 admission webhook "frozen.example.com" denied the request: change freeze')


@dataclass
class Refusing(FakeCluster):
    """A cluster that refuses some requests for as long as the test says."""

    refused: dict[str, ClusterError] = field(default_factory=dict)
    #: How often each request was made.
    requests: dict[str, int] = field(default_factory=dict)

    def _request(self, name: str) -> None:
        self.requests[name] = self.requests.get(name, 0) + 1
        if name in self.refused:
            raise type(self.refused[name])(str(self.refused[name]))

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        self._request("scale")
        return await super().set_replicas(target, replicas)

    async def read_target(self, key: Key) -> Target:
        self._request("target")
        return await super().read_target(key)

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        self._request("pods")
        return await super().read_pods(target)

    async def find_autoscaler(self, target: Key) -> str | None:
        self._request("autoscalers")
        return await super().find_autoscaler(target)

    async def write_status(self, key: Key, status: Any) -> None:
        self._request("status")
        await super().write_status(key, status)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        self._request("event")
        await super().post_event(key, uid, notice)


async def started(replicas: int = 1) -> tuple[Operator, Refusing, Tracked]:
    """An operator that has watched its workers and an empty queue for longer than its window."""
    cluster = Refusing()
    operator = Operator(cluster=cluster, replicas_at_start=replicas)
    tracked = operator.add(scaling={"minReplicas": replicas, "scaleDown": {"stabilizationWindowSeconds": 60}})
    await operator.after(70, tracked, Counts(0, replicas))
    cluster.events.clear()
    return operator, cluster, tracked


@pytest.mark.parametrize("error", [NO_RIGHT, BY_WEBHOOK], ids=["a right", "a webhook"])
async def test_a_refused_scale_is_in_the_status_with_the_counts_of_now(error: ClusterError) -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"scale": error}
    await operator.after(30, tracked, Counts(40, 1))
    status, active = operator.status(), operator.condition("ScalingActive")
    assert (status["messagesReady"], status["desiredReplicas"], status["replicas"]) == (40, 8, 1)
    assert (active["status"], active["reason"]) == ("False", "ApiServerRefused")
    assert str(error) in active["message"]
    assert (operator.condition("Ready")["status"], operator.condition("Ready")["reason"]) == (
        "False",
        "ApiServerRefused",
    )
    assert [(one.type, one.reason) for one in cluster.events] == [("Warning", "ApiServerRefused")]


@pytest.mark.parametrize("request_", ["pods", "autoscalers"])
async def test_a_refused_list_is_in_the_status_with_the_counts_of_now(request_: str) -> None:
    operator, cluster, tracked = await started(4)
    cluster.refused = {request_: Forbidden(f"GET …/{request_}: 403 is forbidden")}
    operator.ready(2)
    await operator.after(70, tracked, Counts(7, 2))
    assert (operator.status()["messagesReady"], operator.status()["consumers"]) == (7, 2)
    active = operator.condition("ScalingActive")
    assert (active["status"], active["reason"]) == ("False", "ApiServerRefused")
    assert f"GET …/{request_}: 403" in active["message"]
    assert [one.reason for one in cluster.events] == ["ApiServerRefused"]


async def test_workers_that_cannot_be_asked_are_not_called_busy() -> None:
    """The list of pods that a scale-down needs is refused: nothing is known of the workers."""
    cluster = Refusing(refused={"pods": Forbidden("GET …/pods: 403 is forbidden")})
    operator = Operator(cluster=cluster, replicas_at_start=3)
    tracked = operator.add()
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.status()["lastDecision"]["reason"] == "WorkersNotAsked"
    assert operator.condition("ScalingActive")["reason"] == "ApiServerRefused"
    assert operator.replicas == 3


async def test_a_deployment_that_may_not_be_read_leaves_the_counts_in_the_status() -> None:
    cluster = Refusing(refused={"target": Forbidden("GET …/deployments/thumbnails-worker: 403 is forbidden")})
    operator = Operator(cluster=cluster)
    tracked = operator.add()
    await operator.after(5, tracked, Counts(40, 0))
    assert operator.status()["messagesReady"] == 40
    assert (operator.condition("TargetFound")["status"], operator.condition("TargetFound")["reason"]) == (
        "Unknown",
        "ApiServerRefused",
    )
    assert operator.condition("ScalingActive")["status"] == "False"


async def test_a_queue_that_cannot_be_read_is_named_beside_a_missing_deployment() -> None:
    operator = Operator()
    tracked = operator.add(scaleTargetRef={"name": "missing"})
    await operator.after(2, tracked, Unknown("QueueMissing", "404 no queue 'thumbnails'"))
    assert operator.condition("QueueObserved")["reason"] == "QueueMissing"
    assert operator.condition("TargetFound")["reason"] == "DeploymentNotFound"


async def test_an_overload_that_passes_is_no_news() -> None:
    operator, cluster, tracked = await started()
    cluster.failures.append(ClusterUnavailable("429 too many requests"))
    cluster.failures.append(Conflict("the replicas are not as they were seen"))
    await operator.after(10, tracked, Counts(40, 1))
    assert operator.replicas == 8
    assert operator.event_reasons == ["Backlog"]


async def test_an_overload_that_lasts_is_in_the_status_and_passes() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"scale": ClusterUnavailable("429 too many requests")}
    await operator.after(120, tracked, Counts(40, 1))
    assert operator.condition("ScalingActive")["reason"] == "ApiServerUnavailable"
    cluster.refused = {}
    await operator.after(31, tracked, Counts(40, 1))
    assert (operator.replicas, operator.condition("ScalingActive")["status"]) == (8, "True")
    assert operator.event_reasons == ["ApiServerUnavailable", "Backlog", "Active"]


async def test_a_refused_request_is_made_again_now_and_then_only() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"scale": NO_RIGHT}
    cluster.requests.clear()
    operator.period = 0.2
    await operator.after(300, tracked, Counts(40, 1))
    assert 5 < cluster.requests["scale"] < 100
    assert cluster.requests["status"] < 10


@pytest.mark.parametrize("request_", ["status", "event"])
async def test_a_report_that_is_refused_keeps_no_worker_from_coming(request_: str) -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {request_: NO_RIGHT}
    for backlog in (10, 20, 40):
        await operator.after(20, tracked, Counts(backlog, 1))
        assert operator.replicas == backlog / 5


async def test_while_a_scale_is_refused_the_window_is_watched_all_the_same() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"scale": NO_RIGHT}
    await operator.after(300, tracked, Counts(40, 1))
    assert tracked.memory.history.has_seen_whole_window(operator.clock.now, 60)


async def test_the_words_of_the_api_server_are_cut_and_stay_on_one_line() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"scale": Rejected("denied\n\x1b[31mred\x00 " + "x" * 100_000)}
    await operator.after(5, tracked, Counts(40, 1))
    message = operator.condition("ScalingActive")["message"]
    assert "denied [31mred xxx" in message
    assert message.isprintable()
    assert len(message) < 600


async def test_a_refused_write_is_tried_again(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(0, 0))
    operator.cluster.failures.append(ClusterUnavailable("429 too many requests"))
    await operator.after(3, tracked, Counts(30, 0))
    assert operator.replicas == 6
    assert operator.total("cluster_errors_total", kind="unavailable") == 1
