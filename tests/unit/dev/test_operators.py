"""No WorkQueue gets two operators, and the definition goes only when it is ours and nothing uses it any more."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.kube import CommandFailed, Kube
from dev.local_cluster.locks import lock_file
from dev.operators import (
    DEFINITION,
    DIGEST,
    Operator,
    definition_in_use,
    definition_settings,
    digest,
    parse_operators,
    refuse_second_operator,
)
from dev.operators import remove_definition as remove


def deployment(namespace: str, watched: str, replicas: int = 1) -> dict[str, Any]:
    container = {"name": "operator", "env": [{"name": "WATCH_NAMESPACES", "value": watched}, {"name": "X"}]}
    return {
        "metadata": {"namespace": namespace, "name": "workqueue-operator"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "mesh"}, container]}}},
    }


class FakeKube(Kube):
    """A cluster of lists; what was changed is in `calls`."""

    def __init__(
        self,
        owner: str | None,
        operators: list[dict[str, Any]] | None = None,
        queues: tuple[str, ...] = (),
        of: str = "",
    ) -> None:
        """`of`: the digest of the definition that is there."""
        super().__init__("here")
        self._owner, self._of = owner, of
        self._items = {
            "deployments": operators or [],
            "workqueues": [{"metadata": {"namespace": name, "name": "tasks"}} for name in queues],
        }
        self.calls: list[tuple[str, ...]] = []

    def exists(self, *arguments: str) -> bool:
        return self._owner is not None

    def get(self, *arguments: str) -> Any:
        kind = arguments[0]
        if kind == "crd":
            annotations = {"meta.helm.sh/release-namespace": self._owner, DIGEST: self._of} if self._owner else {}
            return {"metadata": {"annotations": annotations}}
        return {"items": self._items[kind]}

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        self.calls.append(arguments)
        return ""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_an_operator_serves_what_it_watches_and_without_names_the_whole_cluster() -> None:
    everywhere, here = parse_operators([deployment("a", ""), deployment("b", "b,c")])
    assert everywhere.serves("anything")
    assert [here.serves(name) for name in ("b", "c", "d")] == [True, True, False]


def test_one_that_is_scaled_to_zero_serves_no_task() -> None:
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
    ("owner", "settings"),
    [
        (None, ["--set", "crds.enabled=true"]),
        ("workqueue-demo", ["--set", "crds.enabled=true", "--take-ownership"]),
        ("workqueue-test-system", ["--set", "crds.enabled=true", "--take-ownership"]),
        ("workqueue-test-system-gw1", ["--set", "crds.enabled=true", "--take-ownership"]),
        ("workqueue-test-systems", ["--set", "crds.enabled=false"]),
        ("team", ["--set", "crds.enabled=false"]),
        ("", ["--set", "crds.enabled=false"]),
    ],
)
def test_the_definition_is_installed_unless_another_team_did(owner: str | None, settings: list[str]) -> None:
    kube = FakeKube(owner)
    assert definition_settings(kube) == settings
    assert kube.calls == []


def others_may(how: str) -> bool:
    """Whether another program could hold the definition's lock now: `alone` or `shared`."""
    command = [sys.executable, "-c", TRY, str(lock_file("here.definition")), how]
    return subprocess.run(command, check=False).returncode == 0


TRY = """
import fcntl, sys
how = fcntl.LOCK_EX if sys.argv[2] == "alone" else fcntl.LOCK_SH
fcntl.flock(open(sys.argv[1], "a"), how | fcntl.LOCK_NB)
"""


@pytest.mark.parametrize(
    ("kube", "shared_at_once"),
    [
        (FakeKube("workqueue-demo", of=digest()), True),  # of this checkout: nothing to change
        (FakeKube("team"), True),  # another team's is never changed
        (FakeKube("workqueue-demo", of="another"), False),
        (FakeKube(None), False),
    ],
    ids=["ours", "another team's", "another checkout's", "none"],
)
def test_a_definition_is_changed_by_one_program_alone_and_then_used_by_several(
    kube: FakeKube, shared_at_once: bool
) -> None:
    with definition_in_use(kube, "a test") as definition:
        assert others_may("shared") is shared_at_once
        definition.installed()
        assert others_may("shared")
        assert not others_may("alone")
    assert others_may("alone")


def test_an_installed_definition_is_known_as_that_of_this_checkout() -> None:
    kube = FakeKube("workqueue-demo", of="another")
    with definition_in_use(kube, "a test") as definition:
        definition.installed()
    assert kube.calls == [("annotate", "crd", DEFINITION, "--overwrite", f"{DIGEST}={digest()}")]


@pytest.mark.parametrize(
    ("kube", "said"),
    [
        (FakeKube(None), "no definition"),
        (FakeKube("team"), "another team installed it"),
        (FakeKube(""), "another team installed it"),
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


def test_a_definition_that_a_running_program_uses_stays() -> None:
    kube = FakeKube("workqueue-demo", of=digest())
    with definition_in_use(kube, "a test"):
        assert "uses it" in remove(kube)
    assert kube.calls == []


def test_an_operator_says_who_it_is_in_an_error() -> None:
    assert str(Operator("team", "op", frozenset())) == "team/op, which serves the whole cluster"
    assert str(Operator("team", "op", frozenset({"b", "a"}))) == "team/op, which serves a, b"
