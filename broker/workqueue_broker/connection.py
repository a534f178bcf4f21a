"""How to connect: an address becomes pika's parameters, pika's exceptions become ours.

The only place that builds connections' parameters; used by the producer, the worker and the operator.
"""

import random
import socket
import ssl
from dataclasses import dataclass, replace

import pika
from pika import exceptions as amqp
from pika.adapters.utils import connection_workflow as workflow

from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import ANSWER_SECONDS, Answering, AnsweringConnection, BlockingConnection, NoAnswer
from workqueue_broker.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    InvalidAddress,
    MessageRefused,
    QueueMismatch,
    QueueMissing,
)
from workqueue_broker.foreign_text import error_text, foreign_text
from workqueue_broker.tls import certificate_fault, context_of
from workqueue_broker.tls import remedy as tls_remedy

#: Seconds for a TCP connection, and for the whole handshake. The library's own are 10 and 15.
CONNECT_TIMEOUT_SECONDS = 5.0
HANDSHAKE_TIMEOUT_SECONDS = 10.0
#: Seconds; a dead peer is noticed after one interval and 5 s. RabbitMQ's guide: under 5 s gives false alarms.
HEARTBEAT_SECONDS = 30
#: Seconds that a broker with a resource alarm may keep a connection blocked before we give it up.
BLOCKED_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class ConnectionSettings:
    """What a user of a connection may choose beside the address."""

    #: Shown in the management UI, so that a person finds the pod.
    name: str
    #: Seconds; the address's own heartbeat, if it has one, comes first.
    heartbeat: int = HEARTBEAT_SECONDS
    #: Seconds a resource alarm may block the connection; None: forever.
    blocked_timeout: float | None = BLOCKED_TIMEOUT_SECONDS
    #: Seconds for the broker's answer to one method; then the connection is given up.
    answer_timeout: float = ANSWER_SECONDS


def connection_parameters(address: BrokerAddress, settings: ConnectionSettings) -> list[pika.ConnectionParameters]:
    """One set of parameters a node, in random order so that many clients spread over the nodes."""
    hosts = random.sample(address.hosts, len(address.hosts))
    context = context_of(address.tls) if address.tls else None
    heartbeat = settings.heartbeat if address.heartbeat is None else address.heartbeat
    return [
        pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=address.virtual_host,
            credentials=_credentials(address),
            ssl_options=pika.SSLOptions(context, host) if context else None,
            heartbeat=heartbeat,
            socket_timeout=CONNECT_TIMEOUT_SECONDS,
            stack_timeout=HANDSHAKE_TIMEOUT_SECONDS,
            blocked_connection_timeout=settings.blocked_timeout,
            client_properties={"connection_name": settings.name},
        )
        for host, port in hosts
    ]


def connect(
    address: BrokerAddress, settings: ConnectionSettings, kind: type[Answering] = AnsweringConnection
) -> BlockingConnection:
    """Open a connection to the first node that answers; raises BrokerUnavailable, AccessRefused or InvalidAddress.

    `kind`: the library's connection to use, with Answering before it.
    """
    failures = NodeFailures(address)
    for parameters in connection_parameters(address, settings):
        try:
            return BlockingConnection(parameters, kind, settings.answer_timeout)
        except Exception as error:  # noqa: BLE001 - the library's errors of connecting have no common class
            failures.add(parameters, error)
    raise failures.error() from failures.cause


class NodeFailures:
    """Why each node of an address could not be used. The error names all; the most important one decides its class."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._errors: dict[tuple[str, int], BrokerError] = {}
        #: The library's error for the last one; None when it may hold the password.
        self.cause: Exception | None = None

    def add(self, parameters: pika.ConnectionParameters, outcome: object) -> None:
        """Keep what came of an attempt at a node: an exception of the library's."""
        node = (parameters.host, parameters.port)
        cause = why_not_connected(outcome)
        error = translate(cause, replace(self._address, hosts=(node,)))
        self.cause = None if isinstance(error, InvalidAddress) else cause
        self._errors[node] = error

    def error(self) -> BrokerError:
        """What a person must change comes before what passes; then as the address has them."""
        order = self._address.hosts
        nodes = sorted(self._errors, key=lambda node: (_passes(self._errors[node]), order.index(node)))
        errors = [self._errors[node] for node in nodes]
        return type(errors[0])("; ".join(map(str, errors)))


def _passes(error: BrokerError) -> bool:
    return isinstance(error, BrokerUnavailable)


class broker_errors:  # noqa: N801 - a class, as it is entered several times for every task
    """Turn what pika raises inside the block into our errors, each naming the broker."""

    __slots__ = ("_address", "_translate")

    #: The second is beside the library's own tree: of a server that accepts and never answers.
    _RAISED = (amqp.AMQPError, workflow.AMQPConnectorException, OSError)

    def __init__(self, address: BrokerAddress, *, publishing: bool = False) -> None:
        """`publishing`: the block only publishes, so that what the broker closes for is what was published."""
        self._address = address
        self._translate = translate_published if publishing else translate

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, self._RAISED) and not isinstance(error, BrokerError):
            raise self._translate(error, self._address) from error


def translate(error: Exception, address: BrokerAddress) -> BrokerError:
    """Our error for one of pika's; the broker's own words are kept, as they hold no password."""
    if isinstance(error, BrokerError):
        return error
    text = describe(error)
    if isinstance(error, amqp.ChannelClosedByBroker | amqp.ConnectionClosedByBroker):
        return _closed_by_broker(error, address, text)
    if isinstance(error, amqp.ProbableAuthenticationError | amqp.AuthenticationError | amqp.ProbableAccessDeniedError):
        return AccessRefused(f"{address} refuses this user, password or virtual host: {text}")
    if isinstance(error, ssl.SSLCertVerificationError):  # which waiting does not heal
        return AccessRefused(f"{address}: the broker's certificate {certificate_fault(error)}: {text}")
    if isinstance(error, TypeError | ValueError) and not isinstance(error, OSError):
        # Not in its own words, which may hold the value: that may be the password.
        return InvalidAddress(
            f"{address}: its host, username, password or vhost cannot be used to connect ({type(error).__name__}); "
            "look for characters that do not belong there"
        )
    remedy = tls_remedy(text, address.tls) if address.tls else _remedy_without_tls(error)
    return BrokerUnavailable(f"{address} cannot be used now: {text}{f'; {remedy}' if remedy else ''}")


def _remedy_without_tls(error: Exception) -> str | None:
    if isinstance(error, amqp.IncompatibleProtocolError):
        return "this port does not speak AMQP: with a TLS port write amqps://; 15672 is the management API"
    return None


#: Codes with which a broker closes a channel, and a connection, for what a published message is: its size, properties
#: or headers cannot be taken (AMQP 0-9-1, 1.2). RabbitMQ closes the connection for a header frame above frame_max.
_CHANNEL_REFUSALS = (406,)
_CONNECTION_REFUSALS = (501, 502)


def translate_published(error: Exception, address: BrokerAddress) -> BrokerError:
    """As translate(), for what a channel that publishes raises: MessageRefused when the message is at fault.

    AccessRefused (403) and QueueMissing (404) then concern the publisher and its queue.
    """
    translated = translate(error, address)
    if isinstance(error, amqp.ChannelClosedByBroker):
        refused = error.reply_code in _CHANNEL_REFUSALS and not isinstance(translated, QueueMismatch)
    else:
        refused = isinstance(error, amqp.ConnectionClosedByBroker) and error.reply_code in _CONNECTION_REFUSALS
    return MessageRefused(f"{address} refuses this message: {describe(error)}") if refused else translated


def why_not_connected(outcome: object) -> Exception:
    """What lies under the library's account of a connection attempt that failed."""
    while True:
        if isinstance(outcome, workflow.AMQPConnectionWorkflowFailed) and outcome.exceptions:
            outcome = outcome.exceptions[-1]
        elif isinstance(outcome, workflow.AMQPConnectorPhaseErrorBase):
            if isinstance(outcome.exception, workflow.AMQPConnectorStackTimeout | socket.timeout):
                return NoAnswer(_too_late(outcome))
            outcome = outcome.exception
        else:
            return outcome if isinstance(outcome, Exception) else BrokerUnavailable(str(outcome))


def _too_late(failed: workflow.AMQPConnectorPhaseErrorBase) -> str:
    """Which of the steps to a login took too long."""
    if isinstance(failed, workflow.AMQPConnectorSocketConnectError):
        return f"no TCP connection within {CONNECT_TIMEOUT_SECONDS:g} s"
    step = "TLS handshake" if isinstance(failed, workflow.AMQPConnectorTransportSetupError) else "AMQP login"
    return f"no {step} within {HANDSHAKE_TIMEOUT_SECONDS:g} s after connecting"


#: Deleting the queue is no remedy: it may hold messages.
_OTHER_PARAMETERS = (
    "the queue exists with other parameters: set --queue-type (QUEUE_TYPE, spec.queue.type) to its type, or use it as "
    "it is, whatever its arguments, with --declare Never (QUEUE_DECLARE, spec.queue.declare: Never)"
)
_PERMISSIONS = (
    "give the user the permission: configure to declare a queue, read to take from it, write (on amq.default) to "
    "publish; where the queues exist, --declare Never (QUEUE_DECLARE, spec.queue.declare: Never) needs no configure"
)


def _closed_by_broker(error: amqp.AMQPError, address: BrokerAddress, text: str) -> BrokerError:
    code = getattr(error, "reply_code", 0)
    if code == 403:
        return AccessRefused(f"{address} refuses it: {text}; {_PERMISSIONS}")
    if code == 404:
        return QueueMissing(text)
    if code == 405:  # RESOURCE_LOCKED
        return QueueMismatch(f"{text}; the queue is exclusive to another connection: name another one")
    if code == 406 and "inequivalent" in text:
        return QueueMismatch(f"{text}; {_OTHER_PARAMETERS}")
    if code == 530:  # NOT_ALLOWED: the virtual host is missing, or not for this user
        return AccessRefused(f"{address} refuses it: {text}")
    closed = "channel" if isinstance(error, amqp.ChannelClosed) else "connection"
    return BrokerUnavailable(f"{address} closed the {closed}: {text}")


def describe(error: BaseException) -> str:
    """The broker's or the system's words in one line; pika's connection errors often hide theirs in a tuple."""
    if isinstance(error, amqp.ChannelClosed | amqp.ConnectionClosed):
        return f"{error.reply_code} {foreign_text(str(error.reply_text))}"
    inner = next((arg for arg in getattr(error, "args", ()) if isinstance(arg, BaseException)), None)
    cause = inner or getattr(error, "exception", None)
    if isinstance(cause, BaseException):
        return describe(cause)
    return error_text(error)


def _credentials(address: BrokerAddress) -> pika.credentials.PlainCredentials | pika.credentials.ExternalCredentials:
    if address.tls and address.tls.certificate and not address.password_given:
        return pika.credentials.ExternalCredentials()
    return pika.PlainCredentials(address.username, address.password)
