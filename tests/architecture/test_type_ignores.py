"""Each place where mypy is switched off says which error it switches off, and why."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Cut in two, so that this file has none.
IGNORE = "type: " + "ignore"
WITH_REASON = re.compile(rf"# {IGNORE}\[[a-z-]+(?:, [a-z-]+)*\] +# \w+")


def without_reason(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if IGNORE in line and not WITH_REASON.search(line)]


def test_each_has_its_error_and_its_reason_on_the_same_line() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.py"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert files
    found = {str(path.relative_to(ROOT)): without_reason(path.read_text(encoding="utf-8")) for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_one_without_a_reason_or_without_its_error_is_found() -> None:
    bad = [f"x = 1  # {IGNORE}", f"x = 1  # {IGNORE}[misc]", f"x = 1  # {IGNORE} # no types"]
    good = [f"x = 1  # {IGNORE}[misc, arg-type] # pika has no types", "x = 1"]
    assert without_reason("\n".join([*bad, *good])) == bad
