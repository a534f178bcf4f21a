"""The one rule for names of queues: what RabbitMQ declares under exactly the name that it was given.

Measured on RabbitMQ 3.10 and 4.0 (tests/broker/test_queue_names.py). CR and LF are the dangerous ones: the broker takes
them out and answers for another queue. The charts repeat the rule (tests/charts/test_queue_names.py).
"""

import unicodedata

#: A short string of AMQP 0-9-1, in bytes of UTF-8.
NAME_BYTES = 255
#: RabbitMQ refuses to declare names that begin with it (403 ACCESS_REFUSED).
RESERVED_PREFIX = "amq."
#: Added to a queue's name for its dead-letter queue.
DEAD_SUFFIX = ".dead"
#: Characters of a name that an error shows.
_SHOWN = 40


class InvalidName(ValueError):
    """A queue cannot have this name; the message has the reason and the remedy."""


def checked_name(name: str) -> str:
    """Return `name` unchanged; raises InvalidName."""
    fault = _fault(name)
    if fault:
        raise InvalidName(f"{shown(name)} {fault}")
    return name


def dead_letter_name(queue: str, field: str, own_field: str) -> str:
    """The default name of the dead-letter queue of `queue`; raises InvalidName.

    `field` is where the user wrote the queue's name, `own_field` where the dead-letter queue can have another name.
    """
    longest = NAME_BYTES - len(DEAD_SUFFIX)
    if _size(queue) > longest:
        raise InvalidName(
            f"{field} {shown(queue)} has {_size(queue)} bytes, too many for {DEAD_SUFFIX} at its end, the default name "
            f"of the dead-letter queue: choose a name of at most {longest} bytes, or set {own_field}"
        )
    return f"{queue}{DEAD_SUFFIX}"


def shown(name: str) -> str:
    """A name in an error: quoted, without control characters, cut when it is long."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _fault(name: str) -> str | None:
    if not name:
        return f"is empty: give the queue a name of 1 to {NAME_BYTES} bytes"
    if _size(name) == 0:
        return "is not UTF-8 text: choose a name of UTF-8 characters"
    control = next((character for character in name if unicodedata.category(character) == "Cc"), None)
    if control:
        return f"has the control character {control!r}, such as the end of a line: take it out"
    if name.startswith(RESERVED_PREFIX):
        return f"begins with {RESERVED_PREFIX}, which RabbitMQ keeps for itself: choose another name"
    if _size(name) > NAME_BYTES:
        return f"has {_size(name)} bytes, more than {NAME_BYTES}: choose a shorter name"
    return None


def _size(name: str) -> int:
    """Bytes in UTF-8; 0 for what is no text, as the environment and the command line may hold any bytes."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0
