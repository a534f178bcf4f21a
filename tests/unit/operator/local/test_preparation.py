"""What this machine must have is checked before the first worker starts."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from workqueue_operator.cluster.local.manifests import InvalidManifest
from workqueue_operator.local.options import Options
from workqueue_operator.local.preparation import Prepared, prepare, read_files


def prepared(folder: Path, container: dict[str, Any], **options: Any) -> Prepared:
    workqueue = {
        "apiVersion": "workqueue.dev/v1alpha1",
        "kind": "WorkQueue",
        "metadata": {"name": "orders"},
        "spec": {"broker": {"secretName": "rabbitmq"}, "scaleTargetRef": {"name": "orders-worker"}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders-worker"},
        "spec": {"template": {"spec": {"containers": [{"name": "worker", **container}]}}},
    }
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all([workqueue, deployment]))
    asked = Options((str(file),), "default", **options)
    return prepare(read_files(asked), asked, None, None)


def test_programs_beside_our_python_are_found_first(tmp_path: Path) -> None:
    found = prepared(tmp_path, {"image": "any", "command": ["workqueue-worker"]})
    assert found.surroundings.environment["PATH"].startswith(str(Path(sys.executable).parent))


def test_only_a_few_variables_of_ours_reach_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://shell")
    monkeypatch.setenv("TZ", "UTC")
    found = prepared(tmp_path, {"image": "workqueue-worker"}).surroundings.environment
    assert "AMQP_URL" not in found
    assert found["TZ"] == "UTC"


def test_a_program_that_is_missing_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest) as raised:
        prepared(tmp_path, {"image": "any", "command": ["no-such-program"]})
    assert str(raised.value) == (
        "Deployment default/orders-worker: spec.template.spec.containers[0] (worker): this machine has no program "
        "no-such-program: install it, or write another command"
    )


def test_the_variables_of_a_dockerfile_are_those_of_its_image(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM workqueue-worker\nENV WORKER_HANDLER=my_tasks:handle\n")
    found = prepared(tmp_path, {"image": "registry/orders:v1"}, images={"registry/orders": tmp_path})
    (container,) = found.workloads[0].containers
    assert (container.environment, container.folder) == ({"WORKER_HANDLER": "my_tasks:handle"}, tmp_path)
