"""The operator's chart: its rights one by one with their reasons, its environment, and what it leaves behind."""

import pytest

#: (group, resource) -> verbs. The comment is the call that needs it.
RIGHTS = {
    ("workqueue.dev", "workqueues"): {"get", "list", "watch"},  # kopf's watch; get: one, for explain
    ("workqueue.dev", "workqueues/status"): {"patch"},  # what was seen and decided
    ("apps", "deployments"): {"get", "list", "watch"},  # kopf's watch of the targets; get: after a conflict
    ("apps", "deployments/scale"): {"patch"},  # the one thing that is scaled
    ("autoscaling", "horizontalpodautoscalers"): {"list"},  # another autoscaler on the target
    ("", "pods"): {"list", "patch"},  # whom to ask for tasks; patch: the deletion cost of the idle
    ("", "secrets"): {"get"},  # address and login of the broker
    ("", "events"): {"create", "patch"},  # one a change; patch: counted up when repeated
}


def rights(role):
    """A role's rules, one (group, resource) each."""
    table = {}
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in table, "two rules for one resource"
                table[group, resource] = set(rule["verbs"])
    return table


def bound_roles(objects):
    """(kind, name, namespace) of the roles that the operator's account has."""
    found = set()
    for item in objects:
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert item["subjects"] == [
                {"kind": "ServiceAccount", "name": "thumbnails-workqueue-operator", "namespace": "demo"}
            ]
            found.add((item["roleRef"]["kind"], item["roleRef"]["name"], item["metadata"].get("namespace")))
    return found


def test_for_the_whole_cluster_it_has_one_cluster_role(helm):
    objects = helm.template("workqueue-operator")
    assert bound_roles(objects) == {("ClusterRole", "thumbnails-workqueue-operator", None)}
    (role,) = [
        item
        for item in objects
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "thumbnails-workqueue-operator"
    ]
    assert rights(role) == RIGHTS


def test_for_some_namespaces_it_has_roles_there_and_nothing_else(helm):
    objects = helm.template("workqueue-operator", {"watchNamespaces": ["blue", "green"]})
    assert bound_roles(objects) == {("Role", "thumbnails-workqueue-operator", name) for name in ("blue", "green")}
    for role in [item for item in objects if item["kind"] == "Role"]:
        assert rights(role) == RIGHTS


def test_who_edits_or_views_a_namespace_may_do_so_with_its_workqueues(helm):
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


@pytest.mark.parametrize(("namespaces", "told"), [([], ""), (["blue"], "blue"), (["blue", "green"], "blue,green")])
def test_environment(helm, one, namespaces, told):
    deployment = one(helm.template("workqueue-operator", {"watchNamespaces": namespaces}), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env == {"WATCH_NAMESPACES": told, "LOG_FORMAT": "json", "METRICS_PORT": "8080"}
    assert container["args"] == ["run"]


def test_definition_stays_when_the_chart_goes_unless_it_is_told_not_to(helm, one):
    def policy(values):
        annotations = one(helm.template("workqueue-operator", values), "CustomResourceDefinition")["metadata"]
        return annotations.get("annotations", {}).get("helm.sh/resource-policy")

    assert policy({}) == "keep"
    assert policy({"crds": {"keep": False}}) is None


def test_without_crds_enabled_there_is_no_definition(helm):
    kinds = {item["kind"] for item in helm.template("workqueue-operator", {"crds": {"enabled": False}})}
    assert "CustomResourceDefinition" not in kinds


def test_probes_give_a_busy_loop_five_seconds(helm, one):
    deployment = one(helm.template("workqueue-operator"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container[probe]["timeoutSeconds"] == 5
