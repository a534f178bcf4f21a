"""The Dockerfile's targets: any base, one part's code, the lock, a numeric user, versions that agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from dev.images import MORE_SOURCES, PARTS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STEPS = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, its FROM first."""
    found: dict[str, list[str]] = {}
    for step in STEPS[1:]:  # after the base
        if step.startswith("FROM "):
            found[step.rpartition(" AS ")[2]] = []
        found[list(found)[-1]].append(step)
    return found


STAGES = stages()


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def code_of(part: str) -> tuple[str, ...]:
    """The parts whose code lies in its image: a handler may publish, so the producer's is in the worker's."""
    return (part, *MORE_SOURCES.get(part, ()))


def test_each_part_is_a_target_on_a_base_that_is_an_argument() -> None:
    assert STEPS[0].startswith("ARG BASE_IMAGE=")
    assert {name: steps[0] for name, steps in STAGES.items()} == {
        "build": "FROM ${BASE_IMAGE} AS build",
        **{f"{part}-build": f"FROM build AS {part}-build" for part in PARTS},
        "runtime": "FROM ${BASE_IMAGE} AS runtime",
        **{part: f"FROM runtime AS {part}" for part in PARTS},
    }


def test_the_image_without_a_target_is_the_workers() -> None:
    """Which application teams build on; the operator's would get their tasks' code."""
    assert list(STAGES)[-1] == "worker"


def test_only_its_own_code_and_the_brokers_gets_in(part: str) -> None:
    copied = {word for step in STAGES[f"{part}-build"] if step.startswith("COPY ") for word in step.split()[1:-1]}
    assert copied == {"README.md", "LICENSE", "NOTICE", *(f"{name}/" for name in ("broker", *code_of(part)))}
    assert [step for step in STAGES[part] if step.startswith("COPY ")] == [
        f"COPY --from={part}-build /opt/workqueue /opt/workqueue"
    ]
    assert not any(step.startswith("COPY ") for step in STAGES["runtime"])


def test_packages_come_from_the_lock(part: str) -> None:
    environment = {word for step in STAGES["build"] if step.startswith("ENV ") for word in step.split()[1:]}
    assert {"UV_CONSTRAINT=requirements.lock", "UV_BUILD_CONSTRAINT=requirements.lock"} <= environment
    packages, project = [step.split(" && ")[0] for step in STAGES[f"{part}-build"] if "uv pip install" in step]
    extras = " ".join(f"--extra {name}" for name in code_of(part))
    assert packages == f"RUN /build/bin/uv pip install --requirement pyproject.toml {extras}"
    assert project == "RUN /build/bin/uv pip install --no-deps ."


def test_a_change_of_code_installs_no_package_again(part: str) -> None:
    """What the packages' layer stands on changes only with the versions."""
    copied = {word for step in STAGES["build"] if step.startswith("COPY ") for word in step.split()[1:-1]}
    assert copied == {"pyproject.toml", "requirements.lock"}
    assert "uv pip install" in STAGES[f"{part}-build"][1]


def test_the_lock_pins_what_each_image_needs(part: str) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for requirement in PROJECT["optional-dependencies"][part]:
        name = re.match(r"[\w.-]+", requirement)
        assert name
        assert re.search(rf"^{name[0]}==\S+ \\\n +--hash=sha256:", lock, re.MULTILINE), requirement


def test_two_builds_have_the_same_files() -> None:
    """All files of a release have one time: Python would compile a module at each start if it compared that time."""
    building = " ".join(STAGES["build"])
    assert "PYC_INVALIDATION_MODE=CHECKED_HASH" in building
    assert "PYTHONHASHSEED=0" in building
    assert "UV_NO_INSTALLER_METADATA=true" in building


def test_it_runs_as_a_number_and_gets_signals_itself(part: str) -> None:
    assert "USER 65532:65532" in STAGES["runtime"]
    assert not any(step.startswith("USER ") for step in STAGES[part])
    assert STAGES[part][-1] == f'ENTRYPOINT ["/opt/workqueue/bin/python3", "-m", "workqueue_{part}"]'


def test_pip_of_the_base_installs_for_the_workers_python() -> None:
    """In an image of a team's that is FROM the worker's; see examples/02-libraries-and-next-tasks."""
    assert "ENV PIP_PYTHON=/opt/workqueue/bin/python3" in STAGES["worker"]


def test_versions_agree() -> None:
    (label,) = [step for step in STAGES["runtime"] if step.startswith("LABEL")]
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in label
    for chart in ("workqueue", "workqueue-operator"):
        read = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
        assert read["appVersion"] == PROJECT["version"]


def test_a_build_sees_no_more_than_it_copies() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert allowed == {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "requirements.lock", "broker", *PARTS}
