"""pika's log lines: those of our threads are dropped, the program's own and its settings stay."""

import logging
import threading
from collections.abc import Iterator

import pytest
from workqueue_broker.library_log import quieten_this_thread

NAME = "pika.adapters.utils.connection_workflow"


@pytest.fixture(autouse=True)
def pika_level() -> Iterator[None]:
    before = logging.getLogger("pika").level
    logging.getLogger("pika").setLevel(logging.NOTSET)
    yield
    logging.getLogger("pika").setLevel(before)


def logged_in_a_thread(text: str, *, ours: bool) -> None:
    def log() -> None:
        if ours:
            quieten_this_thread()
        logging.getLogger(NAME).error(text)

    thread = threading.Thread(target=log)
    thread.start()
    thread.join()


def test_lines_of_our_threads_are_dropped_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    logged_in_a_thread("ours", ours=True)
    logged_in_a_thread("the program's", ours=False)
    assert caplog.messages == ["the program's"]


def test_a_level_that_the_program_has_set_shows_ours_too(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("pika").setLevel(logging.INFO)
    logged_in_a_thread("ours", ours=True)
    assert caplog.messages == ["ours"]


def test_no_switch_of_the_program_is_changed() -> None:
    def state() -> list[object]:
        loggers = [logging.getLogger(name) for name in ("pika", NAME)]
        switches = [logging.raiseExceptions, logging.logThreads, logging.root.manager.disable, logging.lastResort]
        return [*switches, *((one.level, one.propagate, one.disabled, list(one.handlers)) for one in loggers)]

    before = state()
    logged_in_a_thread("ours", ours=True)
    assert state() == before
