"""What can go wrong with a broker, by remedy. Library exceptions become these at the border, with `from`.

BrokerError
├── InvalidAddress     the configuration is wrong: a person must change the named field
├── BrokerUnavailable  temporary: refused, unresolved, timed out, lost or blocked; try again with backoff
├── AccessRefused      the broker refuses user, password, vhost or permission; or its certificate is refused
├── QueueMissing       there is no such queue: declare it
├── QueueMismatch      the queue exists with other parameters: change ours, or do not declare it
└── MessageRefused     this message is refused for what it is: change the message, or the broker's limit
"""


class BrokerError(Exception):
    """Any failure to use RabbitMQ; never carries a password."""

    #: One word for metrics and conditions, bounded by the classes of this module.
    kind = "broker"


class InvalidAddress(BrokerError, ValueError):
    """The address cannot be used; the message names the field and the remedy."""

    kind = "invalid_address"


class BrokerUnavailable(BrokerError, ConnectionError):
    """The broker cannot be reached, or the connection was lost or blocked for too long."""

    kind = "unavailable"


class AccessRefused(BrokerError, PermissionError):
    """The broker refuses the user, the password, the virtual host or the operation; or its certificate is refused."""

    kind = "access_refused"


class QueueMissing(BrokerError, LookupError):
    """The queue does not exist in the virtual host."""

    kind = "queue_missing"


class QueueMismatch(BrokerError):
    """The queue exists with other parameters than ours (406 PRECONDITION_FAILED)."""

    kind = "queue_mismatch"


class MessageRefused(BrokerError):
    """The broker refuses one message for what it is (size, properties, headers); another message would be taken."""

    kind = "message_refused"
