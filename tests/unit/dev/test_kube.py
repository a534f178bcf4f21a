"""What the demo and the cluster tests do to a cluster: only to what they made, and also after an interrupted run."""

from pathlib import Path

import pytest

from dev.kube import MADE_BY, CommandFailed, Kube


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a kubectl and a helm that write down their calls; what they answer lies beside them."""
    for name in ("kubectl", "helm"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\ncase "$*" in\n'
            f'*"list "*) cat {tmp_path}/pending ;;\n*"get namespace"*"json") cat {tmp_path}/namespace ;;\n'
            f'*"get namespace"*) echo namespace/here ;;\nesac\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def calls(programs: Path) -> list[str]:
    return (programs / "calls").read_text().splitlines()


def test_a_release_whose_installation_was_interrupted_is_removed_first(programs: Path) -> None:
    (programs / "pending").write_text("other\noperator\n")
    Kube("here").install("operator", "workqueue-operator", "demo", "--wait")
    _, removed, installed = calls(programs)
    assert removed.startswith("helm --kube-context here uninstall operator -n demo")
    assert installed.startswith("helm --kube-context here upgrade --install operator ")
    assert installed.endswith("charts/workqueue-operator -n demo --wait")


def test_a_release_that_is_whole_is_upgraded(programs: Path) -> None:
    (programs / "pending").write_text("other\n")
    Kube("here").install("operator", "workqueue-operator", "demo")
    assert [call.split()[3] for call in calls(programs)] == ["list", "upgrade"]


@pytest.mark.parametrize("labels", ["{}", f'{{"{MADE_BY}": "tests"}}'])
def test_a_namespace_that_is_not_ones_own_is_neither_used_nor_removed(programs: Path, labels: str) -> None:
    (programs / "namespace").write_text(f'{{"metadata": {{"labels": {labels}}}, "status": {{"phase": "Active"}}}}')
    with pytest.raises(CommandFailed, match="was not made by the demo"):
        Kube("here").make_namespace("team", "demo")
    with pytest.raises(CommandFailed, match="was not made by the demo; it is left alone"):
        Kube("here").remove_namespace("team", "demo")
    assert not [call for call in calls(programs) if "delete" in call or "apply" in call]


def test_ones_own_namespace_that_is_just_going_is_waited_for(programs: Path) -> None:
    labels = f'{{"{MADE_BY}": "demo"}}'
    (programs / "namespace").write_text(f'{{"metadata": {{"labels": {labels}}}, "status": {{"phase": "Terminating"}}}}')
    Kube("here").make_namespace("demo", "demo")
    assert [call for call in calls(programs) if "wait --for=delete namespace/demo" in call]
    assert "apply" in calls(programs)[-1]
