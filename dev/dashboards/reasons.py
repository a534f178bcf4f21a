"""The colour of each reason of a decision, the same on every panel."""

from workqueue_operator.scaling.decision import Reason

from dev.dashboards.shapes import BLUE, GREEN, GREY, ORANGE, RED

#: Green: the size is what the queue asks for. Blue: a limit that was set holds it, for a time or as configured.
#: Orange: workers cannot be seen or are not left alone. Red: a person must act. Grey: scaling was switched off.
COLOURS = {
    **dict.fromkeys((Reason.STEADY, Reason.BACKLOG, Reason.DRAINED, Reason.AT_MIN_REPLICAS), GREEN),
    **dict.fromkeys((Reason.AT_MAX_REPLICAS, Reason.STEP_LIMITED, Reason.STABILIZED, Reason.FIRST_WINDOW), BLUE),
    **dict.fromkeys((Reason.WORKERS_BUSY, Reason.ROLLOUT, Reason.SCALED_MANUALLY), BLUE),
    **dict.fromkeys((Reason.WORKERS_SILENT, Reason.WORKERS_NOT_ASKED), ORANGE),
    **dict.fromkeys((Reason.QUEUE_UNKNOWN, Reason.FALLBACK, Reason.WORKERS_FAILING), RED),
    Reason.PAUSED: GREY,
}


def colours() -> dict[str, str]:
    """By the word that users see; raises ValueError when a reason has no colour."""
    if missing := set(Reason) - set(COLOURS):
        raise ValueError(f"dev/dashboards/reasons.py has no colour for {', '.join(sorted(missing))}")
    return {str(reason): COLOURS[reason] for reason in Reason}
