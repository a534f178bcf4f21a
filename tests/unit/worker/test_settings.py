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


WHOLE = "must be a whole number, at least 1"
SECONDS = "must be a number of seconds above 0"
PORT = "must be a port from 1 to 65535, or 0 for any free one"
WORDS = 'must be a JSON list of words, such as ["python", "job.py"]'
CUT = "q" * 40 + "…"  # a long name is cut
LINK = (
    ": Kubernetes sets this for a Service named 'metrics'; set enableServiceLinks: false in the pod, "
    "rename the Service, or set METRICS_PORT in the pod"
)


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"concurrency": "0"}, {}, f"--concurrency '0': {WHOLE}"),
        ({}, {"WORKER_CONCURRENCY": "x"}, f"WORKER_CONCURRENCY 'x': {WHOLE}"),
        ({"max_attempts": "1.5"}, {}, f"--max-attempts '1.5': {WHOLE}"),
        ({}, {"WORKER_MAX_TASKS": "-1"}, f"WORKER_MAX_TASKS '-1': {WHOLE}"),
        ({"task_timeout": "-1"}, {}, f"--task-timeout '-1': {SECONDS}"),
        ({"task_timeout": "inf"}, {}, f"--task-timeout 'inf': {SECONDS}"),
        ({}, {"TASK_TIMEOUT_SECONDS": "nan"}, f"TASK_TIMEOUT_SECONDS 'nan': {SECONDS}"),
        ({"retry_max_delay": "soon"}, {}, f"--retry-max-delay 'soon': {SECONDS}"),
        ({}, {"WORKER_GRACE_PERIOD_SECONDS": "0"}, f"WORKER_GRACE_PERIOD_SECONDS '0': {SECONDS}"),
        ({"metrics_port": "65536"}, {}, f"--metrics-port '65536': {PORT}"),
        ({}, {"METRICS_PORT": "-1"}, f"METRICS_PORT '-1': {PORT}"),
        ({}, {"METRICS_PORT": "tcp://10.0.0.1:80"}, f"METRICS_PORT 'tcp://10.0.0.1:80': {PORT}{LINK}"),
        ({"queue_type": "quorum"}, {}, "--queue-type 'quorum' must be one of Quorum, Classic"),
        ({}, {"QUEUE_DECLARE": "Always"}, "QUEUE_DECLARE 'Always' must be one of Create, Never"),
        ({"log_format": "xml"}, {}, "--log-format 'xml' must be one of text, json"),
        ({}, {"LOG_LEVEL": "loud"}, "LOG_LEVEL 'loud' must be one of DEBUG, INFO, WARNING, ERROR"),
        ({}, {"WORKER_COMMAND": "python job.py"}, f"WORKER_COMMAND 'python job.py': {WORDS}"),
        ({}, {"WORKER_COMMAND": "[]"}, f"WORKER_COMMAND '[]': {WORDS}"),
        ({}, {"WORKER_COMMAND": '["a", 1]'}, f"WORKER_COMMAND '[\"a\", 1]': {WORDS}"),
        ({"queue": "q" * 256}, {}, f"--queue '{CUT}' has 256 bytes, more than 255: choose a shorter name"),
        (
            {},
            {"DEAD_LETTER_QUEUE": "amq.x"},
            "DEAD_LETTER_QUEUE 'amq.x' begins with amq., which RabbitMQ keeps for itself: choose another name",
        ),
        (
            {"queue": "q" * 251},
            {},
            f"--queue (QUEUE_NAME) '{CUT}' has 251 bytes, too many for .dead at its end, the default name of the "
            "dead-letter queue: choose a name of at most 250 bytes, or set --dead-letter-queue (DEAD_LETTER_QUEUE)",
        ),
        (
            {"queue": "q", "dead_letter_queue": "q"},
            {},
            "--dead-letter-queue (DEAD_LETTER_QUEUE) 'q' is the queue itself: dead-lettered tasks would run; "
            "name another one",
        ),
        (
            {"handler": "a:b"},
            {"WORKER_COMMAND": '["true"]'},
            "both a command and --handler (WORKER_HANDLER) 'a:b' are given: choose one",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    flags: dict[str, str | None], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(flags, (), environment)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "meant"),
    [("WORKER_HANLDER", "WORKER_HANDLER"), ("WORKER_HANDLERS", "WORKER_HANDLER"), ("QUEUE_NAMES", "QUEUE_NAME")],
)
def test_a_variable_that_is_nearly_a_setting_is_named_with_the_one_that_is_meant(name: str, meant: str) -> None:
    assert misspelled({name: "x"}) == {name: meant}
    assert misspelled({name: "x", meant: "y"}) == {}


def test_other_variables_are_no_mistake() -> None:
    """Those that Kubernetes makes for a Service named worker or queue among them."""
    links = ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR", "PORT_8000_TCP_PROTO")
    names = [f"{service}_{link}" for service in ("WORKER", "QUEUE", "TASK", "LOG", "RETRY") for link in links]
    assert misspelled(dict.fromkeys((*names, "PATH", "HOME", "WORKER_NAME", "AMQP_URL"), "x")) == {}
