"""Whether the worker lives and whether it consumes; probes.py answers with it.

Liveness is the connection thread's tick and never depends on the broker. Readiness is that a task which comes now is
begun: the worker consumes, and not every slot holds a failed task. It never means idle.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Seconds after which a copy that is not confirmed counts as one that cannot be made for now; most take milliseconds.
HELD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether tasks come in, and the reason in one line."""

    ready: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Held:
    text: str
    #: Waiting does not help: a person must change something first.
    lasting: bool
    #: Monotonic time.
    since: float


class Health:
    """Written by the connection's thread and the task threads, read by the probes."""

    def __init__(self, slots: int = 1, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`slots`: tasks that the worker works on at a time. `monotonic`: seconds of a clock that no one sets."""
        self._slots = slots
        self._monotonic = monotonic
        self._readiness = Readiness(ready=False, text="starting: not connected yet")
        self._holding: dict[Hashable, _Held] = {}
        self._ticked_at = monotonic()

    @property
    def readiness(self) -> Readiness:
        """Whether tasks come in. Not while one is held for a reason that lasts, nor while every slot holds one."""
        if self._readiness.ready and self.takes_no_more:
            return Readiness(ready=False, text="takes no new task while it must hold one")
        if self._readiness.ready and self.slots_are_held:
            return Readiness(ready=False, text="can take no new task: every slot holds a failed one")
        return self._readiness

    @readiness.setter
    def readiness(self, readiness: Readiness) -> None:
        self._readiness = readiness

    @property
    def takes_no_more(self) -> bool:
        """True while a task is held for a reason that lasts: another task could end the same way."""
        return any(held.lasting for held in list(self._holding.values()))

    @property
    def slots_are_held(self) -> bool:
        """True while no slot can take a task, because each has held a failed one for HELD_SECONDS."""
        return self.held >= self._slots

    @property
    def held(self) -> int:
        """Failed tasks whose copies have not been confirmed for HELD_SECONDS."""
        now = self._monotonic()
        return sum(now - held.since >= HELD_SECONDS for held in list(self._holding.values()))

    def hold(self, holder: Hashable, text: str, *, lasting: bool = False) -> None:
        """Report what keeps a failed task unacknowledged, until it is released.

        `lasting`: only a person can change it, so the worker is not ready and takes no new tasks.
        """
        before = self._holding.get(holder)
        self._holding[holder] = _Held(text, lasting, before.since if before else self._monotonic())

    def release(self, holder: Hashable) -> None:
        """The copy is confirmed, or the task handed back."""
        self._holding.pop(holder, None)

    @property
    def holding(self) -> str | None:
        """How many failed tasks are held, and why the last one is, one that lasts first; None when none is held."""
        held = sorted(self._holding.values(), key=lambda one: one.lasting)
        if not held:
            return None
        return f"holding {'a failed task' if len(held) == 1 else f'{len(held)} failed tasks'}: {held[-1].text}"

    def tick(self) -> None:
        """Report that the connection's thread is alive."""
        self._ticked_at = self._monotonic()

    @property
    def seconds_since_tick(self) -> float:
        """How long the connection's thread has been silent."""
        return self._monotonic() - self._ticked_at
