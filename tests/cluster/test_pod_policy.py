"""The chart's policy for pods on a real API server: the operator's account writes its one annotation and no more."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml
from kubernetes.aio import client, config
from workqueue_operator.cluster.kubernetes_api import KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster

from dev.kube import CHECKOUT, CommandFailed, Kube
from tests.support.waiting import wait_until
from tests.support.work import UNSERVED

RELEASE = "pods-test"
ACCOUNT = f"{RELEASE}-workqueue-operator"
USER = f"system:serviceaccount:{UNSERVED}:{ACCOUNT}"
POD = "patched"
COST = "controller.kubernetes.io/pod-deletion-cost"

CONTAINER = {
    "name": "w",
    "image": "nowhere.invalid/before:1",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def may_patch_pods() -> list[dict[str, Any]]:
    """The operator's account with the right that the policy is about; kubectl reads what it patches."""
    metadata = {"name": ACCOUNT, "namespace": UNSERVED}
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]


@pytest.fixture
def pod(kube: Kube, unserved_namespace: str) -> Iterator[str]:
    """A pod without a node, under the chart's policy, and an account that may patch it."""
    chart = str(CHECKOUT / "charts" / "workqueue-operator")
    shown = ("--show-only", "templates/pod-policy.yaml", "--set", "podPolicy.enabled=true")
    policy = kube.helm("template", RELEASE, chart, "--namespace", unserved_namespace, *shown)
    metadata = {"name": POD, "namespace": unserved_namespace, "labels": {"app": "w"}, "annotations": {"other": "kept"}}
    gated = {"containers": [CONTAINER], "schedulingGates": [{"name": "workqueue.dev/never"}]}
    kube.apply(*may_patch_pods(), {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": gated})
    kube.apply(*yaml.safe_load_all(policy))
    try:
        yield POD
    finally:
        kube.kubectl("delete", "--ignore-not-found", "--filename", "-", given=policy)
        kube.kubectl("delete", "pod", POD, "-n", unserved_namespace, "--ignore-not-found", "--grace-period=0")
        for kind in ("rolebinding", "role", "serviceaccount"):
            kube.kubectl("delete", kind, ACCOUNT, "-n", unserved_namespace, "--ignore-not-found")


@pytest.fixture
async def cluster(kube: Kube) -> AsyncIterator[KubernetesCluster]:
    """The adapter, logged in as the account."""
    configuration = client.Configuration()
    await config.load_kube_config(context=kube.context, client_configuration=configuration)
    async with client.ApiClient(configuration) as api_client:
        api_client.set_default_header("Impersonate-User", USER)
        yield KubernetesCluster(KubernetesApi(api_client), session=None)  # type: ignore[arg-type] # no worker is asked


def refusal(kube: Kube, patch: dict[str, Any], *options: str) -> str:
    """What the API server says to a patch of the account's; empty: it took it."""
    command = ("patch", "pod", POD, "-n", UNSERVED, "--as", USER, "--type", "strategic", "--patch", json.dumps(patch))
    try:
        kube.kubectl(*command, *options)
    except CommandFailed as error:
        return str(error)
    return ""


def annotations(kube: Kube) -> dict[str, str]:
    """Those of the pod but kubectl's own."""
    found = kube.get("pod", POD, "-n", UNSERVED)["metadata"]["annotations"]
    return {name: value for name, value in found.items() if "last-applied" not in name}


IMAGE = {"spec": {"containers": [{"name": "w", "image": "nowhere.invalid/after:1"}]}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (IMAGE, "nothing in a pod's spec"),
    ({"spec": {"activeDeadlineSeconds": 1}}, "nothing in a pod's spec"),
    ({"metadata": {"labels": {"app": "other"}}}, "no label"),
    ({"metadata": {"labels": {"app": None}}}, "no label"),
    ({"metadata": {"finalizers": ["workqueue.dev/held"]}}, "no finalizer"),
    ({"metadata": {"annotations": {"other": "changed"}}}, "no annotation of a pod but"),
    ({"metadata": {"annotations": {"other": None}}}, "no annotation of a pod but"),
    ({"metadata": {"annotations": {"new": "1", COST: "2"}}}, "no annotation of a pod but"),
]


async def test_the_operator_changes_one_annotation_of_a_pod_and_nothing_else(
    kube: Kube, pod: str, cluster: KubernetesCluster
) -> None:
    words = REFUSED[0][1]
    wait_until(lambda: words in refusal(kube, IMAGE, "--dry-run=server"), 180, "the policy is in force")
    for patch, words in REFUSED:
        assert words in refusal(kube, patch), f"taken: {patch}"
    await cluster.set_deletion_cost(UNSERVED, pod, -1000)
    assert annotations(kube) == {"other": "kept", COST: "-1000"}
    await cluster.set_deletion_cost(UNSERVED, pod, -999)
    assert annotations(kube) == {"other": "kept", COST: "-999"}
    await cluster.set_deletion_cost(UNSERVED, pod, None)
    assert annotations(kube) == {"other": "kept"}
    found = kube.get("pod", pod, "-n", UNSERVED)
    assert found["spec"]["containers"][0]["image"] == CONTAINER["image"]
    kube.kubectl("label", "pod", pod, "-n", UNSERVED, "app=ours", "--overwrite")  # another account is not concerned
