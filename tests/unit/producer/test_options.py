"""The flags of new-task: words, files, bounds and their order."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer.options import parse


@pytest.mark.parametrize(
    ("arguments", "task"),
    [([], b"Hello World!"), (["First", "message."], b"First message."), (["a", "--queue", "q", "b"], b"a b")],
    ids=["no words", "words", "flags between"],
)
def test_the_words_are_the_task(arguments: list[str], task: bytes) -> None:
    assert parse(arguments, {}).task == task


def test_an_input_that_nothing_asked_for_is_an_error_with_the_remedies(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse([], {}, fed=True)
    assert raised.value.code == 2
    words = capsys.readouterr().err
    assert all(remedy in words for remedy in ("new-task -'", "new-task --body-file -'", "new-task 'Hello World!''"))


@pytest.mark.parametrize(
    "arguments", [["x"], ["-"], ["--file", "f"], ["--resend", "f"], ["--body-file", "-"]], ids=" ".join
)
def test_an_input_beside_what_was_asked_for_is_none_of_our_business(arguments: list[str]) -> None:
    parse(arguments, {}, BytesIO(b"body"), fed=True)


def test_a_body_file_is_one_task_to_the_last_byte(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"{\n\xff}\n")
    assert parse(["--body-file", str(tmp_path / "body")], {}).task == b"{\n\xff}\n"
    assert parse(["--body-file", "-"], {}, BytesIO(b"1\n2\n")).task == b"1\n2\n"
    with pytest.raises(OSError, match="the standard input is closed"):
        parse(["--body-file", "-"], {}, None)
    with pytest.raises(FileNotFoundError):
        parse(["--body-file", str(tmp_path / "missing")], {})


def test_flags_come_before_the_environment_and_that_before_the_defaults() -> None:
    assert parse([], {}).queue == QueueDeclaration("task_queue", QueueType.QUORUM)
    environment = {"QUEUE_NAME": "mine", "QUEUE_TYPE": "Classic", "QUEUE_DECLARE": "Never"}
    assert parse([], environment).queue == QueueDeclaration("mine", QueueType.CLASSIC)
    assert parse([], environment).publisher.create is False
    assert parse(["--queue", "other", "--queue-type", "Quorum"], environment).queue == QueueDeclaration("other")


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--repeat", "0", "must be at least 1"),
        ("--repeat", "-1", "must be at least 1"),
        ("--repeat", "1.5", "must be a whole number"),
        ("--repeat", "many", "must be a whole number"),
        ("--window", "0", "must be at least 1"),
        *(("--rate", value, "must be a number above 0") for value in ("0", "-1", "inf", "nan", "fast")),
        ("--timeout", "0", "must be a number above 0"),
        ("--queue", "", "is empty: give the queue a name of 1 to 255 bytes"),
        ("--queue", "é" * 128, "has 256 bytes, more than 255"),
        ("--queue", "\udcff", "is not UTF-8 text"),
        ("--header", "none", "must be NAME=VALUE"),
        ("--header", "n" * 256 + "=", "NAME may have 255 bytes"),
        ("--header", "name=\udcff", "must be UTF-8"),
        *(("--priority", value, "from 0 to 255") for value in ("-1", "256", "1.5", "high", "9" * 5000)),
        *(("--expiration-ms", value, "from 0 to 4294967295") for value in ("-1", "4294967296", "1s")),
        ("--content-type", "x" * 256, "may have 255 bytes"),
        ("--correlation-id", "\udcff", "must be UTF-8"),
        ("--type", "é" * 128, "may have 255 bytes"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_flag(
    flag: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse([f"{flag}={value}"], {})
    assert raised.value.code == 2
    assert re.search(rf"argument {flag}: .*{words}", capsys.readouterr().err)


def test_the_bounds_themselves_are_taken() -> None:
    options = parse(["--repeat", "1", "--rate", "1e-9", "--window", "1", "--queue", "q" * 255], {})
    assert (options.repeat, options.rate, options.publisher.window, len(options.queue.name)) == (1, 1e-9, 1, 255)
    assert parse(["--repeat", str(10**12), "--rate", "1e9"], {}).repeat == 10**12
