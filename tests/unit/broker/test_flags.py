"""Flags that the commands of producer and worker share have one rule."""

import pytest
from workqueue_broker.flags import header
from workqueue_producer.options import parse
from workqueue_worker.__main__ import _parser


@pytest.mark.parametrize(
    ("text", "pair"), [("a=1", ("a", "1")), ("b=x=y", ("b", "x=y")), ("empty=", ("empty", ""))], ids=str
)
def test_a_header_is_cut_at_its_first_equals_sign(text: str, pair: tuple[str, str]) -> None:
    assert header(text) == pair


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none", "must be NAME=VALUE"),
        ("=value", "must be NAME=VALUE"),
        ("n" * 256 + "=", "NAME may have 255 bytes"),
        ("é" * 128 + "=", "NAME may have 255 bytes"),
        ("name=" + "v" * 65537, "and VALUE 65536"),
        ("name=\udcff", "must be UTF-8"),
    ],
    ids=["no value", "no name", "long name", "long name in UTF-8", "long value", "not UTF-8"],
)
@pytest.mark.parametrize("command", ["new-task", "run-one"])
def test_a_header_that_amqp_cannot_carry_is_refused_by_both_commands(
    command: str, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(["--header", text], {}) if command == "new-task" else _parser().parse_args(["run-one", "--header", text])
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert "argument --header: " in error
    assert words in error
