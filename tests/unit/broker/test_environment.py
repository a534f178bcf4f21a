"""The environment as all programs read it: line ends at the end of a value are no part of it, in no variable."""

import os
from pathlib import Path

import pytest
from workqueue_broker.address import SECRET_KEYS, BrokerAddress
from workqueue_broker.environment import at_start, service_link_hint
from workqueue_broker.errors import InvalidAddress
from workqueue_operator.settings import InvalidSetting
from workqueue_operator.settings import Settings as OperatorSettings
from workqueue_producer.options import parse
from workqueue_worker.settings import RUN_OPTIONS, SettingsError, read_settings

LINE_ENDS = ("\n", "\r\n", "\n\n")
SERVICE_LINK = "tcp://10.96.0.7:80"

PARTS = {
    "AMQP_HOST": "rabbitmq",
    "AMQP_PORT": "5673",
    "AMQP_USERNAME": "worker",
    "AMQP_PASSWORD": "secret",
    "AMQP_VHOST": "team",
    "AMQP_MANAGEMENT_URL": "http://rabbitmq:15672",
}
WORKER = {
    "QUEUE_NAME": "orders",
    "QUEUE_TYPE": "Classic",
    "QUEUE_DECLARE": "Never",
    "DEAD_LETTER_QUEUE": "lost",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "WARNING",
    "WORKER_HANDLER": "tasks:run",
    "TASK_TIMEOUT_SECONDS": "5",
    "WORKER_CONCURRENCY": "2",
    "WORKER_MAX_ATTEMPTS": "3",
    "WORKER_MAX_TASKS": "9",
    "RETRY_MAX_DELAY_SECONDS": "4",
    "WORKER_GRACE_PERIOD_SECONDS": "7",
    "METRICS_PORT": "0",
}


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_line_end_of_an_address_variable_is_no_part_of_it(end: str) -> None:
    assert BrokerAddress.from_environment({name: f"{value}{end}" for name, value in PARTS.items()}) == (
        BrokerAddress.from_environment(PARTS)
    )
    uri = "amqp://worker:secret@rabbitmq:5673/team"
    assert BrokerAddress.from_environment({"AMQP_URL": f"{uri}{end}"}) == BrokerAddress.from_uri(uri)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_line_end_of_a_workers_variable_is_no_part_of_it(end: str) -> None:
    missing = {option.variable for option in RUN_OPTIONS} - set(WORKER)
    assert not missing, "a new variable: add it above"
    assert read_settings({}, (), {name: f"{value}{end}" for name, value in WORKER.items()}) == (
        read_settings({}, (), WORKER)
    )
    assert read_settings({}, (), {"WORKER_COMMAND": f'["true"]{end}'}).command == ("true",)
    assert read_settings({}, (), {"WORKER_COMMAND": end, "METRICS_PORT": end}) == read_settings({}, (), {})


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_line_end_of_a_variable_of_new_task_and_the_operator_is_no_part_of_it(end: str) -> None:
    given = {"QUEUE_NAME": "orders", "QUEUE_TYPE": "Classic", "QUEUE_DECLARE": "Never"}
    assert parse(["hello"], {name: f"{value}{end}" for name, value in given.items()}) == parse(["hello"], given)
    given = {"WATCH_NAMESPACES": "a,b", "METRICS_PORT": "81", "LOG_FORMAT": "json"}
    assert OperatorSettings.from_environment({name: f"{value}{end}" for name, value in given.items()}) == (
        OperatorSettings.from_environment(given)
    )


def test_a_secret_a_file_and_a_variable_give_the_same_password(tmp_path: Path) -> None:
    """A space is part of it everywhere, the end of a line nowhere."""
    (tmp_path / "host").write_text("rabbitmq\n")
    (tmp_path / "password").write_text(" with spaces \n")
    file = str(tmp_path / "password")
    for environment in (
        {"AMQP_HOST": "rabbitmq", "AMQP_PASSWORD": " with spaces \n"},
        {"AMQP_HOST": "rabbitmq", "AMQP_PASSWORD_FILE": f"{file}\n"},
        {"AMQP_SECRET_DIR": f"{tmp_path}\n"},
    ):
        assert BrokerAddress.from_environment(environment).password == " with spaces "


def test_spaces_around_what_cannot_have_them_are_no_part_of_a_secret() -> None:
    texts = {"host": "rabbitmq", "port": "5673", "management_uri": "http://rabbitmq:15672"}
    assert set(texts) <= set(SECRET_KEYS)
    assert BrokerAddress.from_secret({key: f" {value} \n" for key, value in texts.items()}) == (
        BrokerAddress.from_secret(texts)
    )


def test_a_relative_path_means_the_directory_in_which_the_program_was_started(tmp_path: Path) -> None:
    before = Path.cwd()
    (tmp_path / "password").write_text("secret")
    os.chdir(tmp_path)
    try:
        environment = at_start({"AMQP_HOST": "rabbitmq", "AMQP_PASSWORD_FILE": "password\n"})
    finally:
        os.chdir(before)
    assert BrokerAddress.from_environment(environment).password == "secret"


def test_what_a_handler_writes_into_the_environment_changes_no_later_connection() -> None:
    live = {"AMQP_HOST": "rabbitmq"}
    environment = at_start(live)
    live["AMQP_HOST"] = "elsewhere"
    assert BrokerAddress.from_environment(environment).hosts[0][0] == "rabbitmq"


def test_a_variable_that_kubernetes_sets_for_a_service_is_named_with_the_remedy() -> None:
    environment = {"METRICS_PORT": SERVICE_LINK}
    with pytest.raises(SettingsError, match=r"Service named 'metrics'.*enableServiceLinks: false.*rename the Service"):
        read_settings({}, (), environment)
    with pytest.raises(InvalidSetting, match=r"Service named 'metrics'.*enableServiceLinks: false"):
        OperatorSettings.from_environment(environment)
    with pytest.raises(InvalidAddress, match=r"Service named 'amqp'.*enableServiceLinks: false"):
        BrokerAddress.from_environment({"AMQP_HOST": "rabbitmq", "AMQP_PORT": SERVICE_LINK})
    assert service_link_hint("METRICS_PORT", "x") == ""


def test_an_ipv6_address_is_printed_in_brackets() -> None:
    assert str(BrokerAddress.from_uri("amqp://guest:guest@[::1]:5672,other/")) == (
        "amqp://guest@[::1]:5672,other:5672/%2F"
    )
