"""What the words and flags of new-task mean; parsed once into a frozen value. Flags first, then the environment."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from workqueue_broker.declaration import Declare, QueueDeclaration, QueueType
from workqueue_broker.environment import variable
from workqueue_broker.flags import header, utf8_size
from workqueue_broker.names import InvalidName, checked_name

from workqueue_producer.publisher import TIMEOUT, PublisherSettings
from workqueue_producer.task import EXPIRATION_MS_MAX, PRIORITY_MAX, PROPERTIES, SHORT_TEXT_BYTES

#: The tutorial's task, when no words are given.
DEFAULT_TASK = "Hello World!"
UNCONFIRMED_FILE = "unconfirmed-tasks.jsonl"

_EPILOG = """\
The broker's address: AMQP_URL, or AMQP_HOST, AMQP_PORT, AMQP_USERNAME, AMQP_PASSWORD (or AMQP_PASSWORD_FILE) and
AMQP_VHOST, or AMQP_SECRET_DIR. QUEUE_NAME, QUEUE_TYPE and QUEUE_DECLARE are the defaults of the flags.

exit codes:
  0  every task is confirmed
  1  some are not, or the input could not be read to its end; what was read is in the unconfirmed file: --resend
  2  the command line, the input or the broker's address is wrong; nothing was sent
  3  the broker refuses: user, password, permission, or a queue with other parameters; or its certificate is refused
  130, 143, 129  interrupted (Ctrl+C, SIGTERM, SIGHUP); what was read and not confirmed is in the unconfirmed file
"""


@dataclass(frozen=True)
class Options:
    """One run of new-task."""

    #: One task; None: the lines of `file`, or the tasks of `resend`.
    task: bytes | None
    #: Whose whole content `task` is; None: `task` is from words.
    body_file: str | None
    #: Lines are tasks; `-` is the standard input.
    file: str | None
    #: An unconfirmed file of an earlier run.
    resend: Path | None
    #: How often the input is sent.
    repeat: int
    #: Tasks per second at most; None: as fast as they are confirmed.
    rate: float | None
    headers: Mapping[str, str]
    #: Of each task: those of the optional fields of Task that were given.
    properties: Mapping[str, Any]
    queue: QueueDeclaration
    publisher: PublisherSettings
    #: Seconds without a confirm.
    timeout: float
    json: bool
    unconfirmed_file: Path


def parse(
    arguments: Sequence[str] | None, environment: Mapping[str, str], stdin: BinaryIO | None = None, *, fed: bool = False
) -> Options:
    """Exits with 2 and a message that names the flag when something is wrong; raises OSError for a --body-file.

    `fed`: something other than a person may write to the standard input, which must not be dropped in silence.
    """
    parser = _parser(environment)
    given = parser.parse_intermixed_args(arguments)
    words = [] if given.words == ["-"] else given.words
    file = "-" if given.words == ["-"] else given.file
    inputs = (bool(words), file is not None, given.resend is not None, given.body_file is not None).count(True)
    if inputs > 1:
        parser.error("give words, or --file, or --resend, or --body-file: one of them")
    if not inputs and fed:
        parser.error(
            "the standard input is a pipe or a file, and no words are given: 'new-task -' sends each of its lines, "
            f"'new-task --body-file -' all of it as one task, 'new-task {DEFAULT_TASK!r}' sends that and leaves it"
        )
    if given.repeat > 1 and (file == "-" or given.resend is not None):
        parser.error("--repeat: only for words and for a --file that is not the standard input")
    one = file is None and given.resend is None
    task = (" ".join(words) or DEFAULT_TASK).encode("utf-8", "surrogateescape") if one else None
    if given.body_file is not None:
        task = _whole(given.body_file, stdin)
    return Options(
        task=task,
        body_file=given.body_file,
        file=file,
        resend=given.resend,
        repeat=given.repeat,
        rate=given.rate,
        headers=dict(given.header),
        properties={name: value for name in PROPERTIES if (value := getattr(given, name)) is not None},
        queue=QueueDeclaration(given.queue, given.queue_type),
        publisher=PublisherSettings(window=given.window, create=given.declare is Declare.CREATE, name="new-task"),
        timeout=given.timeout,
        json=given.json,
        unconfirmed_file=given.resend or given.unconfirmed_file,
    )


def _whole(file: str, stdin: BinaryIO | None) -> bytes:
    if file != "-":
        return Path(file).read_bytes()
    if stdin is None:
        raise OSError("the standard input is closed")
    return stdin.read()


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="new-task",
        description="Send tasks to a work queue, each one persistent and confirmed by the broker.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('workqueue')}")
    _add_input(parser)
    _add_message(parser)
    _add_queue(parser, environment)
    _add_run(parser)
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("words", nargs="*", help=f"the task, {DEFAULT_TASK!r} without any; - alone: each line of the standard input")
    add("--file", metavar="FILE", help="each line is a task; - is the standard input")
    add("--body-file", metavar="FILE", help="all of it is one task; - is the standard input")
    add(
        "--resend",
        type=Path,
        metavar="FILE",
        help="the tasks of an unconfirmed file, under their old ids; what is confirmed is taken out of the file",
    )
    add("--repeat", type=_count, default=1, metavar="N", help="send the input N times")
    add("--rate", type=_positive, metavar="R", help="at most R tasks a second")


def _add_message(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--header", type=header, action="append", default=[], metavar="NAME=VALUE", help="a header for each task")
    add("--content-type", type=_short_text, metavar="TYPE", help="such as application/json")
    add(
        "--priority",
        type=lambda text: _bounded(text, PRIORITY_MAX),
        metavar="N",
        help=f"0 to {PRIORITY_MAX}, for a queue that has priorities",
    )
    add(
        "--expiration-ms",
        type=lambda text: _bounded(text, EXPIRATION_MS_MAX),
        metavar="MS",
        help="milliseconds after which the broker drops or dead-letters a task that no worker has taken",
    )
    add("--correlation-id", type=_short_text, metavar="ID")
    add("--type", type=_short_text, metavar="NAME", help="the AMQP property of this name")


def _add_queue(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    add = parser.add_argument
    add(
        "--queue",
        type=_queue_name,
        default=variable(environment, "QUEUE_NAME") or "task_queue",
        metavar="NAME",
        help="(default: %(default)s)",
    )
    add(
        "--queue-type",
        type=_one_of(QueueType),
        default=variable(environment, "QUEUE_TYPE") or "Quorum",  # a text default goes through `type` too
        metavar="|".join(QueueType),
        help="how the queue is declared (default: %(default)s)",
    )
    add(
        "--declare",
        type=_one_of(Declare),
        default=variable(environment, "QUEUE_DECLARE") or "Create",  # as above
        metavar="|".join(Declare),
        help="make the queue when it is missing, or fail then (default: %(default)s)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--window", type=_count, default=PublisherSettings.window, help="unconfirmed tasks (default: %(default)s)")
    add("--timeout", type=_positive, default=TIMEOUT, help="seconds without a confirm (default: %(default)g)")
    add("--json", action="store_true", help="print a summary as one JSON object")
    add(
        "--unconfirmed-file",
        type=Path,
        default=Path(UNCONFIRMED_FILE),
        metavar="FILE",
        help="where tasks without a confirm are added (default: %(default)s)",
    )


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _bounded(text: str, at_most: int) -> int:
    number = int(text) if text.isdecimal() and len(text) <= len(str(at_most)) else -1
    if not 0 <= number <= at_most:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {at_most}")
    return number


def _short_text(text: str) -> str:
    if utf8_size(text) > SHORT_TEXT_BYTES:
        raise argparse.ArgumentTypeError(f"may have {SHORT_TEXT_BYTES} bytes")
    return text


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def _queue_name(text: str) -> str:
    try:
        return checked_name(text)
    except InvalidName as error:
        raise argparse.ArgumentTypeError(f"(QUEUE_NAME) {error}") from None


def _one_of(words: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse_word(text: str) -> StrEnum:
        try:
            return words(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {' or '.join(words)}, not {text!r}") from None

    return parse_word
