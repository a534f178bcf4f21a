"""The worker's settings: flags first, then the environment, then the defaults; parsed once into a frozen value.

Errors name the flag and the variable. The broker's address has variables of its own (workqueue_broker.address).
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, TypeVar

from workqueue_broker.declaration import Declare, QueueDeclaration, QueueType
from workqueue_broker.environment import service_link_hint, variable
from workqueue_broker.names import InvalidName, checked_name, dead_letter_name

from workqueue_worker.logs import LogFormat, LogLevel
from workqueue_worker.settlement import RetryPolicy

_Value = TypeVar("_Value")

#: Port of the metrics and probes; a second worker on one machine finds it taken.
DEFAULT_METRICS_PORT = 8000
#: Seconds by which a worker's grace period exceeds the task's time limit, so that no task in time is interrupted.
GRACE_OVER_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Option:
    """One setting: its flag, its variable, its default and its meaning."""

    flag: str
    variable: str
    default: Any
    parse: Callable[[str], Any]
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """All of a worker's settings."""

    queue: str
    queue_type: QueueType
    #: True: make the queues when they are missing.
    create: bool
    #: `module:function`; None: the tutorial's handler, or the command.
    handler: str | None
    #: A program and its arguments; empty: none.
    command: tuple[str, ...]
    concurrency: int
    max_attempts: int
    #: None: no limit.
    max_tasks: int | None
    #: Seconds.
    task_timeout: float
    grace_period: float
    retry_max_delay: float
    dead_letter_queue: str
    #: 0 takes a free port, which is logged; None: the default one, or a free one when another program has it.
    metrics_port: int | None
    log_format: LogFormat
    log_level: LogLevel

    @property
    def declaration(self) -> QueueDeclaration:
        """The queue that tasks come from."""
        return QueueDeclaration(self.queue, self.queue_type)

    @property
    def dead_letter_declaration(self) -> QueueDeclaration:
        """The queue of dead-lettered tasks."""
        return QueueDeclaration(self.dead_letter_queue, self.queue_type)

    @property
    def counting_queue(self) -> bool:
        """True when the queue counts how often a task was returned: a quorum queue."""
        return self.queue_type is QueueType.QUORUM

    @property
    def retry_policy(self) -> RetryPolicy:
        """When to try a failed task again."""
        return RetryPolicy(max_attempts=self.max_attempts, max_delay=self.retry_max_delay)

    @property
    def handler_name(self) -> str:
        """What does the tasks: `module:function`, a command's program without its path and arguments, or `tutorial`."""
        if self.command:
            return PurePath(self.command[0]).name
        return self.handler or "tutorial"


def _parsed(parse: Callable[[str], _Value], text: str) -> _Value | None:
    """None for a text that is no such value: the library's words for it have no remedy."""
    with suppress(ValueError):
        return parse(text)
    return None


def _whole(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = _parsed(int, text)
        if number is None or number < minimum:
            raise ValueError(f"must be a whole number, at least {minimum}")
        return number

    return parse


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ValueError("must be a port from 1 to 65535, or 0 for any free one")
    return int(text)


def _seconds(text: str) -> float:
    number = _parsed(float, text)
    if number is None or not 0 < number < float("inf"):
        raise ValueError("must be a number of seconds above 0")
    return number


def _command(text: str) -> tuple[str, ...]:
    words = _parsed(json.loads, text)
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError('must be a JSON list of words, such as ["python", "job.py"]')
    return tuple(words)


#: That of the tutorial.
DEFAULT_QUEUE = "task_queue"
LOG_OPTIONS = (
    Option("--log-format", "LOG_FORMAT", "text", LogFormat, "how the log is written", tuple(LogFormat)),
    Option("--log-level", "LOG_LEVEL", "INFO", LogLevel, "the least that is logged", tuple(LogLevel)),
)
QUEUE_OPTIONS = (
    Option("--queue", "QUEUE_NAME", DEFAULT_QUEUE, checked_name, "the queue that tasks come from"),
    Option("--queue-type", "QUEUE_TYPE", "Quorum", QueueType, "how it is declared", tuple(QueueType)),
    Option("--declare", "QUEUE_DECLARE", Declare.CREATE, Declare, "make queues when they are missing", tuple(Declare)),
    Option(
        *("--dead-letter-queue", "DEAD_LETTER_QUEUE", None, checked_name),
        "the queue for dead-lettered tasks (default: QUEUE.dead)",
    ),
    *LOG_OPTIONS,
)
TASK_OPTIONS = (
    Option("--handler", "WORKER_HANDLER", None, str, "module:function that does a task (default: the tutorial's)"),
    Option("--task-timeout", "TASK_TIMEOUT_SECONDS", 600.0, _seconds, "the longest that one attempt may take"),
)
RUN_OPTIONS = (
    *(*QUEUE_OPTIONS, *TASK_OPTIONS),
    Option("--concurrency", "WORKER_CONCURRENCY", 1, _whole(1), "how many tasks at a time"),
    Option("--max-attempts", "WORKER_MAX_ATTEMPTS", 5, _whole(1), "attempts before a task is dead-lettered"),
    Option("--max-tasks", "WORKER_MAX_TASKS", None, _whole(1), "leave after so many tasks, to be started again"),
    Option("--retry-max-delay", "RETRY_MAX_DELAY_SECONDS", 30.0, _seconds, "the longest wait before a retry"),
    Option("--grace-period", "WORKER_GRACE_PERIOD_SECONDS", None, _seconds, "after SIGTERM (default: timeout + 10)"),
    Option(
        *("--metrics-port", "METRICS_PORT", None, _port),
        f"port of /metrics, /healthz and /readyz (default: {DEFAULT_METRICS_PORT}, or a free one when it is taken)",
    ),
)
COMMAND_VARIABLE = "WORKER_COMMAND"
#: Of 1: two letters exchanged in a dozen, and not the names that Kubernetes makes for a Service.
_ALIKE = 0.85


class SettingsError(ValueError):
    """A setting cannot be used; the message names it and the remedy."""


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Add flags to a parser; none has a default there, so that the environment comes next."""
    for option in options:
        help_text = f"{option.help} [{option.variable}]"
        if option.default is not None:
            help_text += f" (default: {option.default})"
        metavar = "|".join(option.choices) or option.flag.removeprefix("--").upper().replace("-", "_")
        parser.add_argument(option.flag, metavar=metavar, help=help_text)


def read_settings(flags: Mapping[str, str | None], command: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """All settings from parsed flags (by destination), the words after `--`, and the environment."""
    values = {option.flag: _value(option, flags, environment) for option in RUN_OPTIONS}
    words = tuple(command) or _environment_command(environment)
    if words and values["--handler"]:
        raise SettingsError(
            f"both a command and --handler (WORKER_HANDLER) {values['--handler']!r} are given: choose one"
        )
    queue, timeout = values["--queue"], values["--task-timeout"]
    dead_letter_queue = values["--dead-letter-queue"] or _default_dead_letter_queue(queue)
    if dead_letter_queue == queue:
        raise SettingsError(
            f"--dead-letter-queue (DEAD_LETTER_QUEUE) {queue!r} is the queue itself: dead-lettered tasks "
            "would run; name another one"
        )
    return Settings(
        queue=queue,
        queue_type=values["--queue-type"],
        create=values["--declare"] is Declare.CREATE,
        handler=values["--handler"],
        command=words,
        concurrency=values["--concurrency"],
        max_attempts=values["--max-attempts"],
        max_tasks=values["--max-tasks"],
        task_timeout=timeout,
        grace_period=values["--grace-period"] or timeout + GRACE_OVER_TIMEOUT_SECONDS,
        retry_max_delay=values["--retry-max-delay"],
        dead_letter_queue=dead_letter_queue,
        metrics_port=values["--metrics-port"],
        log_format=values["--log-format"],
        log_level=values["--log-level"],
    )


def misspelled(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are nearly one of a worker's, each with that one, where that one itself is not set."""
    known = {option.variable for option in RUN_OPTIONS} | {COMMAND_VARIABLE}
    found = {name: get_close_matches(name, known - set(environment), 1, _ALIKE) for name in set(environment) - known}
    return {name: matches[0] for name, matches in sorted(found.items()) if matches}


def _value(option: Option, flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Any:
    text = flags.get(option.flag.removeprefix("--").replace("-", "_"))
    name = option.flag
    if text is None:
        text, name = variable(environment, option.variable), option.variable
    if text is None:
        return option.parse(option.default) if isinstance(option.default, str) else option.default
    if option.choices and text not in option.choices:
        raise SettingsError(f"{name} {text!r} must be one of {', '.join(option.choices)}")
    try:
        return option.parse(text)
    except InvalidName as error:  # which shows the name, cut when it is long
        raise SettingsError(f"{name} {error}") from error
    except ValueError as error:
        raise SettingsError(f"{name} {text!r}: {error}{service_link_hint(name, text)}") from error


def _default_dead_letter_queue(queue: str) -> str:
    try:
        return dead_letter_name(queue, "--queue (QUEUE_NAME)", "--dead-letter-queue (DEAD_LETTER_QUEUE)")
    except InvalidName as error:
        raise SettingsError(str(error)) from error


def _environment_command(environment: Mapping[str, str]) -> tuple[str, ...]:
    text = variable(environment, COMMAND_VARIABLE)
    if not text:
        return ()
    try:
        return _command(text)
    except ValueError as error:
        raise SettingsError(f"{COMMAND_VARIABLE} {text!r}: {error}") from error
