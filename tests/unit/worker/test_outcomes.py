"""The text of an error: one line of bounded length that any message can carry."""

from workqueue_worker.outcomes import one_line


def test_an_errors_text_is_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("a\nb\t c")) == "a b c"
    assert len(one_line(ValueError("x" * 10_000))) == 500


def test_an_errors_text_that_no_message_can_carry_is_escaped() -> None:
    assert one_line(ValueError("\udcff")) == "\\udcff"
