"""A broker of our own that cannot be started says what to install."""

from pathlib import Path

import pytest
from workqueue_operator.local.own_broker import NoBroker, OwnBroker, docker_command


def test_docker_publishes_on_loopback_alone_and_removes_the_container_itself() -> None:
    assert docker_command("workqueue-local-1", 20001, 20002) == [
        *("docker", "run", "--rm", "--name", "workqueue-local-1"),
        *("--publish", "127.0.0.1:20001:5672", "--publish", "127.0.0.1:20002:15672"),
        "rabbitmq:4-management",
    ]


async def test_without_docker_the_error_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    broker = OwnBroker("docker", tmp_path)
    try:
        with pytest.raises(NoBroker, match="there is no program docker: install it"):
            await broker.start()
    finally:
        await broker.close()


async def test_a_broker_that_ends_at_its_start_is_reported_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho cannot connect to the daemon\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    broker = OwnBroker("docker", tmp_path)
    try:
        with pytest.raises(NoBroker, match="RabbitMQ ended at its start: cannot connect to the daemon"):
            await broker.start()
    finally:
        await broker.close()
