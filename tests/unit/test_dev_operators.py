"""No WorkQueue gets two operators, and the definition goes only when it is ours and nothing uses it any more."""

from typing import Any

import pytest
from kube import CommandFailed
from operators import DEFINITION, Operator, definition_settings, parse_operators, refuse_second_operator
from operators import remove_definition as remove


def deployment(namespace: str, watched: str, replicas: int = 1) -> dict[str, Any]:
    container = {"name": "operator", "env": [{"name": "WATCH_NAMESPACES", "value": watched}, {"name": "X"}]}
    return {
        "metadata": {"namespace": namespace, "name": "workqueue-operator"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "mesh"}, container]}}},
    }


class FakeKube:
    """A cluster of lists; what was changed is in `calls`."""

    def __init__(
        self, owner: str | None, operators: list[dict[str, Any]] | None = None, queues: tuple[str, ...] = ()
    ) -> None:
        self._owner = owner
        self._items = {
            "deployments": operators or [],
            "workqueues": [{"metadata": {"namespace": name, "name": "tasks"}} for name in queues],
        }
        self.calls: list[tuple[str, ...]] = []

    def exists(self, *_: str) -> bool:
        return self._owner is not None

    def get(self, kind: str, *_: str) -> Any:
        if kind == "crd":
            annotations = {"meta.helm.sh/release-namespace": self._owner} if self._owner else {}
            return {"metadata": {"annotations": annotations}}
        return {"items": self._items[kind]}

    def kubectl(self, *arguments: str) -> str:
        self.calls.append(arguments)
        return ""


def test_an_operator_serves_what_it_watches_and_without_names_the_whole_cluster() -> None:
    everywhere, here = parse_operators([deployment("a", ""), deployment("b", "b,c")])
    assert everywhere.serves("anything")
    assert [here.serves(name) for name in ("b", "c", "d")] == [True, True, False]


def test_one_that_is_scaled_to_zero_serves_nobody() -> None:
    assert parse_operators([deployment("a", "", replicas=0)]) == []


@pytest.mark.parametrize("watched", ["", "workqueue-demo", "workqueue-demo,other"])
def test_a_second_operator_for_the_same_namespace_is_refused(watched: str) -> None:
    found = parse_operators([deployment("team", watched)])
    with pytest.raises(CommandFailed, match="has the operator team/workqueue-operator, which serves"):
        refuse_second_operator(found, "workqueue-demo", "workqueue-demo")


def test_ones_own_operator_and_those_of_other_namespaces_are_no_reason() -> None:
    found = parse_operators([deployment("workqueue-demo", "workqueue-demo"), deployment("team", "team")])
    refuse_second_operator(found, "workqueue-demo", "workqueue-demo")


@pytest.mark.parametrize(
    ("owner", "enabled"), [(None, "true"), ("workqueue-demo", "true"), ("team", "false"), ("", "false")]
)
def test_the_definition_is_installed_unless_it_is_somebody_elses(owner: str | None, enabled: str) -> None:
    kube = FakeKube(owner)
    assert definition_settings(kube, "operator", "workqueue-demo") == ["--set", f"crds.enabled={enabled}"]
    assert kube.calls == []


def test_our_own_releases_hand_the_definition_on() -> None:
    kube = FakeKube("workqueue-demo")
    assert definition_settings(kube, "operator", "workqueue-test-system") == ["--set", "crds.enabled=true"]
    ((*command, name, namespace),) = kube.calls
    assert command == ["annotate", "crd", DEFINITION, "--overwrite"]
    assert name == "meta.helm.sh/release-name=operator"
    assert namespace == "meta.helm.sh/release-namespace=workqueue-test-system"


@pytest.mark.parametrize(
    ("kube", "said"),
    [
        (FakeKube(None), "no definition"),
        (FakeKube("team"), "somebody else installed it"),
        (FakeKube(""), "somebody else installed it"),
        (FakeKube("workqueue-demo", [deployment("workqueue-test-system", "workqueue-test")]), "used by the operator"),
        (FakeKube("workqueue-demo", queues=("shop",)), "there is a WorkQueue shop/tasks"),
    ],
)
def test_a_definition_that_is_used_or_not_ours_stays(kube: FakeKube, said: str) -> None:
    assert said in remove(kube)
    assert kube.calls == []


def test_a_definition_of_ours_that_nothing_uses_goes() -> None:
    kube = FakeKube("workqueue-test-system")
    assert "Removed" in remove(kube)
    assert [call[:3] for call in kube.calls] == [("delete", "crd", DEFINITION)]


def test_an_operator_says_who_it_is_in_an_error() -> None:
    assert str(Operator("team", "op", frozenset())) == "team/op, which serves the whole cluster"
    assert str(Operator("team", "op", frozenset({"b", "a"}))) == "team/op, which serves a, b"
