"""What a handler's exception means: the outcome of the attempt, its text in one line, and its traceback. Pure."""

import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from workqueue_worker.settlement import Failed, FailureReason, Outcome, Rejected
from workqueue_worker.task import Reject, Retry

#: Of an error's text, what the log and a dead letter's header keep.
DETAIL_LENGTH = 500
#: Characters of a traceback that the log keeps; what is cut is the middle.
TRACEBACK_LENGTH = 16_000
#: Files whose frames are of no help when they come first: ours, and Python's machinery of import.
_MACHINERY = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(traceback.__file__).parent / 'importlib'}{os.sep}",
    "<frozen importlib",
)


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of an attempt that ended with this exception.

    An exception group means what the strongest exception in it means: Reject before Retry before all others. Of several
    Retry the longest delay holds.
    """
    errors = list(_leaves(error))
    trace = "" if isinstance(error, Reject | Retry) else traceback_of(error)
    rejects = [one for one in errors if isinstance(one, Reject)]
    retries = [one for one in errors if isinstance(one, Retry)]
    if rejects:
        return Rejected(_detail(rejects, errors) or "rejected by the handler", trace)
    delay = max((retry.delay for retry in retries if retry.delay is not None), default=None)
    detail = _detail(retries, errors) or "the handler asks for a retry"
    return Failed(FailureReason.EXCEPTION, detail, delay, trace)


def traceback_of(error: BaseException) -> str:
    """Its traceback from the first frame that is not ours, in bounded length."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        frames = frames.tb_next
    text = _format(error, frames or error.__traceback__)
    if len(text) <= TRACEBACK_LENGTH:
        return text
    half = TRACEBACK_LENGTH // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def cause_of(error: BaseException) -> str:
    """The traceback of the exception that it was raised from; empty when there is none."""
    return traceback_of(error.__cause__) if error.__cause__ else ""


def one_line(error: BaseException) -> str:
    """An exception's text, in one line of bounded length, whatever its __str__ does."""
    try:
        text = " ".join(str(error).split())[:DETAIL_LENGTH]
        return text.encode(errors="backslashreplace").decode()  # a header of a message takes UTF-8 only
    except Exception:  # noqa: BLE001 - a broken __str__ of a user's exception
        return "(its text cannot be read)"


def _format(error: BaseException, frames: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    except Exception as problem:  # noqa: BLE001 - an exception class of the user's may break anything
        return f"(its traceback cannot be read: {type(problem).__name__})"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, at any depth; any other exception is its own and only one."""
    stack = [error]
    while stack:
        one = stack.pop()
        if isinstance(one, BaseExceptionGroup):
            stack.extend(reversed(one.exceptions))
        else:
            yield one


def _detail(first: Sequence[BaseException], errors: Sequence[BaseException]) -> str:
    """All of them in one line, the decisive ones first."""
    decided = set(map(id, first))
    ordered = [*first, *(error for error in errors if id(error) not in decided)]
    return "; ".join(text for text in map(_named, ordered) if text)[:DETAIL_LENGTH]


def _named(error: BaseException) -> str:
    if isinstance(error, Reject | Retry):
        return one_line(error)
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
