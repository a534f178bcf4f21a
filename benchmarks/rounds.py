"""Contenders that take turns, round after round, and what came of it as a table and as JSON.

Rule: only rates of one round are compared, so that a busy machine slows all; a ratio is the median over the rounds.
Used by the benchmarks of the worker, of the publisher and of readings.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

#: Read when the benchmark starts, so that its result shows whether the machine was idle.
_LOAD_BEFORE = os.getloadavg()[0]


@dataclass(frozen=True)
class Rate:
    """One contender's run."""

    #: What was to be done; only rates of one shape are compared.
    shape: str
    contender: str
    round: int
    per_second: float


@dataclass(frozen=True)
class Run:
    """One contender in one shape; call measure() for its rate per second."""

    shape: str
    contender: str
    measure: Callable[[], float]


def take_turns(runs: Sequence[Run], rounds: int, minutes: float, failures: list[str]) -> Iterator[Rate]:
    """Each round runs everything once and shows its progress. No round starts that would end after the minutes.

    A contender that fails has no rate in that round; why is added to `failures`.

    The contenders of a shape stand side by side, so that they meet the same machine, and each round begins with the
    next of them, so that none has the same neighbours' leftovers every time.
    """
    began = round_began = time.monotonic()
    for number in range(rounds):
        now = time.monotonic()
        if number and now + (now - round_began) - began > minutes * 60:
            print(f"{number} rounds of {rounds}: the time is up", file=sys.stderr, flush=True)
            return
        round_began = now
        for done, run in enumerate(_order(runs, number), number * len(runs) + 1):
            where = f"round {number + 1}, {run.shape}: {run.contender}"
            try:
                rate = Rate(run.shape, run.contender, number + 1, round(run.measure(), 1))
            except (RuntimeError, AssertionError, subprocess.SubprocessError) as error:
                failures.append(f"{where} ({(str(error) or repr(error)).splitlines()[0]})")
                said = "failed"
            else:
                said = f"{rate.per_second:,.0f}/s"
                yield rate
            passed = int(time.monotonic() - began)
            progress = f"{done}/{rounds * len(runs)}  {passed // 60}:{passed % 60:02}"
            print(f"{progress}  {where} {said}", file=sys.stderr, flush=True)


def _order(runs: Sequence[Run], number: int) -> Iterator[Run]:
    """A round's order: shapes as they are given, and in each another first contender than the round before."""
    for shape in dict.fromkeys(run.shape for run in runs):
        here = [run for run in runs if run.shape == shape]
        first = number % len(here)
        yield from (*here[first:], *here[:first])


def ratios(rates: Sequence[Rate], shape: str, contender: str, baseline: str) -> list[float]:
    """The contender's rate over the baseline's, for each round in which both have one."""
    found = {(rate.round, rate.contender): rate.per_second for rate in rates if rate.shape == shape}
    numbers = [number for number, name in sorted(found) if name == contender and (number, baseline) in found]
    return [found[number, contender] / found[number, baseline] for number in numbers]


def markdown(rates: Sequence[Rate], baselines: Sequence[str]) -> str:
    """A table for each shape: the median rate, and the median ratio to each baseline with its range."""
    return "\n".join(_table(rates, shape, baselines) for shape in dict.fromkeys(rate.shape for rate in rates))


def _table(rates: Sequence[Rate], shape: str, baselines: Sequence[str]) -> str:
    here = [rate for rate in rates if rate.shape == shape]
    lines = [
        f"### {shape}\n",
        "| | per second, median (range) | " + " | ".join(f"against {name}" for name in baselines) + " |",
        "| --- | ---: |" + " ---: |" * len(baselines),
    ]
    for contender in sorted({rate.contender for rate in here}, key=lambda name: -_median(here, name)):
        numbers = [rate.per_second for rate in here if rate.contender == contender]
        cells = [_ratio(ratios(rates, shape, contender, baseline)) for baseline in baselines]
        middle = f"{_median(here, contender):,.0f} ({min(numbers):,.0f} to {max(numbers):,.0f})"
        lines.append(f"| {contender} | {middle} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _median(rates: Sequence[Rate], contender: str) -> float:
    return statistics.median(rate.per_second for rate in rates if rate.contender == contender)


def _ratio(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def write(folder: Path, name: str, facts: dict[str, str], rates: Sequence[Rate], baselines: Sequence[str]) -> None:
    """NAME.md and NAME.json in the folder; also prints the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = markdown(rates, baselines)
    recorded = "\n".join(f"- {what}: {fact}" for what, fact in facts.items())
    (folder / f"{name}.md").write_text(f"{recorded}\n\n{tables}", encoding="utf-8")
    content = {"facts": facts, "rates": [asdict(rate) for rate in rates]}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{tables}\nwritten: {folder / name}.md and .json")


def facts(command: str, rabbitmq: str) -> dict[str, str]:
    """Where a result comes from: every result has these facts."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "machine": f"{_cores()} cores, {platform.system()} {platform.release()}, broker and contenders on it together",
        "before it": f"{_LOAD_BEFORE:.1f} processes wanted to run, on average over a minute",
        "RabbitMQ": rabbitmq,
        "Python": platform.python_version(),
        "pika": version("pika"),
        "workqueue": version("workqueue"),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))
