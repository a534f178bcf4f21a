"""Reads a virtual host's queues from RabbitMQ's management API: what AMQP does not tell. Its numbers are up to 5 s old.

A number that the answer lacks is not known, never zero (rabbitmq-management#795: a new queue has none).
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from workqueue_broker.address import BrokerAddress

from workqueue_operator import web
from workqueue_operator.rates import Sample

TIMEOUT_SECONDS = 5.0
_COLUMNS = ",".join(
    (
        *("name", "messages_unacknowledged"),
        *("message_stats.publish", "message_stats.ack", "message_stats.redeliver"),
    )
)


class ManagementUnavailable(Exception):
    """The management API did not give a usable answer; the message says why."""


class ManagementReader:
    """One address's management API."""

    def __init__(self, session: web.Session, address: BrokerAddress) -> None:
        self._session = session
        self._login = address.management_login or (address.username, address.password)
        vhost = quote(address.virtual_host, safe="")
        self._url = f"{address.management_uri}/api/queues/{vhost}?columns={_COLUMNS}&disable_stats=false"

    async def read(self, now: float) -> Mapping[str, Sample]:
        """A sample of each queue that has all numbers, by name; raises ManagementUnavailable."""
        try:
            text = await web.fetch_with_login(self._session, self._url, self._login, TIMEOUT_SECONDS)
            listed = json.loads(text)
        except web.Unreachable as error:
            raise ManagementUnavailable(str(error)) from error
        except (ValueError, RecursionError) as error:
            raise ManagementUnavailable(f"{self._url.partition('?')[0]} answers no JSON") from error
        if not isinstance(listed, list):
            raise ManagementUnavailable(f"{self._url.partition('?')[0]} answers no list of queues")
        samples = {item["name"]: sample_of(item, now) for item in listed if _has_name(item)}
        return {name: sample for name, sample in samples.items() if sample is not None}


def sample_of(queue: Mapping[str, Any], now: float) -> Sample | None:
    """The sample in a queue's object, or None when a number that matters is missing."""
    stats = queue.get("message_stats")
    if not isinstance(stats, Mapping):
        return None
    # A queue that was never acked or redelivered has no such total yet.
    totals = stats.get("publish"), stats.get("ack", 0), stats.get("redeliver", 0)
    published, acked, redelivered, unacknowledged = map(_count, (*totals, queue.get("messages_unacknowledged")))
    if published is None or acked is None or redelivered is None or unacknowledged is None:
        return None
    return Sample(now, published, acked, redelivered, unacknowledged)


def _has_name(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)


def _count(number: object) -> int | None:
    """The number, or None for what cannot be a count: the answer is what somebody's server says."""
    return number if isinstance(number, int) and 0 <= number < 2**63 else None
