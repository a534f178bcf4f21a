"""What both demos print at their end, so that they can be compared line by line."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

VICTIMS = "workqueue_operator_scale_down_victims_total"


@dataclass(frozen=True)
class Summary:
    """One demo that has ended."""

    #: Confirmed by the broker.
    sent: int
    acked: int
    #: In words, as it may not be known.
    redelivered: str
    dead_lettered: int
    #: Most replicas.
    peak: int
    #: First publish to first scale, in words.
    reaction: str
    busy_stopped: int

    def table(self) -> Table:
        """A row for each number."""
        shown = Table(title="Summary", show_header=False)
        shown.add_row("tasks sent (confirmed by the broker)", str(self.sent))
        shown.add_row("tasks acked", str(self.acked))
        shown.add_row("tasks redelivered", self.redelivered)
        shown.add_row("tasks dead-lettered", str(self.dead_lettered))
        shown.add_row("peak replicas", str(self.peak))
        shown.add_row("first publish to first scale", self.reaction)
        shown.add_row("busy workers stopped", str(self.busy_stopped))
        return shown


def busy_stopped(page: Mapping[str, float]) -> int:
    """Busy workers that a scale-down took, by the operator's metrics page."""
    return int(sum(value for key, value in page.items() if key.startswith(VICTIMS) and '"busy"' in key))
