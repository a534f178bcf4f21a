"""The operator's chart: the rights that its code takes and no others, its environment, and what it leaves behind."""

import inspect
from collections.abc import Sequence

import kopf
import pytest
from workqueue_operator.cluster.kubernetes_api import KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
from workqueue_operator.cluster.port import Cluster, Notice, Pod, Target
from workqueue_operator.loops import kopf_handlers
from workqueue_operator.resource import Key
from workqueue_operator.store import Store

from tests.support.helm import Helm, Manifest, Pick
from tests.support.recording_api import RecordingApi

#: By parameter, or by method and parameter. Without an address, a pod is not asked over HTTP.
ARGUMENTS = {
    "key": Key("team", "one"),
    "target": Target(Key("team", "one"), "1", 1, 1, False, "app=one", 7),
    "namespace": "team",
    "cost": 1,
    "replicas": 2,
    "status": {},
    "uid": "1",
    "notice": Notice("Reason", "message"),
    "port": 8000,
    "pod": Pod("one-1", "1", None, False, True, True, False, False, 0.0, 0, 0),
    ("find_autoscaler", "target"): Key("team", "one"),
    ("set_deletion_cost", "pod"): "one-1",
}


#: Verbs by group and resource.
Rights = dict[tuple[str, str], set[str]]


async def taken_by_calls() -> set[tuple[str, str, str]]:
    """(group, resource, verb) of every request that the adapter makes, for each method that has any."""
    taken = set()
    for name, method in inspect.getmembers(KubernetesCluster, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            api = RecordingApi()
            cluster = KubernetesCluster(KubernetesApi(api), session=None)  # type: ignore[arg-type]  # no pod is asked
            named = list(inspect.signature(method).parameters)[1:]
            arguments = [ARGUMENTS.get((name, parameter), ARGUMENTS.get(parameter)) for parameter in named]
            for _ in range(2):  # a repeated Event is counted up
                await getattr(cluster, name)(*arguments)
            assert api.rights or name == "ask_tasks_in_progress", f"{name} made no request: its arguments do not fit"
            taken |= api.rights
    return taken


def taken_by_watches() -> set[tuple[str, str, str]]:
    """kopf lists what it watches, and then watches."""
    registry = kopf.OperatorRegistry()
    kopf_handlers.register(registry, Store(), lambda act: act())
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = [(str(one.group), str(one.any_name)) for one in selectors if one]
    return {(group, name, verb) for group, name in watched for verb in ("list", "watch")}


async def taken() -> Rights:
    """What the operator's code takes, as rights() gives what the chart grants."""
    table: Rights = {}
    for group, resource, verb in await taken_by_calls() | taken_by_watches():
        table.setdefault((group, resource), set()).add(verb)
    return table


def test_the_rights_are_those_of_the_whole_port() -> None:
    """A method of the port that the adapter lacks, or has under another name, would not be among them."""
    port = {name for name in vars(Cluster) if not name.startswith("_")}
    assert port <= {name for name, _ in inspect.getmembers(KubernetesCluster, inspect.iscoroutinefunction)}


def rights(role: Manifest) -> Rights:
    """A role's rules, one (group, resource) each."""
    table: Rights = {}
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in table, "two rules for one resource"
                table[group, resource] = set(rule["verbs"])
    return table


def bound_roles(objects: list[Manifest]) -> set[tuple[str, str, str | None]]:
    """(kind, name, namespace) of the roles that the operator's account has."""
    found = set()
    for item in objects:
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert item["subjects"] == [
                {"kind": "ServiceAccount", "name": "thumbnails-workqueue-operator", "namespace": "demo"}
            ]
            found.add((item["roleRef"]["kind"], item["roleRef"]["name"], item["metadata"].get("namespace")))
    return found


async def test_for_the_whole_cluster_it_has_one_cluster_role(helm: Helm) -> None:
    objects = helm.template("workqueue-operator")
    assert bound_roles(objects) == {("ClusterRole", "thumbnails-workqueue-operator", None)}
    (role,) = [
        item
        for item in objects
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "thumbnails-workqueue-operator"
    ]
    assert rights(role) == await taken()


async def test_for_some_namespaces_it_has_roles_there_and_nothing_else(helm: Helm) -> None:
    objects = helm.template("workqueue-operator", {"watchNamespaces": ["blue", "green"]})
    assert bound_roles(objects) == {("Role", "thumbnails-workqueue-operator", name) for name in ("blue", "green")}
    for role in [item for item in objects if item["kind"] == "Role"]:
        assert rights(role) == await taken()


def test_who_edits_or_views_a_namespace_may_do_so_with_its_workqueues(helm: Helm) -> None:
    roles = [item for item in helm.template("workqueue-operator") if item["kind"] == "ClusterRole"]
    aggregated = {
        label.rpartition("-")[2]: rights(role)["workqueue.dev", "workqueues"]
        for role in roles
        for label in role["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
    }
    read = {"get", "list", "watch"}
    write = {"create", "update", "patch", "delete", "deletecollection"}
    assert aggregated == {"view": read, "edit": read | write, "admin": read | write}


@pytest.mark.parametrize(("namespaces", "value"), [([], ""), (["blue"], "blue"), (["blue", "green"], "blue,green")])
def test_environment(helm: Helm, one: Pick, namespaces: Sequence[str], value: str) -> None:
    deployment = one(helm.template("workqueue-operator", {"watchNamespaces": namespaces}), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env == {"WATCH_NAMESPACES": value, "LOG_FORMAT": "json", "METRICS_PORT": "8080"}
    assert container["args"] == ["run"]


def test_definition_stays_when_the_chart_goes_unless_keep_is_false(helm: Helm, one: Pick) -> None:
    def policy(values: Manifest) -> str | None:
        annotations = one(helm.template("workqueue-operator", values), "CustomResourceDefinition")["metadata"]
        found: str | None = annotations.get("annotations", {}).get("helm.sh/resource-policy")
        return found

    assert policy({}) == "keep"
    assert policy({"crds": {"keep": False}}) is None


def test_without_crds_enabled_there_is_no_definition(helm: Helm) -> None:
    kinds = {item["kind"] for item in helm.template("workqueue-operator", {"crds": {"enabled": False}})}
    assert "CustomResourceDefinition" not in kinds


def test_probes_give_a_busy_loop_five_seconds(helm: Helm, one: Pick) -> None:
    deployment = one(helm.template("workqueue-operator"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container[probe]["timeoutSeconds"] == 5


def test_the_policy_for_pods_is_there_when_it_is_asked_for_and_for_the_operators_account_alone(
    helm: Helm, one: Pick
) -> None:
    assert not [item for item in helm.template("workqueue-operator") if "Admission" in item["kind"]]
    objects = helm.template("workqueue-operator", {"podPolicy": {"enabled": True}})
    policy = one(objects, "ValidatingAdmissionPolicy")
    binding = one(objects, "ValidatingAdmissionPolicyBinding")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    (condition,) = policy["spec"]["matchConditions"]
    account = one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    assert f'"system:serviceaccount:demo:{account}"' in condition["expression"]
