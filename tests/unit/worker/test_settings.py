"""Settings: flags, then environment, then defaults; and errors that name what to change."""

import pytest
from workqueue_broker.declaration import QueueType
from workqueue_worker.settings import RUN_OPTIONS, SettingsError, misspelled, read_settings

NOTHING: dict[str, str | None] = {}


def test_the_defaults_are_the_tutorials_queue_and_handler() -> None:
    settings = read_settings(NOTHING, (), {})
    assert (settings.queue, settings.queue_type, settings.create) == ("task_queue", QueueType.QUORUM, True)
    assert (settings.handler, settings.command, settings.concurrency, settings.max_attempts) == (None, (), 1, 5)
    assert settings.dead_letter_queue == "task_queue.dead"
    assert (settings.task_timeout, settings.grace_period, settings.metrics_port) == (600.0, 610.0, None)


def test_each_setting_has_a_variable_of_its_own_and_the_flag_wins() -> None:
    assert len({option.variable for option in RUN_OPTIONS}) == len({option.flag for option in RUN_OPTIONS})
    environment = {"QUEUE_NAME": "from-environment", "WORKER_CONCURRENCY": "7"}
    settings = read_settings({"queue": "from-flag"}, (), environment)
    assert (settings.queue, settings.concurrency) == ("from-flag", 7)
    assert settings.dead_letter_queue == "from-flag.dead"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read_settings(NOTHING, (), {"WORKER_HANDLER": "", "METRICS_PORT": ""}).metrics_port is None


def test_the_grace_period_follows_the_task_timeout() -> None:
    assert read_settings(NOTHING, (), {"TASK_TIMEOUT_SECONDS": "90"}).grace_period == 100.0
    assert read_settings(NOTHING, (), {"WORKER_GRACE_PERIOD_SECONDS": "5"}).grace_period == 5.0


def test_a_command_comes_from_the_words_or_a_json_list() -> None:
    assert read_settings(NOTHING, ("sh", "-c", "true"), {}).command == ("sh", "-c", "true")
    assert read_settings(NOTHING, (), {"WORKER_COMMAND": '["sh", "-c", "true"]'}).command == ("sh", "-c", "true")


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        ({"concurrency": "0"}, {}, "--concurrency '0': must be at least 1"),
        ({}, {"WORKER_CONCURRENCY": "x"}, "WORKER_CONCURRENCY 'x'"),
        ({"queue_type": "quorum"}, {}, "--queue-type 'quorum' must be one of Quorum, Classic"),
        ({}, {"QUEUE_DECLARE": "Always"}, "QUEUE_DECLARE 'Always' must be one of Create, Never"),
        ({"task_timeout": "-1"}, {}, "--task-timeout '-1': must be a number of seconds above 0"),
        ({"metrics_port": "65536"}, {}, "must be a port from 1 to 65535, or 0 for any free one"),
        ({}, {"METRICS_PORT": "-1"}, "must be a port from 1 to 65535"),
        ({"task_timeout": "inf"}, {}, "--task-timeout 'inf'"),
        ({"queue": "q" * 256}, {}, "has 256 bytes, more than 255"),
        ({}, {"WORKER_COMMAND": "python job.py"}, "WORKER_COMMAND 'python job.py'"),
        ({}, {"WORKER_COMMAND": "[]"}, "must be a JSON list"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    flags: dict[str, str | None], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(flags, (), environment)
    assert named in str(raised.value)


def test_a_queue_that_is_its_own_dead_letter_queue_is_refused() -> None:
    with pytest.raises(SettingsError, match="is the queue itself"):
        read_settings({"queue": "q", "dead_letter_queue": "q"}, (), {})


def test_a_handler_and_a_command_together_are_refused() -> None:
    with pytest.raises(SettingsError, match="choose one"):
        read_settings({"handler": "a:b"}, ("true",), {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("WORKER_HANLDER", "WORKER_HANDLER"), ("WORKER_HANDLERS", "WORKER_HANDLER"), ("QUEUE_NAMES", "QUEUE_NAME")],
)
def test_a_variable_that_is_nearly_a_setting_is_named_with_the_one_that_is_meant(name: str, meant: str) -> None:
    assert misspelled({name: "x"}) == {name: meant}
    assert misspelled({name: "x", meant: "y"}) == {}


def test_other_variables_are_nobodys_mistake() -> None:
    """Those that Kubernetes makes for a Service named worker or queue among them."""
    links = ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR", "PORT_8000_TCP_PROTO")
    names = [f"{service}_{link}" for service in ("WORKER", "QUEUE", "TASK", "LOG", "RETRY") for link in links]
    assert misspelled(dict.fromkeys((*names, "PATH", "HOME", "WORKER_NAME", "AMQP_URL"), "x")) == {}
