"""Trying a handler and a broker before anything runs: `check`, and `run-one` for one body, without a broker."""

import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from textwrap import indent

from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import BrokerError, InvalidAddress, QueueMissing
from workqueue_broker.standard_streams import complain, say

from workqueue_worker.amqp import Trials
from workqueue_worker.handlers import Handler, HandlerError
from workqueue_worker.outcomes import cause_of
from workqueue_worker.settings import Settings
from workqueue_worker.settlement import Failed, Finished, Outcome
from workqueue_worker.supervisor import ABANDON_SECONDS
from workqueue_worker.task import Task

EXIT_DONE = 0
EXIT_FAILED_CHECK = 1
#: What a command would answer, EX_DATAERR and EX_TEMPFAIL of sysexits.h.
EXIT_REJECT = 65
EXIT_RETRY = 75
_CONNECTION_NAME = "workqueue-worker check"


def check(settings: Settings, load_handler: Callable[[], Handler], environment: Mapping[str, str]) -> int:
    """Print a line for each thing that a worker needs: handler, queue, permissions, dead-letter queue.

    The permissions are tried without taking a task, making a queue or storing a message. They are left out when the
    broker cannot be reached or the queue is missing.
    """
    handler = _check("handler", lambda: _describe_handler(settings, load_handler))
    return EXIT_DONE if _check_broker(settings, environment) and handler else EXIT_FAILED_CHECK


def _check_broker(settings: Settings, environment: Mapping[str, str]) -> bool:
    try:
        address = BrokerAddress.from_environment(environment)
    except InvalidAddress as error:
        return _bad("broker and queue", error)
    with Trials(address, _CONNECTION_NAME) as trials:
        if not _check("broker and queue", lambda: f"{address}: {_describe_counts(settings, trials, settings.queue)}"):
            return False
        answers = [
            _check("read", lambda: _describe_reading(settings, trials)),
            _check("write", lambda: _describe_writing(trials)),
            _check("dead-letter queue", lambda: _describe_counts(settings, trials, settings.dead_letter_queue)),
        ]
        return all(answers)


def run_one(settings: Settings, handler: Handler, task: Task) -> int:
    """Run the handler on stdin's body, as an attempt at this task; the exit code is the outcome."""
    body = sys.stdin.buffer.read()
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(handler.run(body, task)), daemon=True)
    thread.start()
    thread.join(settings.task_timeout)
    if thread.is_alive():
        task.cancelled.set()
        thread.join(ABANDON_SECONDS)
        late = ", and does not end when cancelled" if thread.is_alive() else ""
        return _say(f"retry: took longer than {settings.task_timeout:g} s{late}", EXIT_RETRY)
    return _printed(outcomes[0])


def _printed(outcome: Outcome) -> int:
    if isinstance(outcome, Finished):
        return _say("done", EXIT_DONE)
    word, exit_code = ("retry", EXIT_RETRY) if isinstance(outcome, Failed) else ("reject", EXIT_REJECT)
    return _say("\n".join(part for part in (f"{word}: {outcome.detail}", outcome.traceback) if part), exit_code)


def _say(text: str, exit_code: int) -> int:
    complain(text)
    return exit_code


def _check(what: str, describe: Callable[[], str]) -> bool:
    try:
        say(f"ok   {what}: {describe()}")
    except (HandlerError, BrokerError) as error:
        return _bad(what, error)
    return True


def _bad(what: str, error: Exception) -> bool:
    say(f"bad  {what}: {error}")
    if trace := cause_of(error) if isinstance(error, HandlerError) else "":
        say(indent(trace, "     "))
    return False


def _describe_handler(settings: Settings, load_handler: Callable[[], Handler]) -> str:
    load_handler()
    if settings.command:
        return _describe_command(settings.command)
    return settings.handler or "the tutorial's, a second of work for each dot"


def _describe_command(command: Sequence[str]) -> str:
    program = shutil.which(command[0])
    if program is None:
        raise HandlerError(f"no program {command[0]!r} that may be run: name its path, or put it into PATH")
    return " ".join([program, *command[1:]])


def _describe_counts(settings: Settings, trials: Trials, queue: str) -> str:
    if settings.create:
        trials.configure(queue)
    try:
        declaration = QueueDeclaration(queue, settings.queue_type)
        # A dead-letter queue may exist with another type.
        counts = trials.counts(declaration, declared=settings.create and queue == settings.queue)
    except QueueMissing as error:
        if settings.create:
            return f"queue {queue!r} is missing, a worker will make it"
        raise QueueMissing(f"{error}: make it, or let the worker make it with --declare Create") from error
    return f"{queue!r} has {counts.messages_ready} tasks ready and {counts.consumers} consumers"


def _describe_reading(settings: Settings, trials: Trials) -> str:
    trials.read(settings.queue)
    return f"this user may take tasks from {settings.queue!r}"


def _describe_writing(trials: Trials) -> str:
    trials.write()
    return "this user may publish copies of failed tasks"
