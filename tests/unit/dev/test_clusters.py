"""Which cluster the demo and the tests take, whose it is, and what is text before anything is made."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.clusters import Choice, NoCluster, check_context, check_programs, choose, how_to_remove, parse_exports
from dev.images import EXAMPLES, NoDelivery, delivery, example_hash, parts_of
from dev.local_cluster.image_building import Target, old_builds
from dev.local_cluster.leftovers import started_since_boot
from dev.local_cluster.processes import Started

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("context", "kind", "choice"),
    [
        ("staging", True, Choice.GIVEN),
        ("staging", False, Choice.GIVEN),
        ("workqueue-local", True, Choice.LOCAL),
        ("workqueue-local", False, Choice.LOCAL),
        ("kind-workqueue", True, Choice.GIVEN),
        ("", True, Choice.KIND),
        ("", False, Choice.LOCAL),
    ],
)
def test_the_named_cluster_is_taken_else_kind_else_the_local_one(context: str, kind: bool, choice: Choice) -> None:
    assert choose(context, lambda: kind) is choice


def test_kind_is_not_asked_when_a_cluster_is_named() -> None:
    def asked() -> bool:
        raise AssertionError("kind was asked")

    assert choose("staging", asked) is Choice.GIVEN
    assert choose("workqueue-local", asked) is Choice.LOCAL


def test_a_misspelt_context_is_named_with_those_that_exist() -> None:
    with pytest.raises(NoCluster, match=r"KUBE_CONTEXT=stagin: .* there are: production, staging"):
        check_context("stagin", ["staging", "production"])
    with pytest.raises(NoCluster, match="there are: none"):
        check_context("staging", [])
    check_context("staging", ["staging"])


def test_a_missing_program_is_named() -> None:
    with pytest.raises(NoCluster, match="kubectl and helm must be on the PATH: install them"):
        check_programs(["kubectl", "helm"])
    check_programs([])


def test_what_the_local_cluster_prints_for_a_shell_is_read_as_values() -> None:
    text = 'export PATH="/cache/node:$PATH"\nexport KUBECONFIG="/home/of/it"\nexport KUBE_CONTEXT="workqueue-local"\n'
    assert parse_exports(text, "/usr/bin:/bin") == {
        "PATH": "/cache/node:/usr/bin:/bin",
        "KUBECONFIG": "/home/of/it",
        "KUBE_CONTEXT": "workqueue-local",
    }


def test_only_clusters_that_we_made_are_ours_to_remove() -> None:
    assert "make cluster-down" in how_to_remove("workqueue-local")
    assert "kind delete cluster --name workqueue" in how_to_remove("kind-workqueue")
    assert how_to_remove("kind-another") == how_to_remove("staging") == ""


@pytest.mark.parametrize(
    ("context", "registry", "command"),
    [
        ("staging", "registry.example/team", ["docker", "push"]),
        ("kind-workqueue", "registry.example/team", ["docker", "push"]),
        ("kind-workqueue", "", ["kind", "load", "docker-image", "--name", "workqueue"]),
        ("k3d-mine", "", ["k3d", "image", "import", "--cluster", "mine"]),
        ("minikube", "", ["minikube", "image", "load"]),
    ],
)
def test_how_an_image_gets_to_the_nodes(context: str, registry: str, command: list[str]) -> None:
    assert delivery(context, registry) == command


def test_a_cluster_that_cannot_see_our_images_needs_a_registry() -> None:
    with pytest.raises(NoDelivery, match="nodes of staging cannot see this machine's images: set REGISTRY"):
        delivery("staging", "")


def test_an_example_is_built_on_the_worker_of_this_checkout() -> None:
    assert "01-own-handler" in EXAMPLES
    assert parts_of(["01-own-handler"]) == ["worker"]
    assert parts_of(["operator", "rabbitmq"]) == ["operator"]
    assert example_hash("01-own-handler", "worker:1") != example_hash("01-own-handler", "worker:2")


def test_the_rules_of_a_kube_proxy_are_ours_only_if_we_started_it_since_the_boot() -> None:
    ours = Started("kube-proxy", pid=7, ticks=1, boot="this")
    assert started_since_boot("kube-proxy", [ours], "this")
    assert not started_since_boot("kube-proxy", [ours], "the next")
    assert not started_since_boot("kube-proxy", [Started("kubelet", 7, 1, "this")], "this")
    assert not started_since_boot("kube-proxy", [], "this")


def test_rabbitmq_is_installed_on_a_named_cluster_or_nowhere(tmp_path: Path) -> None:
    """A kubectl that would answer for the current context is there, and is not called."""
    called = tmp_path / "called"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ntouch {called}\n")
    kubectl.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "KUBE_CONTEXT"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    command = [sys.executable, "-m", "dev.rabbitmq", "install", "somewhere"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "set KUBE_CONTEXT" in done.stderr
    assert not called.exists()


def build(name: str, age: timedelta) -> dict[str, Any]:
    names = [f"localhost/workqueue/{name}"] if name else None
    return {"names": names, "id": f"id-{age}", "createdatraw": (NOW - age).isoformat()}


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_three_builds_of_each_part_stay_and_every_one_that_another_checkout_may_just_build_on() -> None:
    young = [build(f"worker:young-{minutes}", timedelta(minutes=minutes)) for minutes in range(5)]
    old = [build(f"worker:old-{days}", timedelta(days=days)) for days in range(1, 4)]
    assert old_builds(old, NOW) == []
    assert old_builds(young, NOW) == []
    gone = {f"localhost/workqueue/worker:old-{days}" for days in range(1, 4)}
    assert set(old_builds([*old, *young], NOW)) == gone
    assert old_builds([*young, build("operator:old", timedelta(days=9))], NOW) == []


def test_a_target_is_a_dockerfile_and_a_stage_of_it_or_its_last_one() -> None:
    assert Target.read("Dockerfile:worker").options == ["--file", ROOT / "Dockerfile", "--target", "worker"]
    own = "examples/01-own-handler/Dockerfile"
    assert Target.read(own).options == ["--file", ROOT / own]


def test_first_stages_without_a_name_go_by_their_id_when_no_build_can_need_them() -> None:
    builds = [build("worker:a", timedelta(days=1)), *(build("", timedelta(days=days)) for days in range(2, 7))]
    assert old_builds(builds, NOW) == ["id-5 days, 0:00:00", "id-6 days, 0:00:00"]
