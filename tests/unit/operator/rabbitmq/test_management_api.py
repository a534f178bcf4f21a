"""The management API's answers: what is no answer is ManagementUnavailable, what is no count is not known."""

import json

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementUnavailable, sample_of
from workqueue_operator.scaling.rates import Sample

from tests.support.http_server import HttpServer

GOOD = {"name": "good", "messages_unacknowledged": 1, "message_stats": {"publish": 5, "ack": 3, "redeliver": 2}}


async def read(text: str) -> dict[str, Sample]:
    with HttpServer(text) as server:
        reader = ManagementApi(BrokerAddress(hosts=(("127.0.0.1", 5672),), management_uri=server.uri))
        try:
            return dict((await reader.read(7.0)).samples)
        finally:
            await reader.close()


@pytest.mark.parametrize("text", ['{"error": "not_found"}', "null", "7", "<html>", "", "[" * 100_000, '"[]"'])
async def test_an_answer_that_is_no_list_of_queues_is_none(text: str) -> None:
    with pytest.raises(ManagementUnavailable, match="http://127"):
        await read(text)


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": 1},
        {"name": 7},
        {"name": "odd", "effective_policy_definition": "none", "policy": 7, "definition": [1], "priority": "high"},
        "a text",
        None,
        {"name": "odd", "messages_unacknowledged": 1},
        {"name": "odd", "messages_unacknowledged": 1, "message_stats": [1]},
        {"name": "odd", "messages_unacknowledged": 1, "message_stats": {"publish": 1, "ack": None}},
        {"name": "odd", "messages_unacknowledged": 1, "message_stats": {"publish": 1, "redeliver": "many"}},
        {"name": "odd", "messages_unacknowledged": 1, "message_stats": {"publish": -1}},
        {"name": "odd", "messages_unacknowledged": 10**400, "message_stats": {"publish": 1}},
    ],
)
async def test_an_item_that_is_no_queue_with_all_numbers_is_not_known_and_spoils_no_other(odd: object) -> None:
    assert await read(json.dumps([odd, GOOD])) == {"good": Sample(7.0, 5, 3, 2, 1)}


async def test_a_queue_that_was_never_acked_has_no_such_total_yet() -> None:
    queue = {"name": "new", "messages_unacknowledged": 0, "message_stats": {"publish": 5}}
    assert await read(json.dumps([queue])) == {"new": Sample(7.0, 5, 0, 0, 0)}


@pytest.mark.parametrize(
    "queue",
    [
        {"name": "q"},
        {"name": "q", "messages_unacknowledged": 3},
        {"name": "q", "message_stats": {"publish": 7}},
        {"name": "q", "message_stats": {"publish": 7}, "messages_unacknowledged": "NaN"},
    ],
)
def test_a_count_that_the_management_api_leaves_out_is_unknown(queue: dict[str, object]) -> None:
    assert sample_of(queue, 1.0) is None


def test_a_queue_that_was_never_acked_has_zero_acks() -> None:
    queue = {"name": "q", "message_stats": {"publish": 7}, "messages_unacknowledged": 1}
    assert sample_of(queue, 1.0) == Sample(1.0, 7, 0, 0, 1)
