"""docs/security.md names a test for each claim; a claim whose test is gone is none."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_each_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / "security.md").read_text()))
    written = {
        name
        for path in (CHECKOUT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert named
    assert named <= written, f"docs/security.md names tests that are not there: {sorted(named - written)}"
