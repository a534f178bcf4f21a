"""What a person sees of a dead-lettered task: its key, one row, all of it as text or as JSON. Pure.

Senders choose most of these texts. None of their control characters reaches a terminal: ESC sequences can clear the
screen, change its title or fill the clipboard.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from workqueue_broker import headers as header

from workqueue_worker.delivery import Delivery

COLUMNS = ("id", "reason", "attempts", "last time", "worker", "queue", "bytes", "error")
#: Hexadecimal digits of a body's SHA-256 that name a task without any id.
DIGEST_DIGITS = 16


class DeadLetter(NamedTuple):
    """One dead-lettered task that was taken."""

    delivery: Delivery
    #: The AMQP properties that it has, without headers and message_id.
    properties: Mapping[str, object] = {}

    @property
    def key(self) -> str:
        """What names it in `list` and for --id: message_id, else correlation_id, else a digest of its body."""
        named = self.delivery.message_id or self.properties.get("correlation_id")
        digest = hashlib.sha256(self.delivery.body).hexdigest()
        return plain(named or f"sha256:{digest[:DIGEST_DIGITS]}")

    @property
    def origin(self) -> str | None:
        """The queue that its headers name as its origin, written by a worker, the broker or its sender."""
        headers = self.delivery.headers
        name = headers.get(header.QUEUE) or headers.get("x-first-death-queue")
        return name if isinstance(name, str) else None

    def row(self) -> str:
        """Tab-separated, as COLUMNS."""
        return "\t".join("-" if value is None else plain(value) for value in self._summary().values())

    def details(self) -> Iterator[str]:
        """Lines for people: properties, headers, body."""
        for name, value in self.properties.items():
            yield f"  {name}: {plain(value)}"
        for name, value in self.delivery.headers.items():
            yield f"  header {plain(name)}: {plain(_json(value) if isinstance(value, dict | list) else value)}"
        body = self.delivery.body
        try:
            text = body.decode()
        except UnicodeDecodeError:
            yield f"  body, base64: {base64.b64encode(body).decode()}"
            return
        yield "  body:"
        yield from (f"    {plain(line, keep_spaces=True)}" for line in text.split("\n"))

    def as_json(self) -> str:
        """One object, all of it; without any control character."""
        values = {name.replace(" ", "_"): value for name, value in self._summary().items()}
        values |= {"properties": dict(self.properties), "headers": dict(self.delivery.headers)}
        try:
            values["body"] = self.delivery.body.decode()
        except UnicodeDecodeError:
            values["body_base64"] = base64.b64encode(self.delivery.body).decode()
        return _json(values).replace("\x7f", "\\u007f")

    def _summary(self) -> dict[str, object]:
        headers = self.delivery.headers
        values = (
            self.key,
            headers.get(header.REASON) or headers.get("x-first-death-reason"),
            headers.get(header.ATTEMPTS),
            headers.get(header.LAST_TIME),
            headers.get(header.WORKER),
            self.origin,
            len(self.delivery.body),
            headers.get(header.ERROR),
        )
        return dict(zip(COLUMNS, values, strict=True))


def plain(value: object, *, keep_spaces: bool = False) -> str:
    """One line in which each character that is not printable is an escape; runs of blanks become one."""
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    if not keep_spaces:
        text = " ".join(text.split())
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _json(value: object) -> str:
    return json.dumps(value, default=plain)
