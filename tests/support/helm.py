"""helm as the charts' tests call it: what it renders is what a user installs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).parents[2] / "charts"

#: An object of Kubernetes, or values of a chart.
Manifest = dict[str, Any]
#: Picks the only object of a kind.
Pick = Callable[[list[Manifest], str], Manifest]


class StrictLoader(yaml.CSafeLoader):
    """YAML in which a name may stand once in an object, as Flux, kustomize and strict API clients read it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(names) == len(set(names)), f"a name stands twice in {names}"
        return super().construct_mapping(node, deep)


class Helm:
    """The helm program; the answers of a render are lists of objects in the order of the output."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._values = directory / "values.json"  # YAML is a superset of JSON

    def run(self, *arguments: str, values: Manifest | None = None) -> subprocess.CompletedProcess[str]:
        """Run helm, with values as a user's values file would give them."""
        self._values.write_text(json.dumps(values or {}))
        command = [self._program, *arguments, "--values", str(self._values)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def template(
        self, chart: str, values: Manifest | None = None, *, release: str = "thumbnails", tests: bool = False
    ) -> list[Manifest]:
        """The objects that an install would create in the namespace demo; with `tests` also those of `helm test`."""
        only = () if tests else ("--skip-tests",)
        answer = self.run("template", release, str(CHARTS / chart), "--namespace", "demo", *only, values=values)
        assert answer.returncode == 0, answer.stderr
        return [item for item in yaml.load_all(answer.stdout, StrictLoader) if item]

    def refusal(self, chart: str, values: Manifest) -> str:
        """The error of values that must not be accepted."""
        answer = self.run("template", "thumbnails", str(CHARTS / chart), values=values)
        assert answer.returncode != 0, f"accepted: {values}"
        return answer.stderr

    def notes(self, chart: str, values: Manifest | None = None) -> str:
        """What a user reads after the install."""
        answer = self.run(
            *("install", "thumbnails", str(CHARTS / chart), "--namespace", "demo", "--dry-run=client"), values=values
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.partition("NOTES:")[2]
