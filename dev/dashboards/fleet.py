"""All WorkQueues: which of them needs a person."""

from workqueue_operator.scaling.decision import Reason

from dev.dashboards.model import Dashboard, Kind, Panel, Query, Row, Step, Style, Variable
from dev.dashboards.shapes import (
    AGE_UNKNOWN,
    AGE_UNKNOWN_WHEN,
    ANY_IS_ORANGE,
    ANY_IS_RED,
    BLUE,
    GREEN,
    NO_AGE,
    NO_DEAD_LETTERS,
    ORANGE,
    WAIT_STEPS,
    dead_letters,
    lines,
    stacked,
    stat,
)

CHOSEN = 'namespace=~"$namespace", workqueue=~"$workqueue"'
S = f"{{{CHOSEN}}}"
AT_MAXIMUM = f'{{{CHOSEN}, reason="{Reason.AT_MAX_REPLICAS}"}}'
NOT_READY = f'{{{CHOSEN}, type="Ready", status!="True"}}'
#: One series a WorkQueue, also of one whose spec cannot be used.
KNOWN = f'workqueue_operator_condition{{{CHOSEN}, type="Ready"}}'
READY = f"workqueue_operator_messages_ready{S}"
AGE = f"workqueue_operator_oldest_message_age_seconds{S}"
EACH = "max by (namespace, workqueue)"

NO_OPERATOR = "No operator seen"
NEEDS_MANAGEMENT = "no WorkQueue's Secret has a management_uri"


def where(condition: str) -> str:
    """How many series meet the condition: 0 while an operator is scraped, and nothing without one."""
    return f"count({condition}) or 0 * count({KNOWN})"


def largest(metric: str) -> str:
    """The ten WorkQueues that were largest at any time shown; topk alone would choose others at each step."""
    most = f"{EACH} (max_over_time({metric}[$__range] @ end()))"
    return f"{EACH} ({metric}) and topk(10, {most})"


NOW = Row(
    "Now",
    (
        stat(
            "WorkQueues", "How many WorkQueues does the operator serve?", f"count({KNOWN})", empty=NO_OPERATOR, width=3
        ),
        stat(
            "Not ready",
            "How many WorkQueues have a condition Ready that is not True? A person must act on each.",
            where(f"workqueue_operator_condition{NOT_READY} == 1"),
            empty=NO_OPERATOR,
            steps=ANY_IS_RED,
            width=3,
        ),
        stat(
            "Unreadable",
            "How many queues can the operator not read? Their workers keep their number, or that of scaling.fallback.",
            where(f"workqueue_operator_queue_observed{S} == 0"),
            empty=NO_OPERATOR,
            steps=ANY_IS_ORANGE,
            width=3,
        ),
        stat(
            "At maximum",
            "How many queues ask for more workers than maxReplicas allows?",
            where(f"workqueue_operator_decision_reason{AT_MAXIMUM} == 1"),
            empty=NO_OPERATOR,
            steps=(Step(0, GREEN), Step(1, BLUE)),
            width=3,
        ),
        stat(
            "Waiting",
            "How many messages wait, in all queues that the operator can read?",
            f"sum({READY})",
            empty="No queue is read",
            unit="short",
            width=3,
        ),
        stat(
            "Oldest",
            "How long has the next message of a queue waited, in the queue where it has waited longest? "
            + AGE_UNKNOWN_WHEN,
            f"max({AGE})",
            empty=AGE_UNKNOWN,
            unit="s",
            steps=WAIT_STEPS,
            width=3,
            may_be_empty=NO_AGE,
        ),
        stat("Workers", "How many workers run?", f"sum(workqueue_operator_replicas{S})", empty=NO_OPERATOR, width=3),
        dead_letters(S, "How many dead-lettered tasks are in the dead-letter queues?", "sum", width=3),
    ),
)

TABLE = Panel(
    Kind.TABLE,
    "All WorkQueues",
    "Which WorkQueue needs a person? A click on a row opens the dashboard of that queue.",
    (
        Query(f"{EACH} ({READY})", "Waiting"),
        Query(f"{EACH} ({AGE})", "Oldest message", NO_AGE),
        Query(f"{EACH} (workqueue_operator_replicas{S})", "Workers"),
        Query(f"{EACH} (workqueue_operator_wanted_replicas{S})", "Wanted"),
        Query(f"{EACH} (workqueue_operator_max_replicas{S})", "Maximum"),
        Query(f"max by (namespace, workqueue, reason) (workqueue_operator_decision_reason{S} == 1)", "Reason"),
        Query(f"{EACH} (workqueue_operator_dead_letters{S})", "Dead letters", NO_DEAD_LETTERS),
        Query(f"{EACH} (workqueue_operator_queue_observed{S})", "Can be read"),
    ),
    "No WorkQueue matches the choice above",
    width=24,
    height=10,
)

OVER_TIME = Row(
    "Over time",
    (
        lines(
            "Waiting messages, ten largest",
            "Which queues have the most waiting messages?",
            Query(largest(READY), "{{namespace}}/{{workqueue}}"),
            empty="No queue could be read in this time",
            unit="short",
        ),
        lines(
            "Oldest message, ten oldest",
            "In which queues do tasks wait too long? " + AGE_UNKNOWN_WHEN,
            Query(largest(AGE), "{{namespace}}/{{workqueue}}"),
            empty=AGE_UNKNOWN,
            unit="s",
            steps=WAIT_STEPS,
            may_be_empty=NO_AGE,
        ),
        stacked(
            "Workers by namespace",
            "How many workers run in each namespace?",
            Query(f"sum by (namespace) (workqueue_operator_replicas{S})", "{{namespace}}"),
            empty="No operator was scraped in this time",
        ),
        lines(
            "Missing workers",
            "How many workers are wanted and not Ready?",
            Query(
                f"sum by (namespace) (clamp_min(workqueue_operator_wanted_replicas{S} - "
                f"workqueue_operator_ready_replicas{S}, 0))",
                "{{namespace}}",
            ),
            empty="Nothing was decided in this time",
            steps=ANY_IS_ORANGE,
            style=Style.STEPS,
        ),
        lines(
            "Published and acked messages",
            "Do the workers keep up with what is published?",
            Query(f"sum(rate(workqueue_operator_messages_published_total{S}[$__rate_interval]))", "published"),
            Query(f"sum(rate(workqueue_operator_messages_acked_total{S}[$__rate_interval]))", "acked"),
            empty="Needs management_uri in the broker's Secret",
            unit="mps",
            may_be_empty=NEEDS_MANAGEMENT,
        ),
        lines(
            "Scales per hour",
            "Which WorkQueues are scaled often? Those with 6 scales an hour or fewer are left out.",
            Query(
                f"sum by (namespace, workqueue) (increase(workqueue_operator_scales_total{S}[1h])) > 6",
                "{{namespace}}/{{workqueue}}",
            ),
            empty="At most 6 in an hour, or no operator was scraped",
            steps=(Step(0, GREEN), Step(6, BLUE), Step(20, ORANGE)),
            may_be_empty="few scales are the normal case",
        ),
    ),
)

DASHBOARD = Dashboard(
    "workqueue-fleet",
    "WorkQueue / Fleet",
    "All WorkQueues of the operator: which of them needs a person.",
    (NOW, Row("WorkQueues", (TABLE,)), OVER_TIME),
    (
        Variable("namespace", "Namespace", "workqueue_operator_condition", "namespace", multiple=True),
        Variable(
            "workqueue",
            "WorkQueue",
            'workqueue_operator_condition{namespace=~"$namespace"}',
            "workqueue",
            multiple=True,
        ),
    ),
)
