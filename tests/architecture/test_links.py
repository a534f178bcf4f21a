"""Each link of each page leads to a file that is there, and each anchor to a heading of that file."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Fenced blocks: their text is shown as it is, and links nowhere.
BLOCK = re.compile(r"^(```+|~~~+).*?^\1[`~]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
#: A page that code, charts and workflows name to their readers.
NAMED = re.compile(r"(?<![\w/.-])(?:docs/[\w/.-]+|[A-Z]{6,})\.md\b")


def listed(*patterns: str) -> list[Path]:
    """The files of the checkout: git's own list, so that a virtual environment or a build is none of it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file())


PAGES = [str(path.relative_to(ROOT)) for path in listed("*.md")]


def prose(text: str) -> str:
    return CODE.sub("", BLOCK.sub("", text))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading, as its `html-pipeline` does: no punctuation, a hyphen for each space."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """A heading that comes again has -1, -2 … at the end of its anchor."""
    times: dict[str, int] = {}
    found = set()
    for heading in HEADING.findall(BLOCK.sub("", page.read_text())):
        anchor = slug(heading)
        found.add(f"{anchor}-{times[anchor]}" if anchor in times else anchor)
        times[anchor] = times.get(anchor, 0) + 1
    return frozenset(found)


def links(page: Path) -> Iterator[str]:
    """Those that lead to a file of the checkout, not to another site."""
    yield from (link for link in LINK.findall(prose(page.read_text())) if not re.match(r"[a-z]+:", link))


def trouble(page: Path, link: str) -> str | None:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and anchor not in anchors(target):
        return f"{link}: {target.name} has no heading with this anchor; it has {', '.join(sorted(anchors(target)))}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_each_link_and_each_anchor_leads_somewhere(page: str) -> None:
    path = ROOT / page
    assert [found for link in links(path) if (found := trouble(path, link))] == []


def test_each_page_of_the_docs_is_reached_from_the_readme() -> None:
    """A page to which no link leads has no readers. Decisions are listed by their folder."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
            ahead += [target for target in targets if target.suffix == ".md" and target.is_file()]
    pages = {path for path in listed("docs/*.md") if "decisions" not in path.parts}
    assert pages - reached == set()


def test_each_page_that_a_program_names_is_there() -> None:
    sources = listed("*.py", "*.yaml", "*.yml", "*.tpl", "*.txt", "*.json", "Makefile", "Dockerfile", "*/Dockerfile")
    named = {name for path in sources for name in NAMED.findall(path.read_text(errors="replace"))}
    assert "docs/runbooks.md" in named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Ask it", "ask-it"),
        ("The Secret", "the-secret"),
        ("`kubectl get`: columns", "kubectl-get-columns"),
        ("What cannot change, and what to do instead", "what-cannot-change-and-what-to-do-instead"),
        ("See [the worker](worker.md)", "see-the-worker"),
        ("タスクを送る、見る", "タスクを送る見る"),
        ("Install & upgrade", "install--upgrade"),
    ],
)
def test_an_anchor_is_made_as_github_makes_it(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


@pytest.mark.parametrize("link", ["nowhere.md", "README.md#no-such-heading", "#no-such-heading"])
def test_a_link_that_leads_nowhere_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        f"# A page\n\n```\n# no-such-heading\n```\n\n[a link]({link}), [another](#a-page), `[code](x.md)`\n"
    )
    assert [found for one in links(page) if (found := trouble(page, one))] == [trouble(page, link)] != [None]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_each_module_that_a_page_names_is_there(page: str) -> None:
    """With as many folders of its path as the page gives."""
    modules = {f"/{path.relative_to(ROOT)}" for path in listed("*.py")}
    named = set(re.findall(r"[\w/-]+\.py\b", (ROOT / page).read_text()))
    assert named
    assert {name for name in named if not any(module.endswith(f"/{name}") for module in modules)} == set()
