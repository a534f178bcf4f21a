"""Both charts' pods keep the restricted Pod Security Standard, and a bit more: nothing to write to but /tmp."""

from unittest.mock import ANY

import pytest

from tests.support.helm import Helm, Manifest, Pick

CHARTS = [("workqueue-operator", {}), ("workqueue", {"broker": {"secretName": "rabbitmq"}})]
#: Volume types of the restricted standard.
ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


@pytest.fixture(params=CHARTS, ids=[name for name, _ in CHARTS])
def pod(request: pytest.FixtureRequest, helm: Helm, one: Pick) -> Manifest:
    """The pod's spec, with the defaults."""
    spec: Manifest = one(helm.template(*request.param), "Deployment")["spec"]["template"]["spec"]
    return spec


def test_restricted_standard(pod: Manifest) -> None:
    check_restricted(pod)


@pytest.mark.parametrize(("chart", "values"), CHARTS)
def test_the_pods_of_helm_test_are_restricted_too(helm: Helm, one: Pick, chart: str, values: Manifest) -> None:
    check_restricted(one(helm.template(chart, values, tests=True), "Pod")["spec"])


def check_restricted(pod: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"} <= ALLOWED_VOLUMES
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert all("hostPort" not in port for port in container.get("ports", []))


def test_root_is_read_only_and_tmp_is_not(pod: Manifest) -> None:
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert list(mounts) == ["/tmp"]
    assert {"name": mounts["/tmp"], "emptyDir": {"sizeLimit": ANY}} in pod["volumes"]


def test_no_pod_may_fill_its_nodes_disk(pod: Manifest) -> None:
    limits = [volume["emptyDir"].get("sizeLimit") for volume in pod["volumes"] if "emptyDir" in volume]
    assert limits in (["16Mi"], ["1Gi"])


def test_workers_that_write_more_have_a_field_for_it_that_takes_a_quantity(helm: Helm, one: Pick) -> None:
    name, values = CHARTS[1]
    spec = one(helm.template(name, {**values, "tmpSizeLimit": "20Gi"}), "Deployment")["spec"]["template"]["spec"]
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "20Gi"}} in spec["volumes"]
    for wrong in ("much", "0", 5):
        assert "tmpSizeLimit" in helm.refusal(name, {**values, "tmpSizeLimit": wrong})


def test_the_user_is_the_images_so_that_a_teams_own_image_may_have_another(pod: Manifest) -> None:
    assert "runAsUser" not in pod["securityContext"]
    assert all("runAsUser" not in container["securityContext"] for container in pod["containers"])


def test_workers_have_no_token_for_the_api_server(helm: Helm, one: Pick) -> None:
    deployment = one(helm.template(*CHARTS[1]), "Deployment")
    assert deployment["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_operator_is_one_and_never_two(helm: Helm, one: Pick) -> None:
    spec = one(helm.template(*CHARTS[0]), "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
