"""Panels in the shapes that all dashboards share."""

from typing import Any

from dev.dashboards.model import Kind, Panel, Query, Step, Style

GREEN, BLUE, ORANGE, RED, GREY, PURPLE = "green", "blue", "orange", "red", "#808080", "purple"
#: Grafana's word for the colour of text: what is unknown is neither good nor bad.
UNKNOWN = "text"

#: Seconds that a message may wait before a person should look, and before users notice.
WAIT_STEPS = (Step(0, GREEN), Step(300, ORANGE), Step(1800, RED))
#: Seconds without a sign of life: a loop beats every few seconds, and /healthz fails after 60.
LATE_STEPS = (Step(0, GREEN), Step(10, ORANGE), Step(60, RED))
#: Nothing of it is good, any of it is worth a look.
ANY_IS_ORANGE = (Step(0, GREEN), Step(1, ORANGE))
#: Nothing of it is good, any of it must be repaired.
ANY_IS_RED = (Step(0, GREEN), Step(1, RED))

NO_AGE = (
    "no age is known without the management API, nor until the messages that waited at the operator's start are gone"
)
#: What a panel of ages says in its description, and without data.
AGE_UNKNOWN_WHEN = (
    "The age is unknown without management_uri, with message priorities and at maxLength. After a start of the "
    "operator or the broker it is unknown until the messages that waited then are gone."
)
AGE_UNKNOWN = "Unknown age"
NO_DEAD_LETTERS = "a dead-letter queue is declared with its first message"

QUANTILES = (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99))


def stat(title: str, question: str, *queries: Query | str, empty: str, **more: Any) -> Panel:
    """A number as it is now."""
    return Panel(Kind.STAT, title, question, _queries(queries), empty, **{"width": 4, "height": 4, **more})


def lines(title: str, question: str, *queries: Query | str, empty: str, **more: Any) -> Panel:
    """Values over time."""
    return Panel(Kind.LINES, title, question, _queries(queries), empty, **more)


def stacked(title: str, question: str, *queries: Query | str, empty: str, **more: Any) -> Panel:
    """Parts of a whole over time."""
    return lines(title, question, *queries, empty=empty, style=Style.STACKED, **more)


def bars(title: str, question: str, *queries: Query | str, empty: str, **more: Any) -> Panel:
    """Counts over time."""
    return lines(title, question, *queries, empty=empty, style=Style.BARS, **more)


def quantiles(metric: str, matchers: str) -> tuple[Query, ...]:
    """Median, 95 % and 99 % of a histogram in seconds."""
    buckets = f"sum by (le) (rate({metric}_bucket{matchers}[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({part}, {buckets})", name) for name, part in QUANTILES)


def _queries(given: tuple[Query | str, ...]) -> tuple[Query, ...]:
    return tuple(Query(one) if isinstance(one, str) else one for one in given)


def dead_letters(matchers: str, question: str, total: str = "", **more: Any) -> Panel:
    """The messages of the dead-letter queues; `total` sums them up."""
    number = f"workqueue_operator_dead_letters{matchers}"
    return stat(
        "Dead letters",
        question,
        f"{total}({number})" if total else number,
        empty="None yet, or unknown",
        unit="short",
        steps=ANY_IS_ORANGE,
        may_be_empty=NO_DEAD_LETTERS,
        **more,
    )
