"""Which messages an answer of the broker is about, in whatever order the answers come."""

from hypothesis import given
from hypothesis import strategies as st
from workqueue_producer.amqp.in_flight import InFlight
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Task


def message(number: int) -> Message:
    return Message(Task(str(number).encode()), f"id-{number}", None, Batch(), 0.0)


@given(count=st.integers(1, 30), data=st.data())
def test_every_answer_takes_out_what_it_names_and_nothing_else(count: int, data: st.DataObject) -> None:
    in_flight = InFlight()
    messages = {tag: message(tag) for tag in range(1, count + 1)}
    for sent in messages.values():
        in_flight.add(sent)
    while messages:
        assert len(in_flight) == len(messages)
        assert in_flight.all() == list(messages.values())
        tag = data.draw(st.sampled_from(sorted(messages)))
        multiple = data.draw(st.booleans())
        named = [number for number in messages if number == tag or (multiple and number < tag)]
        assert in_flight.answered(tag, multiple) == [messages.pop(number) for number in named]
    assert len(in_flight) == 0
    assert in_flight.all() == []


def test_tags_go_on_after_everything_was_answered() -> None:
    in_flight = InFlight()
    first, second, third = message(1), message(2), message(3)
    in_flight.add(first)
    in_flight.add(second)
    assert in_flight.answered(2, multiple=True) == [first, second]
    in_flight.add(third)
    assert in_flight.answered(3, multiple=False) == [third]


def test_a_returned_message_is_found_by_its_id_and_only_while_it_is_in_flight() -> None:
    in_flight = InFlight()
    sent = message(1)
    in_flight.add(sent)
    assert in_flight.find("id-1") == [sent]
    in_flight.answered(1, multiple=False)
    assert in_flight.find("id-1") == []
