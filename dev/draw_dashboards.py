"""`python -m dev.draw_dashboards`: the pictures of the dashboards in docs/dashboards, light and dark.

Grafana's own components (dev/dashboards/pictures) draw the JSON of the chart with what a Prometheus answered to its
queries. The answers are kept in the folder of the components. With --prometheus they are asked for again: those of the
last minutes, or up to --end.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dev import chromium
from dev.dashboards import answers
from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.places import places
from dev.local_cluster.programs import run_long

CHECKOUT = Path(__file__).resolve().parents[1]
JSON = CHECKOUT / "charts" / "workqueue-operator" / "dashboards"
PAGE = CHECKOUT / "dev" / "dashboards" / "pictures"
KEPT = PAGE / "answers.json"
PICTURES = CHECKOUT / "docs" / "dashboards"
#: What was drawn: a line for each dashboard, with the sum of what its pictures show.
SUMS = PICTURES / "drawn.sha256"
THEMES = ("light", "dark")
#: As in page.tsx: width, height above the panels, and height of a row of Grafana's grid with its gap.
WIDTH, ABOVE, ROW = 1400, 92, 38
#: Of Chromium's clock, which it advances itself: until all is drawn.
DRAWING_MILLISECONDS = 8000
#: After which Chromium is given up, on a busy machine too.
DRAWING_SECONDS = 300
BUNDLE = ("--bundle", "--minify", '--define:process.env.NODE_ENV="production"', "--log-level=error")
LOADERS = ("--loader:.woff2=dataurl", "--loader:.woff=empty", "--loader:.ttf=empty")


class NotDrawn(Exception):
    """No picture can be made; the message says what to do."""


def main() -> int:
    chosen = arguments()
    dashboards = {path.stem: json.loads(path.read_text()) for path in sorted(JSON.glob("*.json"))}
    try:
        if chosen.prometheus:
            ask_again(chosen, dashboards)
        draw(dashboards, kept(dashboards))
    except (ClusterError, NotDrawn) as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dev.draw_dashboards", description=__doc__)
    parser.add_argument("--prometheus", metavar="ADDRESS", help="asked again, such as http://localhost:9090")
    parser.add_argument("--minutes", type=int, default=15, help="how long a time is shown (default: %(default)s)")
    parser.add_argument(
        "--end", type=int, default=int(time.time()), help="its end in seconds since 1970 (default: now)"
    )
    choose = "what is chosen above a dashboard, such as workqueue=thumbnails (default: the first in the alphabet)"
    parser.add_argument("--choose", metavar="NAME=VALUE", action="append", default=[], help=choose)
    return parser.parse_args()


def ask_again(chosen: argparse.Namespace, dashboards: Mapping[str, Any]) -> None:
    count = chosen.minutes * 60 // answers.STEP + 1
    span = answers.Span(chosen.end - (count - 1) * answers.STEP, count)
    preferred = dict(one.split("=", 1) for one in chosen.choose)
    try:
        found = answers.answers(answers.asker(chosen.prometheus), dashboards, span, preferred)
    except OSError as error:
        raise NotDrawn(f"{chosen.prometheus} does not answer as a Prometheus: {error}") from error
    KEPT.write_text(answers.written(found))


def kept(dashboards: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to all queries. Raises NotDrawn when a query is younger than they are."""
    found: dict[str, Any] = json.loads(KEPT.read_text())
    for uid, dashboard in dashboards.items():
        each = found["dashboards"].get(uid, {"instant": {}, "range": {}})
        for question in answers.questions(dashboard):
            if question.expr not in each["instant" if question.instant else "range"]:
                remedy = "draw with --prometheus, of a cluster where `make demo-grafana` and `make demo-cluster` ran"
                raise NotDrawn(f"{KEPT.name} has no answer to a query of {uid}: {question.expr}\n{remedy}")
    return found


def draw(dashboards: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    program = chromium.program()
    install()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with step("Bundling Grafana's components"):
            bundle(folder)
        for uid, dashboard in dashboards.items():
            for theme in THEMES:
                with step(f"Drawing {uid}, {theme}"):
                    page(folder, uid, dashboard, theme, found)
                    screenshot(
                        program, folder, height(dashboard, found["dashboards"][uid]), PICTURES / f"{uid}-{theme}.png"
                    )
    SUMS.write_text("".join(sums(dashboards)))


def install() -> None:
    """Grafana's packages as the lock names them, when they are not there yet."""
    if shutil.which("npm") is None:
        raise NotDrawn("npm is missing: install Node.js 20 or newer, with npm")
    lock, installed = (PAGE / "package-lock.json").read_text(), PAGE / "node_modules" / ".installed-lock.json"
    if installed.exists() and installed.read_text() == lock:
        return
    with step("Installing Grafana's components (1 to 2 minutes, once)") as progress:
        log = places().cache / "logs" / "npm-pictures.log"
        run_long(["npm", "ci", "--ignore-scripts"], log=log, progress=progress, cwd=PAGE)
    installed.write_text(lock)


def bundle(folder: Path) -> None:
    command: list[str | Path] = [
        PAGE / "node_modules" / ".bin" / "esbuild",
        PAGE / "page.tsx",
        *BUNDLE,
        *LOADERS,
        f"--outdir={folder}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotDrawn(f"esbuild failed:\n{done.stderr}")
    icons = PAGE / "node_modules" / "@grafana" / "ui" / "dist" / "public"
    shutil.copytree(icons, folder / "public" / "build")


def page(folder: Path, uid: str, dashboard: Any, theme: str, found: Mapping[str, Any]) -> None:
    given = {"dashboard": dashboard, "theme": theme, "note": note()}
    given |= {name: found[name] for name in ("start", "step", "count")} | found["dashboards"][uid]
    script = "window.PICTURE = " + json.dumps(given).replace("<", "\\u003c")
    head = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><body style="margin:0">'
    body = f'<div id="page"></div><script>{script}</script><script src="page.js"></script></body>'
    (folder / "page.html").write_text(head + body)


def note() -> str:
    """What a picture is, in its corner."""
    version = json.loads((PAGE / "package.json").read_text())["dependencies"]["@grafana/ui"]
    drawn = f"Drawn by Grafana's components (@grafana/ui {version})"
    return f"{drawn} from our JSON and a real Prometheus; not a Grafana server"


def height(dashboard: Any, each: Mapping[str, Any]) -> int:
    """Pixels of the page."""
    places_taken = [panel["gridPos"] for panel in opened(dashboard, each)]
    return ABOVE + ROW * int(max(place["y"] + place["h"] for place in places_taken))


def opened(dashboard: Any, each: Mapping[str, Any]) -> Iterator[Any]:
    """Rows and panels that are drawn: a row that opens with a click is open where a panel of it has data."""
    for panel in dashboard["panels"]:
        yield panel
        inner = panel.get("panels", [])
        if any(each["range"].get(target["expr"]) for one in inner for target in one["targets"]):
            yield from inner


def screenshot(program: Path, folder: Path, pixels: int, picture: Path) -> None:
    made = folder / "picture.png"
    made.unlink(missing_ok=True)
    command: list[str | Path] = [
        program,
        *options(folder, pixels),
        f"--screenshot={made}",
        (folder / "page.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DRAWING_SECONDS)
    if done.returncode or not made.exists():
        raise NotDrawn(f"Chromium made no picture ({done.returncode}):\n{done.stderr[-2000:]}")
    shutil.move(made, picture)


def options(folder: Path, pixels: int) -> list[str]:
    """Of Chromium: no screen, a profile of its own, no traffic; the page reads Grafana's icons by itself."""
    look = ["--headless", "--hide-scrollbars", f"--window-size={WIDTH},{pixels}", "--force-device-scale-factor=1"]
    quiet = ["--no-first-run", "--disable-gpu", "--disable-background-networking", f"--user-data-dir={folder}/profile"]
    until = ["--allow-file-access-from-files", f"--virtual-time-budget={DRAWING_MILLISECONDS}"]
    # Root has no sandbox; the page is ours and loads nothing from elsewhere.
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [*look, *quiet, *until, *alone]


def sums(dashboards: Mapping[str, Any]) -> Iterator[str]:
    for uid, dashboard in dashboards.items():
        yield f"{sum_of(dashboard)}  {uid}\n"


def sum_of(dashboard: Any) -> str:
    """SHA-256 of what a picture shows. Descriptions are not in it: Grafana shows them under the mouse only."""
    return hashlib.sha256(json.dumps(_without_descriptions(dashboard), sort_keys=True).encode()).hexdigest()


def _without_descriptions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_descriptions(inner) for key, inner in value.items() if key != "description"}
    return [_without_descriptions(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
