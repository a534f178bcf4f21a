"""RabbitMQ takes a task away from a worker that holds it past its consumer timeout. Warns when our limits are longer.

AMQP does not tell the timeout. A policy's or a queue's can be read from the management API, when its address is known;
else the broker's default is assumed.
"""

import base64
import http.client
import json
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError
from workqueue_broker.tls import management_context_of

#: Seconds; the broker's default since RabbitMQ 3.8.17.
DEFAULT_SECONDS = 1800.0
REQUEST_TIMEOUT_SECONDS = 5.0


def warning(hold_seconds: float, timeout_seconds: float | None) -> str | None:
    """What to say to a person; `hold_seconds` is the longest that a worker may have a task in hand."""
    broker_seconds = DEFAULT_SECONDS if timeout_seconds is None else timeout_seconds
    if hold_seconds < broker_seconds:
        return None
    source = "RabbitMQ's default consumer timeout" if timeout_seconds is None else "the queue's consumer timeout"
    return (
        f"a task may be in hand for {hold_seconds:g} s (time limit and wait before a retry), but {source} is "
        f"{broker_seconds:g} s: the broker will give such a task to another worker. Raise consumer_timeout in "
        "rabbitmq.conf, or consumer-timeout in the queue's policy, or lower --task-timeout"
    )


def of_queue(queue: Mapping[str, object]) -> float | None:
    """Seconds, from a queue's description by the management API; None when it has none of its own. The smaller wins."""
    policy, arguments = queue.get("effective_policy_definition"), queue.get("arguments")
    milliseconds = [
        found
        for values, name in ((policy, "consumer-timeout"), (arguments, "x-consumer-timeout"))
        if isinstance(values, Mapping) and isinstance(found := values.get(name), int)
    ]
    return min(milliseconds) / 1000 if milliseconds else None


def read(address: BrokerAddress, queue: str) -> float | None:
    """Seconds, from the management API; None when it is not known there, or cannot be asked."""
    if address.management_uri is None:
        return None
    path = f"/api/queues/{quote(address.virtual_host, safe='')}/{quote(queue, safe='')}"
    username, password = address.management_login or (address.username, address.password)
    request = urllib.request.Request(address.management_uri + path)  # noqa: S310 - http or https, checked by BrokerAddress
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())
    try:
        context = management_context_of(address.management_tls)
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310
            queue = json.load(answer)
    except (
        BrokerError,
        OSError,
        ValueError,
        RecursionError,
        http.client.HTTPException,
    ):  # whatever listens there may answer anything
        return None
    return of_queue(queue) if isinstance(queue, Mapping) else None
