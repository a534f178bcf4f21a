"""The one rule for names of queues, and every place that takes one: the error names the field and the remedy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.names import NAME_BYTES, InvalidName, checked_name, dead_letter_name
from workqueue_operator.resource import InvalidSpec, parse
from workqueue_producer.options import parse as parse_new_task
from workqueue_worker.settings import SettingsError, read_settings

#: Name -> words of the error.
REFUSED = {
    "": "is empty",
    "orders\n": "'\\n'",
    "or\rders": "'\\r'",
    "tab\there": "'\\t'",
    "nul\x00": "'\\x00'",
    "del\x7f": "'\\x7f'",
    "csi\x9b2J": "'\\x9b'",
    "amq.gen": "begins with amq.",
    "q" * 256: "has 256 bytes",
    "ü" * 128: "has 256 bytes",
    "\udcff": "is not UTF-8 text",
}
#: Too long for the default name of the dead-letter queue.
LONG = "q" * 251


def refused_by_worker(name: str, field: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read_settings({field: name}, (), {})
    return str(raised.value)


def refused_by_operator(queue: dict[str, Any], name: str = "orders") -> str:
    spec = {"broker": {"secretName": "s"}, "scaleTargetRef": {"name": "d"}, "queue": queue}
    with pytest.raises(InvalidSpec) as raised:
        parse({"metadata": {"namespace": "team", "name": name}, "spec": spec})
    return str(raised.value)


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_a_name_that_rabbitmq_would_change_or_refuse_is_an_error(name: str, words: str) -> None:
    with pytest.raises(InvalidName) as raised:
        QueueDeclaration(name)
    assert words in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("name", ["q", "amq", "a b", "AMQ.x", "größe", "鸡", "q" * 255, "ü" * 127])
def test_every_other_name_is_taken_as_it_is(name: str) -> None:
    assert checked_name(name) == name


@given(st.text())
def test_whatever_the_text_the_rule_answers_or_refuses_in_one_line(name: str) -> None:
    try:
        checked = checked_name(name)
    except InvalidName as error:
        checked = str(error)
        assert checked.isprintable()
    else:
        assert checked == name
        assert 1 <= len(name.encode()) <= NAME_BYTES


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, words in REFUSED.items() if name])
def test_worker_producer_and_operator_name_the_field(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    for field in ("queue", "dead_letter_queue"):
        error = refused_by_worker(name, field)
        assert f"--{field.replace('_', '-')} " in error
        assert words in error
    for field in ("name", "deadLetterQueue"):
        error = refused_by_operator({field: name})
        assert error.startswith(f"spec.queue.{field} ")
        assert words in error
    with pytest.raises(SystemExit) as ended:
        parse_new_task(["--queue", name], {})
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "--queue" in error
    assert words in error


def test_a_default_dead_letter_queue_that_would_be_too_long_names_both_fields() -> None:
    assert dead_letter_name("q" * 250, "a", "b") == "q" * 250 + ".dead"
    error = refused_by_worker(LONG, "queue")
    assert "--queue (QUEUE_NAME)" in error
    assert "at most 250 bytes, or set --dead-letter-queue (DEAD_LETTER_QUEUE)" in error
    assert "spec.queue.name" in refused_by_operator({"name": LONG})
    error = refused_by_operator({}, LONG)
    assert "metadata.name" in error
    assert "or set spec.queue.deadLetterQueue" in error


def test_a_dead_letter_queue_of_its_own_leaves_all_bytes_to_the_queue() -> None:
    assert read_settings({"queue": "q" * 255, "dead_letter_queue": "dead"}, (), {}).queue == "q" * 255


def test_a_name_that_is_no_text_is_refused_in_a_spec() -> None:
    assert "spec.queue.name is 3" in refused_by_operator({"name": 3})
