"""Handlers for the workers of the tests: good, bad and nasty ones. Each writes what it did to the ledger."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from workqueue_worker.task import Reject, Retry, Task

LEDGER = Path(os.environ.get("LEDGER", "ledger"))
#: A file that gets the whole body of the last line, when it is named.
LEDGER_BODIES = os.environ.get("LEDGER_BODIES")
POLL_SECONDS = 0.02


def note(word: str, body: bytes, task: Task) -> None:
    """One line of the ledger: word, message id, attempt, process, body. One write, so that killing tears no line."""
    text = body[:100].decode("utf-8", "backslashreplace").replace("\n", " ")
    if LEDGER_BODIES:
        Path(LEDGER_BODIES).write_bytes(body)
    line = f"{word}\t{task.id}\t{task.attempt}\t{os.getpid()}\t{text}\n".encode()
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def ledger_ok(body: bytes, task: Task) -> None:
    note("done", body, task)


def started_and_done(body: bytes, task: Task) -> None:
    """Sleeps for the body's number of seconds, in steps, and ignores every request to stop."""
    note("started", body, task)
    time.sleep(float(body or b"0"))
    note("done", body, task)


def until_released(body: bytes, task: Task) -> None:
    """Waits until a file named `release` is in the working directory."""
    note("started", body, task)
    while not Path("release").exists():
        time.sleep(POLL_SECONDS)
    note("done", body, task)


def needs_all_headers(_body: bytes, task: Task) -> None:
    """Fails with the header that test_worker_copies_refused sends, rejects without it."""
    if len(str(task.headers.get("x-exception-stacktrace"))) < 130_000:
        raise Reject("it lacks a header")
    raise ValueError("it fails")


def fuzzed(body: bytes, task: Task) -> None:
    """Does what the body's first word says, and writes its number, as the id may hold anything."""
    verdict, number, _ = body.split(b" ", 2)
    if verdict == b"reject":
        raise Reject("by chance")
    if verdict == b"fail" or (verdict == b"fail-once" and task.attempt == 1):
        raise ValueError("by chance")
    note("done", number, replace(task, id="-"))


def until_released_then_reject(body: bytes, task: Task) -> None:
    until_released(body, task)
    raise Reject("released")


def polite(body: bytes, task: Task) -> None:
    """Works until it is asked to end, and says so."""
    note("started", body, task)
    task.cancelled.wait()
    note("cancelled", body, task)
    raise Retry("cancelled")


def by_body(body: bytes, task: Task) -> object:
    """Does what the body says."""
    note("started", body, task)
    word, _, argument = body.decode("utf-8", "replace").partition(" ")
    return ACTIONS[word](argument, task)


def _fail(argument: str, _task: Task) -> object:
    raise ValueError(argument or "it fails")


def _sleep(argument: str, task: Task) -> object:
    time.sleep(float(argument))
    note("done", b"sleep", task)
    return None


def _fail_until(argument: str, task: Task) -> object:
    if task.attempt < int(argument):
        raise ValueError("not yet")
    note("done", b"fail-until", task)
    return None


def _retry_until(argument: str, task: Task) -> object:
    if task.attempt < int(argument):
        raise Retry("not yet", delay=0.2)
    note("done", b"retry-until", task)
    return None


def _await_release(_argument: str, _task: Task) -> object:
    while not Path("release").exists():
        time.sleep(POLL_SECONDS)
    return None


def _release_then_fail(argument: str, task: Task) -> object:
    _await_release(argument, task)
    raise ValueError("released")


def _reject(argument: str, _task: Task) -> object:
    raise Reject(argument)


def _retry(argument: str, _task: Task) -> object:
    raise Retry("later", delay=float(argument))


def _base_exception(_argument: str, _task: Task) -> object:
    raise KeyboardInterrupt


def _exit(argument: str, _task: Task) -> object:
    sys.exit(argument)


def _die(_argument: str, _task: Task) -> object:
    os._exit(137)


def _fork(_argument: str, task: Task) -> object:
    child = os.fork()
    if child == 0:
        return None  # comes back into the worker's code, which ends it
    os.waitpid(child, 0)  # hangs if it does not end
    note("child-ended", b"fork", task)
    return None


def _terminate_child(_argument: str, task: Task) -> object:
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(there, b"!")
        time.sleep(600)
        os._exit(1)
    os.read(here, 1)  # it runs
    os.kill(child, signal.SIGTERM)
    note(f"child-ended-by-{os.WTERMSIG(os.waitpid(child, 0)[1])}", b"fork", task)
    return None


def _hold_interpreter(argument: str, _task: Task) -> object:
    ctypes.PyDLL(None).usleep(int(float(argument) * 1e6))  # PyDLL keeps the interpreter's lock
    return None


async def _coroutine(_argument: str, task: Task) -> object:
    await asyncio.sleep(0)
    note("awaited", b"", task)
    return None


async def _async_sleep(argument: str, task: Task) -> object:
    try:
        await asyncio.sleep(float(argument))
    finally:
        note("cleaned", b"async-sleep", task)
    return None


async def _async_stubborn(_argument: str, task: Task) -> object:
    while True:
        try:
            await asyncio.sleep(POLL_SECONDS)
        except asyncio.CancelledError:
            note("ignored", b"async-stubborn", task)


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _unprintable(_argument: str, _task: Task) -> object:
    raise _Unprintable


def _described(_argument: str, task: Task) -> object:
    texts = (task.content_encoding, task.correlation_id, task.reply_to, task.type, task.app_id, task.user_id)
    note("described", " ".join(map(str, (*texts, task.expiration, task.priority))).encode(), task)
    return None


ACTIONS = {
    "ok": lambda _argument, _task: None,
    "garbage": lambda _argument, _task: object(),
    "sleep": _sleep,
    "fail": _fail,
    "fail-until": _fail_until,
    "retry-until": _retry_until,
    "reject": _reject,
    "retry": _retry,
    "base-exception": _base_exception,
    "exit": _exit,
    "die": _die,
    "fork": _fork,
    "terminate-child": _terminate_child,
    "hold-interpreter": _hold_interpreter,
    "coroutine": _coroutine,
    "described": _described,
    "async-sleep": _async_sleep,
    "async-stubborn": _async_stubborn,
    "unprintable": _unprintable,
    "await-release": _await_release,
    "release-then-fail": _release_then_fail,
}
