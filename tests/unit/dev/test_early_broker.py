"""Whether the demo will need a RabbitMQ that takes long to make."""

from pathlib import Path

import pytest

from dev import early_broker


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing on it, and no variable of ours."""
    for name in ("KUBE_CONTEXT", "AMQP_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "value"), [("KUBE_CONTEXT", "kind-workqueue"), ("AMQP_URL", "amqp://elsewhere/")])
def test_it_is_not_needed_where_a_cluster_or_a_broker_is_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert not early_broker.is_needed()


def test_it_is_not_needed_where_rabbitmq_is_installed(bare: Path) -> None:
    program = bare / "rabbitmq-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert not early_broker.is_needed()
