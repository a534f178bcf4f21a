"""`--broker` starts a RabbitMQ, docker's or the package's, with ports and data of its own, and removes it."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType
from workqueue_operator.local.own_broker import IMAGE

from tests.support.local_run import LocalRun, manifests
from tests.support.rabbitmq_choice import ensure as ensure_choice
from tests.support.rabbitmq_choice import image, name_of
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.rabbitmq_versions import SCRIPTS, SUITES, ensure
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"
pytestmark = pytest.mark.any_rabbitmq


def installed(folder: Path, version: str) -> Path:
    """A folder with the package's programs, each of which runs the tests' RabbitMQ of this version."""
    if version not in SUITES:
        pytest.skip(f"needs Debian's package of RabbitMQ, such as --rabbitmq 4.0, and not {name_of(version)}")
    folder.mkdir()
    for name, program in (("rabbitmq-server", str(SCRIPTS / "rabbitmq-server")), ("epmd", "epmd")):
        command = shlex.join(ensure(version).command(program, binds=(folder.parent,)))
        (folder / name).write_text(f'#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def runs(folder: Path) -> bool:
    """Whether a program of the run with this folder goes on, or a container of any."""
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    return any(str(folder).encode() in command for command in commands)


def containers() -> set[str]:
    listed = subprocess.check_output(
        ["docker", "ps", "--all", "--quiet", "--filter", "name=workqueue-local-"], text=True
    )
    return set(listed.split())


def test_it_starts_a_broker_for_the_run_and_removes_it(
    rabbitmq: RabbitMQServer, rabbitmq_version: str, tmp_path: Path
) -> None:
    """Docker's where the tests have theirs from docker. The Secret names another one, which is not used."""
    text = manifests(TaskQueue(rabbitmq, "nowhere", QueueType.QUORUM), scaling={"minReplicas": 1})
    docker = bool(image(rabbitmq_version))
    if docker:
        ensure_choice(f"docker:{IMAGE}")  # pulled here, as a run's first lines are not waited for so long
    before = containers() if docker else set()
    path = os.environ["PATH"] if docker else f"{installed(tmp_path / 'bin', rabbitmq_version)}:{PLACES}"
    with LocalRun(tmp_path / "run", text, "--broker", "docker" if docker else "installed", PATH=path) as local:
        address = local.until(r"broker: amqp://guest@(127\.0\.0\.1:\d+)/%2F")[1]
        assert address != f"127.0.0.1:{rabbitmq.amqp_port}"
        local.until(r"jobs-worker-\w+ is Ready")
        local.until("default/jobs: PolicySet")
        assert containers() - before if docker else runs(tmp_path / "run")
        local.interrupt()
        assert local.exit_code() == 0
    assert re.search("has ended", local.text)
    wait_until(lambda: not runs(tmp_path / "run"), 30, "nothing of it runs")
    if docker:
        wait_until(lambda: not containers() - before, 30, "its container is removed")
    assert [one.name for one in (tmp_path / "run" / "workqueue-local").iterdir()] == ["lock"]
