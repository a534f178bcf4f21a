"""The test broker itself: what the other tests build on."""

import socket
import subprocess
import sys
from pathlib import Path

import pika
import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_broker.errors import BrokerError

from tests.support.given_node import needs_own
from tests.support.rabbitmq_choice import image, is_given, numbers
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SETTINGS = ConnectionSettings(name="test")


@pytest.mark.parametrize("queue_type", list(QueueType))
def test_counts_show_ready_and_unacknowledged(
    rabbitmq: RabbitMQServer, broker: BrokerAddress, queue_type: QueueType
) -> None:
    with connect(broker, SETTINGS) as connection:
        channel = connection.channel()
        QueueDeclaration("q", queue_type).declare(channel)
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish("", "q", b"x")
        wait_until(lambda: channel.basic_get("q")[0], 5, "a message to take")
        assert rabbitmq.counts(broker.virtual_host, "q") == (2, 1)


@pytest.mark.parametrize("queue_type", list(QueueType))
def test_what_is_waited_for_is_counted_on_a_given_broker_too(rabbitmq: RabbitMQServer, queue_type: QueueType) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type).declare()
    queue.send("a", "b", "c")
    with queue.channel() as channel:
        wait_until(lambda: channel.basic_get(queue.name)[0], 5, "a message to take")
        queue.wait_for_counts(2, 1)
        assert not queue.is_consumed()
        channel.basic_consume(queue.name, lambda *_: None)
        wait_until(queue.is_consumed, 30, "its consumer is known")
    queue.wait_for_counts(3, 0)


def test_a_missing_queue_has_no_counts_which_is_not_an_empty_queue(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    with pytest.raises(LookupError, match="there is no queue q in virtual host"):
        rabbitmq.counts(broker.virtual_host, "q")


def test_runs_the_version_that_was_asked_for(rabbitmq: RabbitMQServer, rabbitmq_version: str) -> None:
    if is_given(rabbitmq_version):
        needs_own("its version is asked for")
    wanted = numbers(rabbitmq_version)
    assert [int(part) for part in rabbitmq.release.split(".")][: len(wanted)] == wanted


def test_data_survive_a_crash_and_alarms_can_be_raised(own_rabbitmq: RabbitMQServer) -> None:
    with connect(own_rabbitmq.address(), SETTINGS) as connection:
        channel = connection.channel()
        QueueDeclaration("q").declare(channel)
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
    own_rabbitmq.kill()
    assert not own_rabbitmq.is_running
    own_rabbitmq.start()
    wait_until(lambda: own_rabbitmq.counts(own_rabbitmq.default_vhost, "q") == (1, 0), 30, "the message is there")
    own_rabbitmq.set_memory_alarm(True)
    own_rabbitmq.set_memory_alarm(False)


def test_data_survive_a_clean_stop_and_nothing_answers_until_the_start(own_rabbitmq: RabbitMQServer) -> None:
    with connect(own_rabbitmq.address(), SETTINGS) as connection:
        QueueDeclaration("q").declare(connection.channel())
    own_rabbitmq.stop()
    assert not own_rabbitmq.is_running
    with pytest.raises(BrokerError):
        connect(own_rabbitmq.address(), SETTINGS)
    own_rabbitmq.start()
    wait_until(lambda: own_rabbitmq.counts(own_rabbitmq.default_vhost, "q") == (0, 0), 30, "the queue is there")


@pytest.mark.any_rabbitmq
def test_a_frozen_broker_accepts_a_connection_and_answers_nothing(own_rabbitmq: RabbitMQServer) -> None:
    own_rabbitmq.freeze()
    try:
        with socket.create_connection((own_rabbitmq.listen, own_rabbitmq.amqp_port), 5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            own_rabbitmq.thaw()
            connection.settimeout(30)
            assert connection.recv(1)
    finally:
        own_rabbitmq.thaw()


@pytest.mark.any_rabbitmq
def test_the_nodes_own_words_and_settings_are_at_hand(rabbitmq: RabbitMQServer) -> None:
    assert "accepting AMQP connection" in rabbitmq.log() or "Server startup complete" in rabbitmq.log()
    assert "guest" in rabbitmq.ctl("list_users")
    with pytest.raises(RuntimeError, match="no_such_command"):
        rabbitmq.ctl("no_such_command")
    before = rabbitmq.evaluate("element(2, application:get_env(rabbit, heartbeat))")
    assert before != "77"
    with rabbitmq.setting(heartbeat=77):
        assert rabbitmq.evaluate("element(2, application:get_env(rabbit, heartbeat))") == "77"
    assert rabbitmq.evaluate("element(2, application:get_env(rabbit, heartbeat))") == before


@pytest.mark.any_rabbitmq
def test_nothing_of_a_killed_run_goes_on(rabbitmq_version: str, tmp_path: Path) -> None:
    """Its port is refused at last, and of a container nothing is left."""
    if is_given(rabbitmq_version):
        needs_own("its end with the run is looked at")
    program = (
        "import sys, time; from pathlib import Path; from tests.support.rabbitmq_server import RabbitMQServer\n"
        "server = RabbitMQServer(Path(sys.argv[1]), sys.argv[2]).start()\n"
        "print(server.amqp_port, server.place, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), rabbitmq_version]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout
        port, place = run.stdout.readline().split()
        run.kill()
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", int(port))) != 0, 60, "the port is refused")
    if image(rabbitmq_version):
        left = ["docker", "ps", "--all", "--quiet", "--filter", f"name={place}"]
        wait_until(lambda: not subprocess.check_output(left), 60, f"{place} is removed")


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("port", ["amqp", "epmd"])
def test_a_broker_whose_port_another_program_takes_starts_on_others(
    rabbitmq_version: str, tmp_path: Path, port: str
) -> None:
    if image(rabbitmq_version) and port == "epmd":
        pytest.skip("a container has this port for itself")
    server = RabbitMQServer(tmp_path, rabbitmq_version)
    try:
        with socket.create_server(("127.0.0.1", getattr(server.ports, port))) as other:
            server.start()
            assert getattr(server.ports, port) != other.getsockname()[1]
            assert server.evaluate("1 + 1") == "2"
    finally:
        server.close()
