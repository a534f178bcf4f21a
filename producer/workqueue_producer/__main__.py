"""The new-task command: tutorial two's new_task.py, confirmed. Also `python -m workqueue_producer`."""

import logging
import os
import sys
from collections.abc import Sequence

from workqueue_broker import standard_streams
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import InvalidAddress

from workqueue_producer.new_task import NewTaskRun
from workqueue_producer.options import Options, parse
from workqueue_producer.summary import WRONG, Summary
from workqueue_producer.task_file import BadTaskFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the tasks; the exit code."""
    standard_streams.protect()
    logging.basicConfig(level=logging.CRITICAL)  # what matters is said at the end, in words
    try:
        stdin = sys.stdin.buffer if sys.stdin is not None else None
        options = parse(arguments, os.environ, stdin, fed=standard_streams.fed())
        address = BrokerAddress.from_environment(os.environ)
        new_task = NewTaskRun(options)
    except (InvalidAddress, BadTaskFile, OSError) as error:
        return wrong(error)
    try:
        summary = new_task.run(address)
    except InvalidAddress as error:  # a certificate is tried only when it is used
        return wrong(error)
    report(options, summary)
    return summary.exit_code


def wrong(error: Exception) -> int:
    """Print why nothing was sent."""
    print(f"new-task: {error}", file=sys.stderr)
    return WRONG


def report(options: Options, summary: Summary) -> None:
    """The tutorial's line, or the JSON summary; what went wrong goes to stderr. None of it changes the exit code."""
    if options.json:
        print(summary.as_json())
    elif summary.confirmed == 1 and options.task is not None and options.body_file is None:
        print(f" [x] Sent {options.task.decode('utf-8', 'surrogateescape')!r}")
    elif summary.confirmed:
        print(f" [x] Sent {summary.confirmed} tasks to {summary.queue} in {summary.seconds:.1f} s")
    problem = summary.problem()
    if problem is not None:
        print(problem, file=sys.stderr)
    unwritten = standard_streams.problem_of(sys.stdout)
    if unwritten is not None and not isinstance(unwritten, BrokenPipeError):  # a reader that has left wants no words
        print(f"new-task: cannot write to the standard output: {unwritten.strerror}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
