"""Files of tasks: a line is a task, and what was not confirmed is read back as it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
