"""Values of flags that the commands of producer and worker share, for argparse's `type`."""

from argparse import ArgumentTypeError

from workqueue_broker.names import NAME_BYTES

#: The longest value of a header; all headers of a message must fit into one frame, of 128 KiB by default.
HEADER_BYTES = 65536


def header(text: str) -> tuple[str, str]:
    """NAME=VALUE as a pair; raises ArgumentTypeError for what AMQP cannot carry."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError("must be NAME=VALUE")
    if utf8_size(name) > NAME_BYTES or utf8_size(value) > HEADER_BYTES:
        raise ArgumentTypeError(f"NAME may have {NAME_BYTES} bytes, and VALUE {HEADER_BYTES}")
    return name, value


def utf8_size(text: str) -> int:
    """Bytes of the text in UTF-8; raises ArgumentTypeError for a flag that had other bytes."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ArgumentTypeError("must be UTF-8") from None
