"""The command line: workqueue-worker [run|check|run-one|dead-letters], by default run.

Exit codes of run: 0 left in order, 1 a bug, 2 a wrong setting, 75 a task had to be stopped.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workqueue_broker.address import BrokerAddress
from workqueue_broker.environment import at_start
from workqueue_broker.errors import BrokerError, InvalidAddress

from workqueue_worker import logs
from workqueue_worker.handlers import HandlerError
from workqueue_worker.settings import (
    QUEUE_OPTIONS,
    RUN_OPTIONS,
    TASK_OPTIONS,
    Settings,
    SettingsError,
    add_options,
    read_settings,
)
from workqueue_worker.shutdown import EXIT_DRAINED
from workqueue_worker.starting import Starting

EXIT_USAGE = 2
EXIT_FAILED = 1


@dataclass(frozen=True)
class Command:
    """A subcommand: what it says of itself, and what it does."""

    help: str
    run: Callable[[Settings, argparse.Namespace, Starting], int]
    add_options: Callable[[argparse.ArgumentParser], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the console script's entry. Imports little until it listens for signals."""
    starting = Starting()
    words, command = _split(list(sys.argv[1:] if arguments is None else arguments))
    options = _parser().parse_args(words)
    try:
        settings = read_settings(vars(options), command, os.environ)
        logs.configure(settings.log_format)
        if options.subcommand != "run":
            starting.over()
        return COMMANDS[options.subcommand].run(settings, options, starting)
    except (SettingsError, InvalidAddress, HandlerError) as error:
        if starting.asked:  # a signal in the middle of a handler's import looks like a module that ends the program
            return EXIT_DRAINED
        return _complain(error, EXIT_USAGE)
    except BrokerError as error:
        return _complain(error, EXIT_FAILED)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The worker's own words, with the subcommand first, and the command after `--`."""
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    if not words or words[0] not in {*COMMANDS, "-h", "--help"}:
        words = ["run", *words]
    return words, command


def _complain(error: Exception, exit_code: int) -> int:
    sys.stderr.write(f"workqueue-worker: {error}\n")
    return exit_code


def _run(settings: Settings, _options: argparse.Namespace, starting: Starting) -> int:
    from workqueue_worker.assembly import run

    return run(settings, at_start(os.environ), starting)


def _check(settings: Settings, _options: argparse.Namespace, _starting: Starting) -> int:
    from workqueue_worker import trying
    from workqueue_worker.assembly import choose_handler

    return trying.check(settings, lambda: choose_handler(settings), at_start(os.environ))


def _run_one(settings: Settings, _options: argparse.Namespace, _starting: Starting) -> int:
    from workqueue_worker import trying
    from workqueue_worker.assembly import choose_handler

    return trying.run_one(settings, choose_handler(settings))


def _dead_letters(settings: Settings, options: argparse.Namespace, _starting: Starting) -> int:
    from workqueue_worker.amqp import ParkedTasks
    from workqueue_worker.assembly import worker_name
    from workqueue_worker.dead_letters import Selection, drop_tasks, list_tasks, replay_tasks

    queue = settings.dead_letter_queue
    selection = Selection(frozenset(options.id or ()), options.limit)
    parked = ParkedTasks(BrokerAddress.from_environment(at_start(os.environ)), f"{worker_name()} dead-letters", queue)
    try:
        if options.action == "list":
            list_tasks(parked, selection, sys.stdout.write)
        elif options.action == "replay":
            print(f"replayed {replay_tasks(parked, settings.queue, selection)}")
        elif options.yes or _confirmed(f"Delete parked tasks of {queue!r} for good"):
            print(f"dropped {drop_tasks(parked, selection)}")
        else:
            return _complain(SettingsError("nothing dropped: say --yes"), EXIT_USAGE)
    finally:
        parked.close()
    return 0


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")


def _limit(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _dead_letter_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "replay", "drop"))
    parser.add_argument("--id", action="append", help="only the first task with this message id; may be repeated")
    parser.add_argument("--limit", type=_limit, help="at most so many")
    parser.add_argument("--yes", action="store_true", help="drop without asking")
    add_options(parser, QUEUE_OPTIONS)


COMMANDS = {
    "run": Command(
        "work on tasks (the default)",
        _run,
        lambda parser: add_options(parser, RUN_OPTIONS),
    ),
    "check": Command(
        "say whether the handler can be had and the broker reached",
        _check,
        lambda parser: add_options(parser, (*QUEUE_OPTIONS, *TASK_OPTIONS)),
    ),
    "run-one": Command(
        "run the handler once, on stdin's body, without a broker",
        _run_one,
        lambda parser: add_options(parser, TASK_OPTIONS),
    ),
    "dead-letters": Command("list, replay or drop parked tasks", _dead_letters, _dead_letter_options),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workqueue-worker",
        description="Work on tasks of a durable RabbitMQ queue. The broker: AMQP_URL, AMQP_HOST or AMQP_SECRET_DIR.",
        epilog="Words after -- are a command that does each task: body on stdin, exit 0 done, 65 reject, others retry.",
    )
    subparsers = parser.add_subparsers(dest="subcommand", required=True)
    for name, command in COMMANDS.items():
        command.add_options(subparsers.add_parser(name, help=command.help))
    return parser


if __name__ == "__main__":
    sys.exit(main())
