"""What a test does to its process ends with it."""

import logging

import pytest
from workqueue_operator import logs


@pytest.mark.parametrize("turn", ["the first", "the second"])
def test_a_program_that_configures_its_log_leaves_that_of_the_next_test_alone(turn: str) -> None:
    """In any order: each sees pika's level as Python has it, and changes it."""
    assert logging.getLogger("pika").level == logging.NOTSET
    logs.configure("json")
    assert logging.getLogger("pika").level != logging.NOTSET
