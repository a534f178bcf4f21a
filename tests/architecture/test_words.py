"""Words that do not belong in this project's prose: each has a plainer one. CONTRIBUTING.md has the rules."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

THIS = Path(__file__).resolve()
ROOT = THIS.parents[2]
#: Word -> what to write instead. Names in code count too: they are read as prose.
INSTEAD = {
    r"told|tells?|telling": "logs, reports, raises, returns, prints; for a signal: got SIGTERM",
    r"anew": "again",
    r"nobody|somebody|whoever": "the worker, pod, program, caller or user that it is",
    r"for ever": "forever",
    r"meanwhile": "since then, until then, during that time",
    r"mend(?:s|ed|ing)?": "fix, correct, repair",
    r"park(?:s|ed|ing)?": "dead-letter, dead-lettered",
    r"shr[iau]nk(?:s|ing)?": "scale down, scale-down",
}
FOLDERS = ("docs", "charts", "examples", "dev", "benchmarks", "operator", "worker", "producer", "broker", "tests")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Makefile")
KINDS = {".md", ".py", ".yaml", ".tpl", ".txt", ".json", ".go", ".sh", ".mjs"}
#: Written by a tool.
FOREIGN = ("package-lock.json",)


def prose(folder: str) -> Iterator[Path]:
    """The files of a folder that people read, by git's own list."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", folder]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for path in sorted(ROOT / name for name in names if name):
        if path.suffix in KINDS and path.name not in FOREIGN and path.is_file():
            yield path


def found(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, word and what to write instead."""
    for number, line in enumerate(text.splitlines(), start=1):
        for word, instead in INSTEAD.items():
            for match in re.finditer(rf"(?<![a-z])(?:{word})(?![a-z])", line.replace("_", " "), re.IGNORECASE):
                yield number, match.group(), instead


def listed(paths: list[Path]) -> list[str]:
    """Each place with such a word, as file:line, in a sentence."""
    return [
        f"{path.relative_to(ROOT)}:{number} has {word!r}: write {instead}"
        for path in paths
        for number, word, instead in found(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_none_of_the_words(folder: str) -> None:
    paths = [path for path in prose(folder) if path != THIS]
    assert paths
    assert listed(paths) == []


def test_the_pages_at_the_root_have_none_of_the_words() -> None:
    assert listed([ROOT / name for name in PAGES]) == []


def test_each_folder_of_prose_is_checked() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    ours = {folder for folder in folders if next(prose(folder), None)}
    assert ours == set(FOLDERS)


def test_a_word_is_found_in_names_and_sentences_and_not_inside_of_others() -> None:
    text = "def test_it_is_told(): ...\nRecommended parked cars. Somebody shrinks.\nmend it: stellar, amend, anew"
    assert [(number, word) for number, word, _ in found(text)] == [
        (1, "told"),
        (2, "Somebody"),
        (2, "parked"),
        (2, "shrinks"),
        (3, "anew"),
        (3, "mend"),
    ]
