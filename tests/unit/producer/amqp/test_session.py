"""Which errors of the broker are about a message."""

import pika
import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import translate_published
from workqueue_producer.amqp.session import refuses_a_message


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        (pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - message size 9 is larger than 8"), True),
        (pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - write access"), True),
        (pika.exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no exchange"), True),
        (pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'"), False),
        (pika.exceptions.ChannelClosedByBroker(405, "RESOURCE_LOCKED - exclusive"), False),
        (pika.exceptions.ChannelClosedByBroker(541, "INTERNAL_ERROR"), False),
        (pika.exceptions.ConnectionClosedByBroker(501, "FRAME_ERROR - {frame_too_large,131098,131064}"), True),
        (pika.exceptions.ConnectionClosedByBroker(403, "ACCESS_REFUSED"), False),
        (pika.exceptions.StreamLostError("gone"), False),
    ],
    ids=str,
)
def test_a_broker_refuses_a_message_by_these_codes_only(reason: Exception, refused: bool) -> None:
    assert refuses_a_message(reason, translate_published(reason, BrokerAddress())) is refused
