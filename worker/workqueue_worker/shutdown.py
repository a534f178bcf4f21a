"""How a worker leaves: the state and its rules. Pure: the time is an argument; the supervisor asks and acts.

Serving -> (a signal, or its last task) -> finishing: no new tasks, those in progress end -> leave.
At the grace deadline, or at a second signal: stop the tasks, then hand back what has not ended, then leave.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum, auto

#: Seconds between stopping the tasks and handing them back: a command gets SIGTERM, then SIGKILL, within them.
STOP_SECONDS = 3.0

#: Every task was settled.
EXIT_DRAINED = 0
#: A task had to be stopped, or did not end by its time limit (EX_TEMPFAIL of sysexits.h).
EXIT_FORCED = 75


class Step(Enum):
    """What is to be done now."""

    SERVE = auto()
    FINISH_TASKS = auto()
    STOP_TASKS = auto()
    HAND_BACK = auto()
    LEAVE = auto()


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Where the worker stands on its way out."""

    #: Monotonic time at which tasks are stopped; infinite until the worker must leave.
    deadline: float = math.inf
    signals: int = 0
    exit_code: int = EXIT_DRAINED

    @property
    def asked(self) -> bool:
        """True once the worker is to leave."""
        return self.deadline < math.inf

    def signalled(self, now: float, grace_seconds: float) -> "Shutdown":
        """After a signal: the first starts the grace period, each further one ends it."""
        wanted = now if self.signals else now + grace_seconds
        return replace(self, deadline=min(self.deadline, wanted), signals=self.signals + 1)

    def failed(self, now: float, grace_seconds: float) -> "Shutdown":
        """Leave after a task that could not be stopped: as after a signal, but with the exit code of a forced end."""
        return replace(self, deadline=min(self.deadline, now + grace_seconds), exit_code=EXIT_FORCED)

    def wore_out(self, now: float, seconds: float) -> "Shutdown":
        """Leave after --max-tasks. `seconds`: how long tasks in other slots may still run."""
        return replace(self, deadline=min(self.deadline, now + seconds))

    def step(self, now: float, *, tasks_in_progress: int, receiving: bool) -> Step:
        """What is to be done at this moment. `receiving`: the broker may still send a task."""
        if not self.asked:
            return Step.SERVE
        if tasks_in_progress == 0 and not receiving:
            return Step.LEAVE
        if now < self.deadline:
            return Step.FINISH_TASKS
        return Step.STOP_TASKS if now < self.deadline + STOP_SECONDS else Step.HAND_BACK
