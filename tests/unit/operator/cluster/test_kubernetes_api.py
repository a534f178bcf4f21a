"""The Kubernetes adapter on a server that answers what no API server does, over real HTTP on loopback."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from aiohttp import web as http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.aio import client
from workqueue_operator import web
from workqueue_operator.cluster.kubernetes_api import MOST_BYTES, PAGE_OBJECTS, KubernetesApi, path
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
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

KEY = Key("team", "one")
TARGET = Target(KEY, "1", 1, 1, False, "app=one", 7)
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"namespace": "team", "name": "one", "uid": "1", "resourceVersion": "7"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "one"}}},
}

Answer = Callable[[http.BaseRequest], http.StreamResponse | Awaitable[http.StreamResponse]]


class ApiServer:
    """Answers each request as a test wants, and notes what was asked for as it came over the wire."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: http.json_response({})
        self.asked: list[http.BaseRequest] = []
        self.port = 0

    async def __call__(self, request: http.BaseRequest) -> http.StreamResponse:
        self.asked.append(request)
        answer = self.answer(request)
        return answer if isinstance(answer, http.StreamResponse) else await answer

    def says(self, text: str | bytes, status: int = 200, content_type: str = "application/json") -> None:
        body = text.encode() if isinstance(text, str) else text
        self.answer = lambda _: http.Response(body=body, status=status, content_type=content_type)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    made = ApiServer()
    runner = http.ServerRunner(http.Server(made))
    await runner.setup()
    site = http.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[KubernetesCluster]:
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.port}")
    async with client.ApiClient(configuration) as api_client:
        yield KubernetesCluster(KubernetesApi(api_client), session=None, namespaces=["team"])  # type: ignore[arg-type] # no worker is asked


async def the_error(asked: Awaitable[Any]) -> ClusterError:
    with pytest.raises(ClusterError) as raised:
        await asked
    return raised.value


ODD: dict[str, tuple[str | bytes, int]] = {
    "html": ("<html>log in</html>", 200),
    "a list": ("[1]", 200),
    "a list refused": ("[1]", 503),
    "deep": ("[" * 100_000, 200),
    "deep refused": ("[" * 100_000, 403),
    "nothing": ("", 200),
    "empty object": ("{}", 200),
    "no object inside": ('{"metadata": 3, "spec": [], "items": 5}', 200),
    "items of numbers": ('{"items": [1, 2]}', 200),
    "no UTF-8": (b"\xff\xfe\x00", 200),
    "numbers for words": ('{"data": {"uri": 5}, "metadata": {}, "items": [{"metadata": {"name": 4}}]}', 200),
}


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_is_answered_is_a_value_or_a_cluster_error(
    server: ApiServer, cluster: KubernetesCluster, odd: str
) -> None:
    server.says(*ODD[odd])
    for asked in (
        cluster.read_workqueue(KEY),
        cluster.read_secret(KEY),
        cluster.read_target(KEY),
        cluster.read_pods(TARGET),
        cluster.find_autoscaler(KEY),
        cluster.set_deletion_cost("team", "one-1", 1),
        cluster.set_replicas(TARGET, 2),
        cluster.write_status(KEY, {}),
        cluster.post_event(KEY, "1", Notice("Reason", "message")),
        cluster.list_workqueues(),
    ):
        error = ""
        try:
            await asked
        except ClusterError as caught:
            error = str(caught)
        assert error.isprintable()
        assert len(error) < 700


async def test_an_answer_without_json_names_the_request_and_the_remedy(
    server: ApiServer, cluster: KubernetesCluster
) -> None:
    server.says("<html>log in</html>", 200, "text/html")
    error = await the_error(cluster.read_target(KEY))
    assert isinstance(error, ClusterUnavailable)
    assert "GET /apis/apps/v1/namespaces/team/deployments/one" in str(error)
    assert "proxy" in str(error)


async def test_a_refusal_keeps_the_api_servers_words_on_one_line(server: ApiServer, cluster: KubernetesCluster) -> None:
    server.says(json.dumps({"message": "may not\nread \x1b[2Jsecrets " + "x" * 10_000}), 403)
    error = await the_error(cluster.read_secret(KEY))
    assert isinstance(error, Forbidden)
    assert "403 may not read [2Jsecrets" in str(error)
    assert len(str(error)) < 500


async def test_an_endless_answer_is_cut_off(server: ApiServer, cluster: KubernetesCluster) -> None:
    sent: list[int] = []

    async def endless(request: http.BaseRequest) -> http.StreamResponse:
        response = http.StreamResponse()
        await response.prepare(request)
        while len(sent) < 64 * MOST_BYTES // 2**16:  # an end for the test that fails
            await response.write(b" " * 2**16)
            sent.append(1)
        return response

    server.answer = endless
    error = await the_error(cluster.read_secret(KEY))
    assert str(MOST_BYTES) in str(error)
    assert len(sent) * 2**16 < 8 * MOST_BYTES


def pages_of(items: list[dict[str, Any]]) -> Answer:
    """An API server's list: `limit` objects from the place that `continue` names."""

    def answer(request: http.BaseRequest) -> http.StreamResponse:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path_qs).query).items()}
        start, limit = int(query.get("continue", 0)), int(query.get("limit", len(items) or 1))
        more = {"continue": str(start + limit)} if start + limit < len(items) else {}
        return http.json_response({"items": items[start : start + limit], "metadata": more})

    return answer


def workqueue(number: int, annotation: str = "") -> dict[str, Any]:
    metadata = {"namespace": "team", "name": f"q{number}", "uid": str(number), "generation": 1}
    return {
        "metadata": {**metadata, "annotations": {"a": annotation}, "managedFields": [{}]},
        "spec": {"mode": "Active"},
    }


async def test_a_long_list_comes_in_pages(server: ApiServer, cluster: KubernetesCluster) -> None:
    count = 2 * PAGE_OBJECTS + 1
    server.answer = pages_of([workqueue(number) for number in range(count)])
    listing = await cluster.list_workqueues()
    bodies = listing["team"]
    assert not isinstance(bodies, ClusterError)
    assert [body["metadata"]["name"] for body in bodies] == [f"q{number}" for number in range(count)]
    assert len(server.asked) == 3


async def test_objects_of_any_size_are_listed_in_answers_of_a_bounded_one(
    server: ApiServer, cluster: KubernetesCluster
) -> None:
    """Four hundred WorkQueues with as large annotations as there may be: 100 MB, of which none is kept."""
    server.answer = pages_of([workqueue(number, "x" * 250_000) for number in range(40)])
    bodies = (await cluster.list_workqueues())["team"]
    assert not isinstance(bodies, ClusterError)
    assert len(bodies) == 40
    assert len(json.dumps(list(bodies))) < 10_000
    kept = set().union(*(body["metadata"] for body in bodies))
    assert kept == {"namespace", "name", "uid", "generation"}


async def test_one_object_that_is_too_large_is_an_error_and_no_loop(
    server: ApiServer, cluster: KubernetesCluster
) -> None:
    server.answer = pages_of([workqueue(1, "x" * (MOST_BYTES + 1))])
    assert isinstance((await cluster.list_workqueues())["team"], ClusterUnavailable)
    assert len(server.asked) < 10


async def test_a_namespace_that_cannot_be_listed_costs_no_other(server: ApiServer) -> None:
    def answer(request: http.BaseRequest) -> http.StreamResponse | Awaitable[http.StreamResponse]:
        if "/namespaces/gone/" in request.path:
            return http.json_response({"message": "forbidden"}, status=403)
        return pages_of([workqueue(1)])(request)

    server.answer = answer
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.port}")
    async with client.ApiClient(configuration) as api_client:
        cluster = KubernetesCluster(KubernetesApi(api_client), None, ["gone", "team"])  # type: ignore[arg-type] # no worker is asked
        listing = await cluster.list_workqueues()
    assert isinstance(listing["gone"], Forbidden)
    found = listing["team"]
    assert not isinstance(found, ClusterError)
    assert [body["metadata"]["name"] for body in found] == ["q1"]


@pytest.mark.parametrize(("replicas", "kind"), [(1, Rejected), (3, Conflict)])
async def test_a_scale_that_is_refused_is_a_conflict_only_when_the_deployment_is_another(
    server: ApiServer, cluster: KubernetesCluster, replicas: int, kind: type[ClusterError]
) -> None:
    """A failed test of the patch and an admission webhook both answer 422."""

    def answer(request: http.BaseRequest) -> http.StreamResponse:
        if request.method == "PATCH":
            return http.json_response(
                {"message": 'admission webhook "quota" denied the request: 2 at most'}, status=422
            )
        return http.json_response({**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": replicas}})

    server.answer = answer
    error = await the_error(cluster.set_replicas(replace(TARGET, sized_by="kubectl"), 2))
    assert type(error) is kind
    assert "2 at most" in str(error)


@pytest.mark.parametrize(
    ("sized_by", "before", "after", "applied"),
    [("", 1, 2, True), ("helm", 1, 2, False), ("helm", 1, 0, True), ("helm", 0, 1, True)],
)
async def test_a_size_is_scaled_in_one_request_that_leaves_our_name_in_managed_fields(
    server: ApiServer, cluster: KubernetesCluster, sized_by: str, before: int, after: int, applied: bool
) -> None:
    """A JSON patch leaves it only where spec.replicas has a manager, and neither patches from nor to a zero."""
    server.says(json.dumps({"metadata": {"resourceVersion": "9"}, "spec": {"replicas": after}}))
    scaled = await cluster.set_replicas(replace(TARGET, sized_by=sized_by, replicas=before), after)
    (request,) = server.asked
    assert request.content_type == ("application/apply-patch+yaml" if applied else "application/json-patch+json")
    assert request.query.get("force") == ("true" if applied else None)
    assert request.query["fieldManager"] == "workqueue-operator"
    assert (scaled.replicas, scaled.sized_by, scaled.resource_version) == (after, "workqueue-operator", 9)


#: Names as a hostile WorkQueue, or a definition without patterns, may have them.
NAMES = st.text(min_size=0, max_size=30) | st.lists(
    st.sampled_from([".", "..", "/", "%2e", "%2F", "\\", "?", "#", ";", "a", "namespaces", "\n", "\0", "ü", "\ud800"]),
    max_size=8,
).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, other=NAMES)
async def test_no_name_leads_out_of_its_namespace(
    server: ApiServer, cluster: KubernetesCluster, name: str, other: str
) -> None:
    server.asked.clear()
    server.says(json.dumps({"items": [], "data": {}, **DEPLOYMENT}))
    key = Key("team", name)
    for asked in (
        cluster.read_workqueue(key),
        cluster.read_secret(key),
        cluster.read_target(key),
        cluster.read_pods(replace(TARGET, selector=other or "x")),
        cluster.find_autoscaler(key),
        cluster.set_deletion_cost("team", name, 1),
        cluster.set_replicas(replace(TARGET, key=key), 2),
        cluster.write_status(key, {}),
        cluster.post_event(key, "1", Notice("Reason", other)),
    ):
        try:
            await asked
        except ClusterError:
            continue  # not sent, or an answer to the wrong question
    for request in server.asked:
        segments = [unquote(part) for part in urlsplit(request.raw_path).path.split("/")]
        place = segments.index("namespaces")
        assert segments[place + 1] == "team"
        assert place in (3, 4)  # /api/v1/namespaces, or /apis/GROUP/VERSION/namespaces
        allowed = {"events", "pods", "secrets", "deployments", "workqueues", "horizontalpodautoscalers"}
        assert segments[place + 2] in allowed
        named = segments[place + 3 :]
        assert len(named) <= 2
        assert named[1:] in ([], ["status"], ["scale"])
        assert set(request.query) <= {"limit", "labelSelector", "fieldManager", "force"}


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_path_has_as_many_segments_as_names(names: list[str]) -> None:
    if {"", ".", ".."} & set(names):
        with pytest.raises(Rejected):
            path(*names)
    else:
        assert path(*names).count("/") == len(names)


@pytest.mark.parametrize(("value", "tasks"), [("3", 3), ("10000", 10_000), ("10001", None)])
async def test_a_worker_with_more_tasks_than_any_can_have_has_not_answered(
    server: ApiServer, value: str, tasks: int | None
) -> None:
    """The status sums up the tasks of all workers in an int32."""
    server.says(f"workqueue_tasks_in_progress {value}\n", content_type="text/plain")
    pod = Pod("w", "1", "127.0.0.1", False, True, True, False, False, 0.0, 0, 0)
    async with web.open_session() as session:
        cluster = KubernetesCluster(None, session)  # type: ignore[arg-type] # only a worker is asked
        found = await cluster.ask_tasks_in_progress(pod, server.port)
    assert found == tasks
