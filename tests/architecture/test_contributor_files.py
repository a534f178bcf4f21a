"""What editors, git hooks and the site that hosts the repository read agrees with the Makefile and the tree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
EDITORCONFIG = (ROOT / ".editorconfig").read_text()
FORMS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")}
#: https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests
FIELDS = {"checkboxes", "dropdown", "input", "markdown", "textarea", "upload"}


def test_the_git_hooks_are_the_commands_of_make_check() -> None:
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    lines = recipe.replace("$(BIN)", ".venv/bin").replace("$(MAKE)", "make").splitlines()
    commands = [command for line in lines for command in line.removeprefix("\t@").split(" && ")]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == commands
    assert {(hook["language"], hook["pass_filenames"]) for hook in local["hooks"]} == {("system", False)}


def test_the_editors_line_length_is_the_linters() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert re.findall(r"^max_line_length = (\d+)$", EDITORCONFIG, re.M) == [str(ruff["line-length"])]


def test_every_file_is_as_editors_are_asked_to_write_it() -> None:
    for name in (
        "charset = utf-8",
        "end_of_line = lf",
        "insert_final_newline = true",
        "trim_trailing_whitespace = true",
    ):
        assert name in EDITORCONFIG
    wrong = [str(path.relative_to(ROOT)) for path in text_files() if not well_formed(path.read_bytes())]
    assert wrong == []


def test_tabs_are_where_editors_are_asked_for_them() -> None:
    (pattern,) = re.findall(r"^\[\{(.*)\}\]\nindent_style = tab", EDITORCONFIG, re.M)
    tabbed = [path for path in text_files() if re.search(rb"^\t", path.read_bytes(), re.M)]
    assert {path.name for path in tabbed if not any(path.match(name) for name in pattern.split(","))} == set()


@pytest.mark.parametrize("written", [b"a", b"a\r\n", b"a \n", b"a\t\n", b"\xff\n"])
def test_other_endings_and_bytes_are_found(written: bytes) -> None:
    assert not well_formed(written)
    assert well_formed(b"a\n \xc3\xa4\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_an_issue_has_the_fields_that_the_site_knows(form: str) -> None:
    read = FORMS[form]
    assert set(read) == {"name", "description", "body"}
    assert {field["type"] for field in read["body"]} <= FIELDS
    ids = [field["id"] for field in read["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    assert all("label" in field["attributes"] or field["type"] == "markdown" for field in read["body"])


def test_the_fault_form_asks_for_the_command_that_the_page_on_call_shows() -> None:
    (asked,) = [field["attributes"] for field in FORMS["bug.yml"]["body"] if field.get("id") == "explained"]
    assert asked["description"] in (ROOT / "docs" / "operations.md").read_text()


def text_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()]


def well_formed(content: bytes) -> bool:
    """Lines end with LF alone and not with blanks, the last one too; UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return not content or (content.endswith(b"\n") and not re.search(rb"[ \t\r]\n", content))
