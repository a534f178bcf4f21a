"""How a run of new-task ended, in words and as JSON; the exit code follows from it. Pure."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

#: Exit codes; also in `new-task --help` and docs/producer.md.
CONFIRMED, NOT_CONFIRMED, WRONG, REFUSED = 0, 1, 2, 3
#: A shell's own rule for a program that a signal ended.
SIGNALLED = 128


@dataclass(frozen=True)
class Summary:
    """One run."""

    queue: str
    queue_type: str
    confirmed: int
    #: Tasks that are in the unconfirmed file now.
    unconfirmed: int
    seconds: float
    #: When the first task was given to the publisher, in seconds since 1970; None: there was no task.
    first_publish: float | None = None
    #: Why not all are confirmed.
    error: str | None = None
    #: The broker said no; trying again does not help.
    refused: bool = False
    #: The signal's number.
    signal: int | None = None
    unconfirmed_file: Path | None = None

    @property
    def exit_code(self) -> int:
        if self.signal is not None:
            return SIGNALLED + self.signal
        if self.refused:
            return REFUSED
        return NOT_CONFIRMED if self.error or self.unconfirmed else CONFIRMED

    def as_json(self) -> str:
        values = asdict(self)
        first = values.pop("first_publish")
        values |= {
            "first_publish_time": None if first is None else _timestamp(first),
            "seconds": round(self.seconds, 3),
            "unconfirmed_file": str(self.unconfirmed_file) if self.unconfirmed_file else None,
            "exit_code": self.exit_code,
        }
        return json.dumps(values)

    def problem(self) -> str | None:
        """What a person must know when it went wrong."""
        if self.exit_code == CONFIRMED:
            return None
        reason = self.error or "interrupted"
        if not self.unconfirmed:
            return f"new-task: {reason}"
        return (
            f"new-task: {reason}\n{self.unconfirmed} not confirmed, in {self.unconfirmed_file}; "
            f"send them with: new-task --queue {self.queue} --queue-type {self.queue_type} "
            f"--resend {self.unconfirmed_file}"
        )


def _timestamp(seconds_since_1970: float) -> str:
    """As in the operator's log: UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="milliseconds")
