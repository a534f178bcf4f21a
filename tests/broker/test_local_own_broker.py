"""`--broker installed` starts the package's RabbitMQ as this user, with ports and data of its own, and removes it."""

import re
import shlex
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.local_run import LocalRun, manifests
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.rabbitmq_versions import SCRIPTS, SUITES, ensure
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq


def installed(folder: Path, version: str) -> Path:
    """A folder with the package's programs, each of which runs the tests' RabbitMQ of this version."""
    if version not in SUITES:
        pytest.skip(f"needs Debian's package of RabbitMQ, such as --rabbitmq 4.0, and not {version}")
    folder.mkdir()
    for name, program in (("rabbitmq-server", str(SCRIPTS / "rabbitmq-server")), ("epmd", "epmd")):
        command = shlex.join(ensure(version).command(program, binds=(folder.parent,)))
        (folder / name).write_text(f'#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def processes_that_name(text: str) -> list[str]:
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [command.decode(errors="replace") for command in commands if text.encode() in command]


def test_it_starts_a_broker_for_the_run_and_removes_it(
    rabbitmq: RabbitMQServer, rabbitmq_version: str, tmp_path: Path
) -> None:
    """The Secret names another one, which is not used."""
    programs = installed(tmp_path / "bin", rabbitmq_version)
    text = manifests(TaskQueue(rabbitmq, "nowhere", QueueType.QUORUM), scaling={"minReplicas": 1})
    path = f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"
    with LocalRun(tmp_path / "run", text, "--broker", "installed", PATH=path) as local:
        address = local.until(r"broker: amqp://guest@(127\.0\.0\.1:\d+)/%2F")[1]
        assert address != f"127.0.0.1:{rabbitmq.amqp_port}"
        local.until(r"jobs-worker-\w+ is Ready")
        local.until("default/jobs: PolicySet")
        assert processes_that_name(str(tmp_path / "run"))
        local.interrupt()
        assert local.exit_code() == 0
    assert re.search("has ended", local.text)
    wait_until(lambda: not processes_that_name(str(tmp_path / "run")), 30, "nothing of it runs")
    assert [one.name for one in (tmp_path / "run" / "workqueue-local").iterdir()] == ["lock"]
