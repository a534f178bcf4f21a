"""`make demo` without a cluster: the main job on local processes, with the summary that the cluster's demo prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests.support.rabbitmq_server import RabbitMQServer

pytestmark = pytest.mark.any_rabbitmq

ROOT = Path(__file__).parents[2]


def demo(**variables: str) -> "subprocess.CompletedProcess[str]":
    """Run on this machine."""
    command = [sys.executable, "-m", "dev.local_demo", "--here"]
    environment = os.environ | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(400)
def test_the_demo_does_every_task_on_a_given_broker_and_leaves_nothing_there(rabbitmq: RabbitMQServer) -> None:
    vhost = rabbitmq.new_vhost()
    done = demo(AMQP_URL=rabbitmq.uri(vhost), AMQP_MANAGEMENT_URL=rabbitmq.management_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = dict(re.findall(r"^│ (.+?) +│ (.+?) +│$", done.stdout, re.MULTILINE))
    reaction = summary.pop("first publish to first scale")
    assert re.fullmatch(r"\d+\.\d\d s", reaction)
    assert summary == {
        "tasks sent (confirmed by the broker)": "60",
        "tasks acked": "60",
        "tasks redelivered": "0",
        "tasks dead-lettered": "0",
        "peak replicas": "12",
        "busy workers stopped": "0",
    }
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.uri(vhost))) as connection:
        for queue in ("workqueue-demo", "workqueue-demo.dead"):
            with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
                connection.channel().queue_declare(queue, passive=True)


def test_a_broker_that_cannot_be_used_is_named_with_the_variable() -> None:
    done = demo(AMQP_URL="amqp://guest:secret@127.0.0.1:1/")
    assert done.returncode == 1
    assert "AMQP_URL: " in done.stdout
    assert "127.0.0.1:1" in done.stdout
    assert "secret" not in done.stdout + done.stderr
