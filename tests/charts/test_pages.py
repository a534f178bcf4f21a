"""Each helm command and each values file on the pages renders."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.support.helm import Helm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^helm (?:install|upgrade) (\S+) (charts/\S+)(.*)$", re.MULTILINE)
#: A values file has its name in its first line: `# orders.yaml`.
VALUES_FILE = re.compile(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[tuple[str, str, list[str]]]:
    """Release, chart and the rest of each helm command in a page's blocks."""
    blocks = "\n".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    blocks = re.sub(r"\$\{[^}]*\}", "a-value-of-the-reader", blocks)
    return [(release, chart, shlex.split(rest, comments=True)) for release, chart, rest in COMMAND.findall(blocks)]


def settings(rest: list[str]) -> list[str]:
    """The values that a command sets: each `--set` and each `--values` with what stands behind it."""
    return [word for flag, value in pairwise(rest) if flag in ("--set", "--values") for word in (flag, value)]


CASES = [
    pytest.param(page, *command, id=f"{page.name}: {number}")
    for page in PAGES
    for number, command in enumerate(commands(page), 1)
]


@pytest.mark.parametrize(("page", "release", "chart", "rest"), CASES)
def test_each_helm_command_renders(
    helm: Helm, tmp_path: Path, page: Path, release: str, chart: str, rest: list[str]
) -> None:
    files = dict(VALUES_FILE.findall(page.read_text()))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    chosen = [str(tmp_path / word) if word in files else word for word in settings(rest)]
    kept = {"broker": {"secretName": "rabbitmq"}} if chart == "charts/workqueue" and "--reuse-values" in rest else {}
    answer = helm.run("template", release, str(ROOT / chart), *chosen, values=kept)
    assert answer.returncode == 0, f"helm … {chart} {' '.join(rest)}: {answer.stderr}"
    assert [item["kind"] for item in yaml.safe_load_all(answer.stdout) if item]


def test_commands_and_values_files_are_found() -> None:
    """Else the test above would try nothing."""
    assert len(CASES) > 5
    assert {page.name for page in PAGES if VALUES_FILE.search(page.read_text())} >= {"install.md", "write-a-task.md"}
