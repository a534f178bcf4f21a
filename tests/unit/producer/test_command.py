"""The pure parts of new-task: its flags, its task files, its summary."""

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer.options import parse
from workqueue_producer.summary import Summary
from workqueue_producer.task import Task
from workqueue_producer.task_file import (
    BadTaskFile,
    as_line,
    read_unconfirmed,
)
from workqueue_producer.unconfirmed_file import add_unconfirmed

TASKS = st.builds(
    Task,
    body=st.binary(max_size=50) | st.text(max_size=50).map(str.encode),
    message_id=st.none() | st.text(min_size=1, max_size=10),
    headers=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    content_type=st.none() | st.text(max_size=10),
    priority=st.none() | st.integers(0, 255),
    expiration_ms=st.none() | st.integers(0, 2**32 - 1),
    correlation_id=st.none() | st.text(max_size=10),
    type=st.none() | st.text(max_size=10),
)


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


@given(tasks=st.lists(TASKS, max_size=5))
def test_an_unconfirmed_file_gives_back_what_went_in(
    tmp_path_factory: pytest.TempPathFactory, tasks: list[Task]
) -> None:
    file = tmp_path_factory.mktemp("tasks") / "file"
    assert add_unconfirmed(file, tasks) == len(tasks)
    assert file.exists() == bool(tasks)
    if tasks:
        add_unconfirmed(file, tasks)
        assert list(read_unconfirmed(file)) == tasks * 2


def test_an_unconfirmed_file_can_be_read_by_a_person() -> None:
    assert as_line(Task("é".encode(), "id")) == '{"message_id": "id", "body": "é"}\n'.encode()


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "{}",
        '{"body": 1}',
        '{"body_base64": "?"}',
        '{"body": "", "message_id": 7}',
        '{"body": "", "headers": [7]}',
        '{"body": "", "priority": "7"}',
        '{"body": "", "expiration_ms": true}',
        '{"body": "", "content_type": 7}',
    ],
)
def test_a_line_that_is_no_task_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "file"
    file.write_text(f'{{"body": "good"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(BadTaskFile, match=r"file:2: not a task"):
        list(read_unconfirmed(file))


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary("q", "Classic", 3, 0, 1.0), 0),
        (Summary("q", "Classic", 3, 1, 1.0, error="away"), 1),
        (Summary("q", "Classic", 0, 1, 1.0, error="no", refused=True), 3),
        (Summary("q", "Classic", 1, 2, 1.0, signal=2), 130),
        (Summary("q", "Classic", 1, 0, 1.0, signal=15), 143),
        (Summary("q", "Classic", 1, 0, 1.0, error="cannot read", rest_unread=True), 1),
    ],
)
def test_the_exit_code_follows_from_how_it_went(summary: Summary, code: int) -> None:
    assert summary.exit_code == code
    assert json.loads(summary.as_json())["exit_code"] == code
    assert (summary.problem() is None) == (code == 0)


def test_a_problem_names_the_command_that_mends_it() -> None:
    summary = Summary("q", "Classic", 0, 2, 1.0, error="the broker is away", unconfirmed_file=Path("left.jsonl"))
    assert summary.problem() == (
        "new-task: the broker is away\n"
        "2 not confirmed, in left.jsonl; "
        "send them with: new-task --queue q --queue-type Classic --resend left.jsonl"
    )


def test_a_problem_says_that_the_rest_of_the_input_was_not_read() -> None:
    summary = Summary("q", "Classic", 3, 0, 1.0, error="cannot read x: gone", rest_unread=True)
    assert summary.problem() == "new-task: cannot read x: gone\nthe rest of the input was not read"
