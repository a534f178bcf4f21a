"""Log lines as text or JSON, one line each, on stderr."""

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the exception when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(log_format: str) -> None:
    """Set up the root logger; the libraries speak only of warnings, their own connections are our business."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("pika").setLevel(
        logging.CRITICAL
    )  # it logs each lost connection with a traceback; the operator logs it once
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # The border reports why a watch ended, on one line; kopf does so three times, with tracebacks.
    logging.getLogger("kopf._core.reactor").setLevel(logging.CRITICAL)
