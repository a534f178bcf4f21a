"""How a run of new-task ended, in words and as JSON; the exit code follows from it. Pure."""

import json
from dataclasses import asdict, dataclass
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
    #: Unix time in seconds at which the first task was given to the publisher; None: there was none.
    first_publish_time: float | None = None
    #: Unix time in seconds at which the last confirm came; None without one.
    last_confirm_time: float | None = None
    #: Why not all are confirmed.
    error: str | None = None
    #: The input may have more than was read.
    rest_unread: bool = False
    #: The broker refused; trying again does not help.
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
        values = asdict(self) | {
            "seconds": round(self.seconds, 3),
            "first_publish_time": _milliseconds(self.first_publish_time),
            "last_confirm_time": _milliseconds(self.last_confirm_time),
            "unconfirmed_file": str(self.unconfirmed_file) if self.unconfirmed_file else None,
            "exit_code": self.exit_code,
        }
        return json.dumps(values)

    def problem(self) -> str | None:
        """What a person must know when it went wrong."""
        if self.exit_code == CONFIRMED:
            return None
        lines = [f"new-task: {self.error or 'interrupted'}"]
        if self.unconfirmed:
            lines.append(
                f"{self.unconfirmed} not confirmed, in {self.unconfirmed_file}; "
                f"send them with: new-task --queue {self.queue} --queue-type {self.queue_type} "
                f"--resend {self.unconfirmed_file}"
            )
        if self.rest_unread:
            lines.append("the rest of the input was not read")
        return "\n".join(lines)


def _milliseconds(seconds: float | None) -> float | None:
    """Without digits that mean nothing."""
    return None if seconds is None else round(seconds, 3)
