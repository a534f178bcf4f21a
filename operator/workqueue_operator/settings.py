"""The operator's settings, from the environment; read once, in __main__."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from workqueue_broker.environment import service_link_hint, variable
from workqueue_broker.names import shown

#: Digits of a port.
_PORT = re.compile(r"[0-9]{1,5}")


class InvalidSetting(ValueError):
    """A variable of the environment cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """The operator's settings."""

    #: WATCH_NAMESPACES, with commas; none: the whole cluster.
    namespaces: tuple[str, ...] = ()
    #: METRICS_PORT: /metrics and /healthz.
    metrics_port: int = 8080
    #: LOG_FORMAT: text or json.
    log_format: str = "text"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; raises InvalidSetting."""
        names = variable(environment, "WATCH_NAMESPACES") or ""
        port = variable(environment, "METRICS_PORT") or "8080"
        log_format = variable(environment, "LOG_FORMAT") or "text"
        if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
            hint = service_link_hint("METRICS_PORT", port)
            raise InvalidSetting(f"METRICS_PORT is {shown(port)}: set a number from 1 to 65535{hint}")
        if log_format not in ("text", "json"):
            raise InvalidSetting(f"LOG_FORMAT is {shown(log_format)}: set text or json")
        return cls(tuple(name.strip() for name in names.split(",") if name.strip()), int(port), log_format)
