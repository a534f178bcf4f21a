"""The worker's lines beside the logging of a handler's process: neither touches the other, no line is forged."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from workqueue_worker import logs
from workqueue_worker.logs import LogFormat, LogLevel


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged goes there; the process's own logging is as before afterwards."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = root.handlers[:]
    root.handlers[:] = []  # basicConfig(force=True) would close pytest's own
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def json_lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_no_switch_of_the_process_is_changed(stream: io.StringIO) -> None:
    names = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing", "raiseExceptions")
    before = [getattr(logging, name) for name in names]
    logs.configure(LogFormat.JSON, stream=stream)
    assert [getattr(logging, name) for name in names] == before
    record = logging.getLogger("app").makeRecord("app", logging.INFO, "f.py", 7, "x", (), None)
    assert (record.process, record.lineno, record.threadName) == (os.getpid(), 7, "MainThread")


VERBOSE_CONFIG = """logging.config.dictConfig({
    "version": 1,
    "formatters": {"verbose": {"format": "{levelname} {process:d} {thread:d} {filename} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "verbose", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["console"], "level": "DEBUG"},
})"""
CONFIGURATIONS = {
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "dictConfig, verbose": VERBOSE_CONFIG,
    "basicConfig, force": "logging.basicConfig(handlers=[logging.NullHandler()], force=True)",
    "no handlers": "logging.getLogger().handlers.clear()",
    "our name": "logging.getLogger('workqueue_worker').setLevel(logging.CRITICAL)",
    "disable": "logging.disable(logging.CRITICAL)",
    "record factory": "logging.setLogRecordFactory(lambda *_, **__: 1 / 0)",
    "logger class": "logging.setLoggerClass(type('Fails', (logging.Logger,), {'handle': lambda *_: 1 / 0}))",
    "level name": "logging.addLevelName(logging.INFO, 'Name of one\\'s own')",
    "shutdown": "logging.shutdown()",
}
LOG = """
import logging, logging.config
from workqueue_worker import logs
logs.configure(logs.LogFormat.JSON)
early = logs.logger("workqueue_worker.early")
{}
for logger in (early, logs.logger("workqueue_worker.late")):
    logger.info("task %s", "a", extra={{"fields": {{"id": "m1"}}}})
"""


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_no_configuration_of_a_handler_silences_the_workers_lines(configuration: str) -> None:
    command = [sys.executable, "-c", LOG.format(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"], line["id"]) for line in lines] == [("info", "task a", "m1")] * 2
    assert done.stdout == ""


def test_a_stderr_that_is_gone_raises_nothing(stream: io.StringIO) -> None:
    logs.configure(LogFormat.TEXT, stream=stream)
    stream.close()
    logs.logger("workqueue_worker.x").info("this line has no reader")


def test_json_keeps_name_and_extras_of_other_loggers_and_its_own_keys(stream: io.StringIO) -> None:
    logs.configure(LogFormat.JSON, stream=stream)
    extra = {"order_id": 5, "level": "mine", "ratio": float("nan"), "fields": {"of": "ours"}}
    logging.getLogger("shop.orders").warning("late", extra=extra)
    (line,) = json_lines(stream)
    assert (line["logger"], line["level"], line["order_id"]) == ("shop.orders", "warning", 5)
    assert (line["level_"], line["ratio"], line["of"]) == ("mine", "nan", "ours")


def test_json_keeps_the_types_of_extras(stream: io.StringIO) -> None:
    logs.configure(LogFormat.JSON, stream=stream)
    logging.getLogger("shop").warning("late", extra={"order_id": 5, "deep": {"a": [1, None]}})
    (line,) = json_lines(stream)
    assert (line["order_id"], line["deep"]) == (5, {"a": [1, None]})


def test_text_shows_the_loggers_name_and_extras(stream: io.StringIO) -> None:
    logs.configure(LogFormat.TEXT, stream=stream)
    logging.getLogger("shop").warning("late", extra={"order_id": 5})
    assert stream.getvalue().endswith(" WARNING shop: late order_id=5\n")


def test_the_level_is_that_of_the_setting_for_the_worker_and_all_others(stream: io.StringIO) -> None:
    logs.configure(LogFormat.TEXT, LogLevel.WARNING, stream)
    for logger in (logs.logger("workqueue_worker.x"), logging.getLogger("library")):
        logger.info("left out")
        logger.warning("kept")
    assert [line.split(": ")[1] for line in stream.getvalue().splitlines()] == ["kept", "kept"]


CONTROLS = "\r\x1b[2J\x9b31m\x0b\x1c\x85\u2028\u2029\u202e\x7f"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_control_characters_are_escaped(stream: io.StringIO, log_format: LogFormat) -> None:
    logs.configure(log_format, stream=stream)
    logs.logger("workqueue_worker.x").info("said %s", CONTROLS, extra={"fields": {"id": CONTROLS}})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not set(text) & set(CONTROLS) - set("[2J31m")
    if log_format is LogFormat.JSON:
        assert json.loads(text)["id"] == CONTROLS


def test_no_text_makes_a_line_that_looks_like_a_record(stream: io.StringIO) -> None:
    forged = "x\n2026-01-01 00:00:00,000 INFO    workqueue_worker.tasks: task id=m1 outcome=done"
    logs.configure(LogFormat.TEXT, stream=stream)
    logs.logger("workqueue_worker.x").info(forged, extra={"traceback": forged})
    logging.getLogger("app").error(forged)
    assert [line for line in stream.getvalue().splitlines() if line.startswith("2026-01-01")] == []


VERBOSE = """
import logging, logging.config, sys
logging.config.dictConfig({
    "version": 1,
    "formatters": {"own": {"format": "own %(process)d %(thread)d %(filename)s:%(lineno)d %(message)s"}},
    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
    "root": {"handlers": ["own"], "level": "INFO"},
})
def handle(body, task):
    logging.getLogger("shop").info("at work")
"""


def test_a_format_of_the_handlers_own_has_process_thread_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "verbose.py").write_text(VERBOSE)
    command = [sys.executable, "-m", "workqueue_worker", "run-one", "--handler", "verbose:handle"]
    done = subprocess.run(command, input="", cwd=tmp_path, capture_output=True, text=True, check=False)
    first, last = done.stderr.splitlines()
    word, process, thread, *rest = first.split()
    assert (word, rest, last) == ("own", ["verbose.py:10", "at", "work"], "done")
    assert process.isdigit()
    assert thread.isdigit()


def _record() -> logging.LogRecord:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "task %s", ("a",), None)
    record.fields = {"id": "a b", "seconds": 1.5, "outcome": "done"}
    return record


def test_a_json_line_holds_the_fields_as_keys() -> None:
    line = json.loads(logs.JsonFormatter().format(_record()))
    assert (line["message"], line["level"], line["id"], line["seconds"]) == ("task a", "info", "a b", 1.5)


def test_a_text_line_quotes_what_has_spaces() -> None:
    assert logs.TextFormatter().format(_record()).endswith('INFO    x: task a id="a b" seconds=1.5 outcome=done')
