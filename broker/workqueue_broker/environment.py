"""The environment as all our programs read it."""

import re
from collections.abc import Mapping
from pathlib import Path

#: Variables that hold the path of a file or directory.
_PATHS = ("AMQP_SECRET_DIR", "AMQP_PASSWORD_FILE", "AMQP_CA_FILE", "AMQP_CERT_FILE", "AMQP_KEY_FILE")
#: What the kubelet sets for a Service: NAME_PORT=tcp://10.96.0.7:80.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


def variable(environment: Mapping[str, str], name: str) -> str | None:
    """The value of a variable; None when it is missing or empty.

    Line ends at its end are no part of it: files, Secrets and `echo` add them.
    """
    return without_line_end(environment.get(name, "")) or None


def without_line_end(text: str) -> str:
    """The text without CR and LF at its end."""
    return text.rstrip("\r\n")


def at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy for the life of a program, with absolute paths: a task's code may change os.environ and the directory."""
    paths = {name: str(Path(path).absolute()) for name in _PATHS if (path := variable(environment, name))}
    return {**environment, **paths}


def service_link_hint(name: str, text: str) -> str:
    """The remedy for a port's variable that Kubernetes has set for a Service of that name; empty for other texts."""
    if not _SERVICE_LINK.match(text):
        return ""
    service = name.removesuffix("_PORT").lower()
    return (
        f": Kubernetes sets this for a Service named {service!r}; set enableServiceLinks: false in the pod, "
        f"rename the Service, or set {name} in the pod"
    )
