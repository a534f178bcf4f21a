"""A container's process: started again, asked to end, killed when it does not, and bounded in its output."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from workqueue_operator.cluster.local.container_run import ContainerRun
from workqueue_operator.cluster.local.launch import Launch
from workqueue_operator.cluster.local.orphans import Orphans

from tests.support.waiting import until


class Ran:
    """A container under test, and the lines about it."""

    def __init__(self, folder: Path, orphans: Orphans, *command: str) -> None:
        launch = Launch(command, {"PATH": "/usr/bin:/bin"}, folder)
        self.lines: list[str] = []
        self.container = ContainerRun("worker", launch, folder / "output", orphans, self.lines.append)
        (folder / "output").touch()
        self.task = asyncio.create_task(self.container.run())

    async def until(self, fact: Callable[[], object], what: str) -> None:
        async def look() -> bool:
            return bool(fact())

        await until(look, f"{what}; lines: {self.lines}")


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Callable[..., Ran]]:
    orphans, made = Orphans(), []

    def start(*command: str) -> Ran:
        made.append(Ran(tmp_path, orphans, *command))
        return made[-1]

    yield start
    for one in made:
        one.container.stop(0.0)
        await one.task
    orphans.close()


async def test_a_process_that_ends_is_started_again_at_once_and_then_waits(run: Callable[..., Ran]) -> None:
    ran = run("sh", "-c", "echo what is wrong; exit 3")
    await ran.until(lambda: ran.container.trouble, "it waits")
    assert [line for line in ran.lines if line] == [
        "worker ended with exit code 3, it is started again: what is wrong",
        "worker ended with exit code 3, it is started again in 10 s: what is wrong",
    ]
    assert (ran.container.trouble, ran.container.restarts.failures) == ("CrashLoopBackOff", 2)


async def test_one_that_waits_ends_at_once_when_its_pod_is_deleted(run: Callable[..., Ran]) -> None:
    ran = run("false")
    await ran.until(lambda: ran.container.trouble, "it waits")
    ran.container.stop(600.0)
    await ran.task
    assert not ran.container.running


async def test_one_that_ignores_sigterm_is_killed_after_its_grace_period_with_its_children(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = run("sh", "-c", "trap '' TERM; sleep 1000 & echo $! > child; wait; wait; sleep 1000")
    child = tmp_path / "child"
    await ran.until(lambda: child.exists() and child.read_text(), "it runs")
    ran.container.stop(0.5)
    await ran.task
    await ran.until(lambda: not Path(f"/proc/{child.read_text().strip()}/cmdline").exists(), "its child has ended")
    assert ran.container.restarts.count == 0


async def test_a_program_that_cannot_be_started_is_one_that_ended(run: Callable[..., Ran]) -> None:
    ran = run("/no/such/program")
    await ran.until(lambda: ran.container.trouble, "it waits")
    assert ran.lines[0].startswith(
        "worker ended with exit code 127, it is started again: cannot start '/no/such/program'"
    )


async def test_the_output_starts_over_when_it_is_too_long(run: Callable[..., Ran], tmp_path: Path) -> None:
    ran = run(
        "sh",
        "-c",
        "head -c 11000000 /dev/zero; touch written; while ! test -e go; do sleep 0.05; done; echo end; sleep 1000",
    )
    output = tmp_path / "output"
    await ran.until(lambda: (tmp_path / "written").exists() and output.stat().st_size < 10_000_000, "it was cut")
    (tmp_path / "go").touch()
    await ran.until(lambda: output.read_bytes().endswith(b"end\n"), "it goes on")
