"""The workflows of the hosted CI: pinned actions, few rights, and the commands that a person runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.images import PARTS
from dev.release import CHARTS

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*.yml")}
JOBS = [(workflow, job) for workflow, read in WORKFLOWS.items() for job in read["jobs"]]


def job_of(workflow: str, job: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKFLOWS[workflow]["jobs"][job]
    return found


def test_there_is_one_for_changes_and_one_for_releases() -> None:
    assert set(WORKFLOWS) == {"ci", "release"}


def test_each_action_is_pinned_by_a_whole_commit_with_its_version_beside_it() -> None:
    for path in ROOT.glob(".github/workflows/*.yml"):
        for line in re.findall(r"uses: (.*)", path.read_text()):
            assert line.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_one_version_of_an_action_is_one_commit() -> None:
    text = "".join(path.read_text() for path in ROOT.glob(".github/workflows/*.yml"))
    pins = set(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40} # \S+)", text))
    assert len(pins) == len({action for action, _ in pins})


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_has_no_right_that_a_job_did_not_ask_for(workflow: str) -> None:
    assert WORKFLOWS[workflow]["permissions"] == {}
    assert all("permissions" in job for job in WORKFLOWS[workflow]["jobs"].values())


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_that_may_write_runs_no_code_of_the_checkout(workflow: str, job: str) -> None:
    """Neither the project's nor its dependencies' code can sign or push something of its own."""
    described = job_of(workflow, job)
    if "write" in described["permissions"].values():
        assert not any("checkout" in step.get("uses", "") for step in described["steps"])
        assert not any("make " in step.get("run", "") for step in described["steps"])


def test_what_is_published_is_what_was_built_and_is_signed_by_digest() -> None:
    for job in ("images", "charts", "publish"):
        steps = job_of("release", job)["steps"]
        assert "sha256sum --check SHA256SUMS" in steps[1]["run"]
    for job in ("images", "charts"):
        signing = [step["run"] for step in job_of("release", job)["steps"] if "cosign sign" in step.get("run", "")]
        assert signing == ['cosign sign --yes "$NAME@$DIGEST"']


def test_every_image_and_chart_is_published() -> None:
    assert job_of("release", "images")["strategy"]["matrix"]["part"] == list(PARTS)
    assert job_of("release", "charts")["strategy"]["matrix"]["chart"] == list(CHARTS)


def test_the_brokers_are_those_of_the_makefile() -> None:
    versions = re.search(r"^RABBITMQ \?= (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert versions
    assert job_of("ci", "broker")["strategy"]["matrix"]["rabbitmq"] == versions[1].split()


def test_they_run_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    steps = [step.get("run", "") for workflow, job in JOBS for step in job_of(workflow, job).get("steps", [])]
    asked = {target for run in steps for target in re.findall(r"\bmake ([a-z-]+)", run)}
    assert asked == {"check", "test-unit", "test-broker", "test-cluster", "release"}
    assert asked <= targets
