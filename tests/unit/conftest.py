"""What no unit test may leave to the next one."""

import logging
from collections.abc import Iterator

import pytest


def _loggers() -> list[logging.Logger]:
    known = logging.getLogger().manager.loggerDict.values()
    return [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A program configures the logging of its process; in a test that ends with the test."""
    before = {one: (one.level, one.propagate, one.disabled, list(one.handlers)) for one in _loggers()}
    yield
    for one in _loggers():
        level, propagate, disabled, handlers = before.get(one, (logging.NOTSET, True, False, []))
        one.setLevel(level)
        one.propagate, one.disabled = propagate, disabled
        for added in set(one.handlers) - set(handlers):
            if not type(added).__module__.startswith("_pytest"):  # pytest has its own for each phase of a test
                one.removeHandler(added)
