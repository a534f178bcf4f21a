"""`python3 -m dev.write_chart_readmes [--check]`: the table of values in each chart's README, from its values.yaml.

What stands above the heading "Values" is written by hand. With --check nothing is written: it fails when a table is not
what values.yaml holds. A value that no comment describes is an error either way.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

CHARTS = Path(__file__).resolve().parents[1] / "charts"
HEADING = "## Values\n"


class Undescribed(Exception):
    """A value has no comment with `--` above it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m dev.write_chart_readmes", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when a file would change")
    chosen = parser.parse_args()
    changed = [path for path in sorted(CHARTS.glob("*/README.md")) if readme(path) != path.read_text()]
    if chosen.check:
        for path in changed:
            print(f"Error: run `make chart-readmes`: {path} is not as its values.yaml", file=sys.stderr)
        return bool(changed)
    for path in changed:
        path.write_text(readme(path))
    return 0


def readme(path: Path) -> str:
    """The README with its table as values.yaml has it now. Raises Undescribed."""
    by_hand, _, _ = path.read_text().partition(HEADING)
    return f"{by_hand}{HEADING}\n{table((path.parent / 'values.yaml').read_text())}"


def table(values: str) -> str:
    """The rows of a values.yaml, one for each described value. Raises Undescribed."""
    found = rows(yaml.safe_load(values), descriptions(values))
    lines = [f"| `{name}` | `{json.dumps(default, ensure_ascii=False)}` | {words} |" for name, default, words in found]
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *lines, ""])


def rows(
    values: Mapping[str, object], described: Mapping[str, str], above: str = ""
) -> Iterator[tuple[str, object, str]]:
    """Name, default and description; an object without a description has those of its fields."""
    for name, value in values.items():
        path = f"{above}{name}"
        if path in described:
            yield path, value, described[path].replace("|", "\\|")
        elif isinstance(value, dict) and value:
            yield from rows(value, described, f"{path}.")
        else:
            raise Undescribed(f"{path} has no description: write one into the line above it, after `# -- `")


def descriptions(values: str) -> dict[str, str]:
    """By the name of a value, the comment above it that begins with `--`."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    comment = ""
    for line in values.splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = text[5:] if text.startswith("# -- ") else comment and f"{comment} {text[1:].strip()}"
            continue
        name, colon, _ = text.partition(":")
        if colon and not text.startswith("-"):
            indent = len(line) - len(line.lstrip())
            above = [*((at, outer) for at, outer in above if at < indent), (indent, name)]
            if comment:
                found[".".join(outer for _, outer in above)] = comment
        comment = ""
    return found


if __name__ == "__main__":
    sys.exit(main())
