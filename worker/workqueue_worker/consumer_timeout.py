"""RabbitMQ takes a task away from a worker that holds it past its consumer timeout. Warns when our limits are longer.

AMQP does not report the timeout. A policy's or a queue's can be read from the management API, when its address is
known; else the broker's default is assumed.
"""

import base64
import http.client
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, urlsplit

from workqueue_broker.address import BrokerAddress
from workqueue_broker.tls import management_context_of

#: Seconds; the broker's default since RabbitMQ 3.8.17.
DEFAULT_SECONDS = 1800.0
#: Seconds for the whole request.
REQUEST_TIMEOUT_SECONDS = 5.0
#: Bytes; a queue's description has a few thousand.
MOST_BYTES = 1 << 20


class Unreadable(Exception):
    """The management API did not answer with the queue; the message has the reason."""


def warning(hold_seconds: float, timeout_seconds: float | None) -> str | None:
    """A warning for the log, or None; `hold_seconds` is the longest that a worker may have a task in hand."""
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
    """Seconds, from the management API; None when the queue has none of its own, or no such API is known.

    Raises InvalidAddress, or Unreadable within REQUEST_TIMEOUT_SECONDS and the name's resolution.
    """
    if address.management_uri is None:
        return None
    path = f"/api/queues/{quote(address.virtual_host, safe='')}/{quote(queue, safe='')}"
    status, body = _get(address, path)
    if status != http.client.OK:
        raise Unreadable(f"{address.management_uri} answers {status}")
    try:
        described = json.loads(body)
    except (ValueError, RecursionError) as error:  # whatever listens there may answer anything
        raise Unreadable(f"{address.management_uri} does not answer with JSON") from error
    return of_queue(described) if isinstance(described, Mapping) else None


def _get(address: BrokerAddress, path: str) -> tuple[int, bytes]:
    """Ask the named host itself: no proxy of the environment sees the login, and no redirection is followed."""
    parts = urlsplit(address.management_uri or "")
    login = base64.b64encode(":".join(address.login_of_management()).encode()).decode()
    connection = _open(parts.scheme, parts.hostname or "", parts.port, address)
    late = threading.Timer(REQUEST_TIMEOUT_SECONDS, _cut_off, (connection,))
    late.daemon = True
    try:
        connection.connect()
        late.start()
        connection.request("GET", parts.path + path, headers={"Authorization": f"Basic {login}"})
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreadable(f"{address.management_uri}: {error or type(error).__name__}") from error
    finally:
        late.cancel()
        connection.close()


def _open(scheme: str, host: str, port: int | None, address: BrokerAddress) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=REQUEST_TIMEOUT_SECONDS)
    context = management_context_of(address.management_tls)
    return http.client.HTTPSConnection(host, port, timeout=REQUEST_TIMEOUT_SECONDS, context=context)


def _cut_off(connection: http.client.HTTPConnection) -> None:
    """End a request whose answer drips: the time limit of a socket is for each of its bytes."""
    with suppress(OSError, AttributeError):  # closed just now
        connection.sock.shutdown(socket.SHUT_RDWR)
