"""The command line: workqueue-worker [run|check|run-one|dead-letters], by default run.

Exit codes of run: 0 left in order, 1 a bug, 2 a wrong setting, 75 a task had to be stopped.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workqueue_broker import standard_streams
from workqueue_broker.address import BrokerAddress
from workqueue_broker.environment import at_start
from workqueue_broker.errors import BrokerError, InvalidAddress, QueueMissing
from workqueue_broker.flags import header

from workqueue_worker import logs
from workqueue_worker.early_signals import EarlySignals
from workqueue_worker.handlers import HandlerError
from workqueue_worker.init_process import fork_worker
from workqueue_worker.logs import LogFormat
from workqueue_worker.outcomes import cause_of
from workqueue_worker.process_end import end_soon, ignore_signals_at_the_end
from workqueue_worker.settings import (
    LOG_OPTIONS,
    QUEUE_OPTIONS,
    RUN_OPTIONS,
    TASK_OPTIONS,
    Settings,
    SettingsError,
    add_options,
    read_settings,
)
from workqueue_worker.shutdown import EXIT_DRAINED
from workqueue_worker.task import Task

if TYPE_CHECKING:
    from workqueue_worker.amqp import DeadLetterQueue
    from workqueue_worker.dead_letter_commands import Selection

EXIT_USAGE = 2
EXIT_FAILED = 1
#: By Ctrl+C, as a shell reports it.
EXIT_INTERRUPTED = 130

logger = logs.logger(__name__)


@dataclass(frozen=True)
class Command:
    """A subcommand: its help and what it does."""

    help: str
    run: Callable[[Settings, argparse.Namespace, EarlySignals], int]
    add_options: Callable[[argparse.ArgumentParser], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the console script's entry. Imports little until it listens for signals."""
    standard_streams.protect()
    fork_worker()
    ignore_signals_at_the_end()
    try:
        exit_code = _run_command(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as end:  # argparse's, or that of a signal during the start
        exit_code = end.code if isinstance(end.code, int) else EXIT_FAILED
    except BaseException as error:
        end_soon(EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_FAILED)
        raise
    end_soon(exit_code)
    return exit_code


def _run_command(arguments: list[str]) -> int:
    early_signals = EarlySignals()
    words, command = _split(arguments)
    options = _parser().parse_args(words)
    log_format = LogFormat.TEXT
    try:
        settings = read_settings(vars(options), command, os.environ)
        log_format = settings.log_format
        logs.configure(log_format, settings.log_level)
        if options.subcommand != "run":
            early_signals.over()
        return COMMANDS[options.subcommand].run(settings, options, early_signals)
    except (SettingsError, InvalidAddress, HandlerError) as error:
        if early_signals.asked:  # a signal during a handler's import looks like a module that ends the program
            return EXIT_DRAINED
        return _complain(error, EXIT_USAGE, log_format)
    except BrokerError as error:
        return _complain(error, EXIT_FAILED, log_format)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The worker's own words, with the subcommand first, and the command after `--`."""
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    if not words or words[0] not in {*COMMANDS, "-h", "--help", "--version"}:
        words = ["run", *words]
    return words, command


def _complain(error: Exception, exit_code: int, log_format: LogFormat = LogFormat.TEXT) -> int:
    """Say what is wrong, with the traceback of a handler's module: for people, or as a line of the JSON log."""
    trace = cause_of(error) if isinstance(error, HandlerError) else ""
    if log_format is LogFormat.JSON:
        logger.error("%s", error, extra={"traceback": trace})
    else:
        standard_streams.complain("\n".join(part for part in (f"workqueue-worker: {error}", trace) if part))
    return exit_code


def _run(settings: Settings, _options: argparse.Namespace, early_signals: EarlySignals) -> int:
    from workqueue_worker.assembly import run

    return run(settings, at_start(os.environ), early_signals)


def _check(settings: Settings, _options: argparse.Namespace, _starting: EarlySignals) -> int:
    from workqueue_worker import checks
    from workqueue_worker.assembly import choose_handler

    return checks.check(settings, lambda: choose_handler(settings), at_start(os.environ))


def _run_one(settings: Settings, options: argparse.Namespace, _starting: EarlySignals) -> int:
    from workqueue_worker import checks
    from workqueue_worker.assembly import choose_handler

    headers = dict(options.header or ())
    task = Task(id=options.id, queue=settings.queue, headers=headers, content_type=options.content_type)
    return checks.run_one(settings, choose_handler(settings), task)


def _dead_letters(settings: Settings, options: argparse.Namespace, _starting: EarlySignals) -> int:
    from workqueue_worker.amqp import DeadLetterQueue
    from workqueue_worker.assembly import worker_name
    from workqueue_worker.dead_letter_commands import Selection, drop_tasks, replay_tasks

    queue = settings.dead_letter_queue
    selection = Selection(frozenset(options.id or ()), options.limit)
    address = BrokerAddress.from_environment(at_start(os.environ))
    try:
        dead_letters = DeadLetterQueue(address, f"{worker_name()} dead-letters", queue)
    except QueueMissing:
        return _complain(QueueMissing(_no_dead_letters(settings)), EXIT_FAILED)
    try:
        if options.action == "list":
            return _list_dead_letters(dead_letters, selection, options)
        if options.action == "replay":
            print(f"replayed {replay_tasks(dead_letters, settings.queue, selection, any_origin=options.any_origin)}")
        elif options.yes or _confirmed(f"Delete dead-lettered tasks of {queue!r} for good"):
            print(f"dropped {drop_tasks(dead_letters, selection)}")
        else:
            return _complain(SettingsError("nothing dropped: add --yes"), EXIT_USAGE)
    finally:
        dead_letters.close()
    return 0


def _no_dead_letters(settings: Settings) -> str:
    return (
        f"there is no queue {settings.dead_letter_queue!r}, so no task of {settings.queue!r} was dead-lettered yet; "
        "where another queue is meant, name it with --queue or --dead-letter-queue"
    )


def _list_dead_letters(dead_letters: "DeadLetterQueue", selection: "Selection", options: argparse.Namespace) -> int:
    from workqueue_worker.dead_letter_commands import list_as_json, list_tasks

    def write(text: str) -> bool:
        sys.stdout.write(text)
        return standard_streams.problem_of(sys.stdout) is None

    if options.json:
        list_as_json(dead_letters, selection, write)
    else:
        list_tasks(dead_letters, selection, write, show=options.show)
    problem = standard_streams.problem_of(sys.stdout)
    if problem is None or isinstance(problem, BrokenPipeError):  # a reader that has left, such as head, has enough
        return 0
    return _complain(problem, EXIT_FAILED)


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")


def _limit(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _dead_letter_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "replay", "drop"))
    parser.add_argument("--id", action="append", help="only the first task that list prints with it; may be repeated")
    parser.add_argument("--limit", type=_limit, help="at most so many")
    parser.add_argument("--show", action="store_true", help="list: properties, headers and body of each, too")
    parser.add_argument("--json", action="store_true", help="list: all of each task as one JSON object a line")
    parser.add_argument(
        "--any-origin", action="store_true", help="replay to --queue also tasks whose headers name another queue"
    )
    parser.add_argument("--yes", action="store_true", help="drop without asking")
    add_options(parser, QUEUE_OPTIONS)


def _run_one_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", default="run-one", help="the task's id (default: run-one)")
    parser.add_argument("--header", action="append", type=header, metavar="NAME=VALUE", help="may be given again")
    parser.add_argument("--content-type", metavar="TYPE", help="of the body, such as application/json")
    add_options(parser, (*TASK_OPTIONS, *LOG_OPTIONS))


COMMANDS = {
    "run": Command(
        "work on tasks (the default)",
        _run,
        lambda parser: add_options(parser, RUN_OPTIONS),
    ),
    "check": Command(
        "report whether the handler can be loaded and the broker reached",
        _check,
        lambda parser: add_options(parser, (*QUEUE_OPTIONS, *TASK_OPTIONS)),
    ),
    "run-one": Command(
        "run the handler once, on stdin's body, without a broker",
        _run_one,
        _run_one_options,
    ),
    "dead-letters": Command("list, replay or drop dead-lettered tasks", _dead_letters, _dead_letter_options),
}


class _Parser(argparse.ArgumentParser):
    """Its help has the settings of `run`, which is what a worker without a subcommand does."""

    run: argparse.ArgumentParser

    def format_help(self) -> str:
        settings = self.run.format_help().partition("options:\n")[2]
        return f"{super().format_help()}\nsettings of run:\n{settings}"


class _Version(argparse.Action):
    """Looked up when it is asked for: the library for it takes longer to import than all of this module."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        standard_streams.say(f"{parser.prog} {version('workqueue')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="workqueue-worker",
        description="Work on tasks of a durable RabbitMQ queue. The broker: AMQP_URL, AMQP_HOST or AMQP_SECRET_DIR.",
        epilog="Words after -- are a command that does each task: body on stdin, exit 0 done, 65 reject, others retry.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    subparsers = parser.add_subparsers(dest="subcommand", required=True, parser_class=argparse.ArgumentParser)
    for name, command in COMMANDS.items():
        command.add_options(subparsers.add_parser(name, help=command.help))
    parser.run = subparsers.choices["run"]
    return parser


if __name__ == "__main__":
    sys.exit(main())
