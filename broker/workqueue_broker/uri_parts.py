"""The parts of a broker's URI, and of keys that hold one of them: nodes, ports, virtual host, heartbeat. Pure.

Each error names the field, and none quotes what may hold a password.
"""

from contextlib import suppress
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from workqueue_broker.environment import service_link_hint
from workqueue_broker.errors import InvalidAddress

#: Nodes of one address, and bytes of a host name (RFC 1035).
_MOST_HOSTS = 32
_MOST_HOST_BYTES = 253

_ENCODE = "write special characters of the login percent-encoded"


def split(uri: str, field_name: str) -> SplitResult:
    """The parts of a URI; raises InvalidAddress, without the library's words, which may hold the password."""
    parts = None
    with suppress(ValueError):
        parts = urlsplit(uri)
    if parts is None:
        raise InvalidAddress(f"{field_name} is not a URI: it has a bare '[' or ']', or an odd character; {_ENCODE}")
    cut_short = "@" not in parts.netloc and "@" in parts.path + parts.query
    if parts.fragment or cut_short:  # the rest of the login would be taken for a vhost, and appear in errors
        raise InvalidAddress(f"{field_name} has a bare '#', '/' or '?' before the '@'; {_ENCODE}")
    return parts


def virtual_host_of_path(path: str, field_name: str) -> str:
    """Of a URI's path, `/` when that is empty; raises InvalidAddress."""
    name = path.removeprefix("/")
    if "/" in name:
        raise InvalidAddress(f"{field_name} has more than one '/' after the host; write '/' in a vhost as %2F")
    return virtual_host(unquote(name) or "/", field_name)


def virtual_host(name: str, field_name: str) -> str:
    """The name, if a broker can have it; raises InvalidAddress."""
    if len(name.encode()) > 255:
        raise InvalidAddress(f"{field_name} has a vhost of more than 255 bytes; no broker has one")
    return name


def heartbeat(query: str, field_name: str) -> int | None:
    """Seconds, by a URI's query; None: not given. Raises InvalidAddress."""
    options = parse_qs(query)
    if set(options) - {"heartbeat"}:
        raise InvalidAddress(f"{field_name} has an option other than heartbeat, the only one that can be set there")
    if not options:
        return None
    seconds = _number(options["heartbeat"][-1], at_most=65535)
    if seconds is None:
        raise InvalidAddress(f"{field_name} has a heartbeat that is not a whole number of seconds from 0 to 65535")
    return seconds


def hosts(text: str, default_port: int, field_name: str) -> tuple[tuple[str, int], ...]:
    """(name, port) of each node of a list with commas; raises InvalidAddress."""
    parts = text.split(",", _MOST_HOSTS)
    if len(parts) > _MOST_HOSTS:
        raise InvalidAddress(f"{field_name} has more than {_MOST_HOSTS} hosts; name those of one cluster")
    return tuple(host(part.strip(), default_port, field_name) for part in parts)


def host(text: str, default_port: int, field_name: str) -> tuple[str, int]:
    """(name, port) of one node; raises InvalidAddress."""
    if text.startswith("["):  # an IPv6 address in brackets
        name, _, rest = text[1:].partition("]")
        number = rest.removeprefix(":")
    elif text.count(":") > 1:  # a bare IPv6 address, as a Secret's host may be
        name, number = text, ""
    else:
        name, _, number = text.partition(":")
    _check_host_name(name, field_name)
    return name, port(number, field_name) if number else default_port


def _check_host_name(name: str, field_name: str) -> None:
    if not name:
        raise InvalidAddress(f"{field_name} has an empty host name")
    if len(name.encode(errors="replace")) > _MOST_HOST_BYTES:  # before anything that takes time for each of its parts
        raise InvalidAddress(f"{field_name} has a host name of more than {_MOST_HOST_BYTES} bytes")
    usable = False
    with suppress(UnicodeError):  # what the name's resolution would raise: an empty label, or one too long
        name.encode("idna")
        usable = name.isprintable() and " " not in name
    if not usable:
        raise InvalidAddress(
            f"{field_name} has a host name that cannot be one: labels of 1 to 63 characters, with dots between them"
        )


def port(text: str, field_name: str) -> int:
    """A port from 1 to 65535; raises InvalidAddress."""
    number = _number(text, at_most=65535)
    if not number:
        hint = service_link_hint(field_name, text)
        raise InvalidAddress(f"{field_name} has a port that is not a number from 1 to 65535{hint}")
    return number


def _number(text: str, *, at_most: int) -> int | None:
    """A whole number from 0; None for what is none."""
    number = int(text) if text.isdecimal() and len(text) <= len(str(at_most)) else None
    return number if number is not None and number <= at_most else None


def host_and_port(host: str, port: int) -> str:
    """As in a URI: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
