"""The one log line of a delivery."""

import logging
from collections.abc import Iterator

import pytest
from workqueue_worker import logs
from workqueue_worker.delivery import Delivery, Described
from workqueue_worker.in_hand import InHand
from workqueue_worker.result import log_task


class Lines(logging.Handler):
    """Keeps the level and the fields of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, dict[str, object]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = dict(vars(record)["fields"])
        del fields["seconds"]
        self.lines.append((record.levelno, fields))


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, kept = logs.logger("workqueue_worker.tasks"), Lines()
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)


def delivery(message_id: str | None = "m", headers: dict[str, object] | None = None) -> InHand:
    described = Described(correlation_id="celery's")
    return InHand(Delivery(1, 1, False, b"", headers or {}, message_id, None, None, None, described=described))


def test_a_task_that_is_done_is_a_line_of_information(lines: Lines) -> None:
    log_task(delivery(), "done", sent=True)
    assert lines.lines == [(logging.INFO, {"id": "m", "attempt": 1, "outcome": "done"})]


def test_a_detail_and_a_lost_ack_are_warnings(lines: Lines) -> None:
    log_task(delivery(), "retry", "ValueError: no", sent=True)
    log_task(delivery(), "done", sent=False)
    assert lines.lines == [
        (logging.WARNING, {"id": "m", "attempt": 1, "outcome": "retry", "detail": "ValueError: no"}),
        (logging.WARNING, {"id": "m", "attempt": 1, "outcome": "done, ack lost"}),
    ]


def test_a_task_without_an_id_is_named_by_its_correlation_id_and_a_traced_one_by_its_trace(lines: Lines) -> None:
    log_task(delivery(None, {"traceparent": "00-a-b-01"}), "done", sent=True)
    (line,) = [fields for _, fields in lines.lines]
    assert (line["id"], line["correlation_id"], line["traceparent"]) == (None, "celery's", "00-a-b-01")
