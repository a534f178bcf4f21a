"""The tutorial on Kubernetes: each command of its page, in the page's order, on a real cluster."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dev.kube import image_name
from tests.support.work import CHECKOUT, Work, shown_row

PAGE = CHECKOUT / "docs" / "tutorial" / "work-queues.md"
JAPANESE = PAGE.with_suffix(".ja.md")
#: The first line of a block that a reader fills in.
OWN_VALUES = "# your own values\n"
#: What stands between the outputs of two blocks.
MARK = "-- end of block --"


def blocks(page: Path) -> list[str]:
    """The commands of a page, as they stand there."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_both_languages_have_the_same_commands() -> None:
    assert blocks(PAGE) == blocks(JAPANESE)
    assert len(blocks(PAGE)) > 1


@pytest.mark.timeout(600)
def test_each_command_does_what_the_tutorial_says(work: Work, tmp_path: Path) -> None:
    own, *rest = blocks(PAGE)
    assert own.startswith(OWN_VALUES)
    _, nothing, sent, first, _, five, killed, again, _, grown, gone, cleaned = run(rest, work, tmp_path)
    assert shown_row(nothing)["REPLICAS"] == "0"
    assert " [x] Sent 'Hello World!'" in sent
    assert received(first) == ["Hello World!"]
    messages = [(pod, task) for pod, task in lines(five) if "message" in task]
    assert {task for _, task in messages} == {f"{nth} message{'.' * dots}" for dots, nth in enumerate(NTH, 1)}
    assert len({pod for pod, _ in messages}) == 2
    assert received(killed) == [LONG]
    assert LONG in received(again)
    assert shown_row(grown)["WANTED"] == "4"
    assert "BacklogDrained" in gone
    assert 'release "tutorial" uninstalled' in cleaned
    assert work.counts("task_queue") == (0, 0)


LONG = "A very long task" + "." * 15
NTH = ("First", "Second", "Third", "Fourth", "Fifth")


def run(commands: Sequence[str], work: Work, folder: Path) -> list[str]:
    """What each block printed. All run in one shell, which ends at the first command that fails."""
    shell = f"\necho '{MARK}'\n".join(commands)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell],
        cwd=CHECKOUT,
        env={**os.environ, **own_values(), "KUBECONFIG": kubeconfig(work, folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(f"{MARK}\n")


def own_values() -> dict[str, str]:
    return {"WORKER": image_name("worker"), "PRODUCER": image_name("producer")}


def kubeconfig(work: Work, folder: Path) -> str:
    """A kubeconfig whose current context is the tests' cluster and namespace, as a reader of the page would have it."""
    file = folder / "kubeconfig"
    file.write_text(work.kube.kubectl("config", "view", "--raw", "--flatten"))
    file.chmod(0o600)
    config = ("kubectl", "--kubeconfig", str(file), "config")
    subprocess.run([*config, "use-context", work.kube.context], check=True, stdout=subprocess.DEVNULL)
    change = ["set-context", "--current", f"--namespace={work.namespace}"]
    subprocess.run([*config, *change], check=True, stdout=subprocess.DEVNULL)
    return str(file)


def lines(output: str) -> list[tuple[str, str]]:
    """(pod, task) of each line of a worker that says what it received."""
    return re.findall(r"^\[pod/([^/]+)/[^]]*\]  \[x\] Received '(.*)'$", output, re.MULTILINE)


def received(output: str) -> list[str]:
    return [task for _, task in lines(output)]
