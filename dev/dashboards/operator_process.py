"""The operator itself: whether it reads, how fast it is, and which errors it has."""

from workqueue_operator.cluster.port import Forbidden
from workqueue_operator.scaling.victims import State

from dev.dashboards.model import Dashboard, Query, Row, Shows
from dev.dashboards.one_queue import DASHBOARD as ONE_QUEUE
from dev.dashboards.shapes import ANY_IS_ORANGE, ANY_IS_RED, LATE_STEPS, bars, lines, quantiles, stacked, stat

NOT_SCRAPED = "No operator seen"
NO_SCALE = "No Deployment was scaled in this time"


def own(process_metric: str) -> str:
    """A number of the operator's process, which every scraped program has under this name."""
    return f"{process_metric} and on (job, instance) workqueue_operator_build_info"


def each_pod(process_metric: str) -> str:
    """The same by pod, whose name is shorter than its address."""
    return f"max by (pod) ({own(process_metric)})"


def increase(metric: str, window: str, matchers: str = "") -> str:
    """How much a counter grew within the window."""
    return f"sum(increase({metric}{matchers}[{window}]))"


#: A line at 0, which shows that an operator was scraped and had none.
NO_ERROR = (
    'label_replace(label_replace(0 * sum(workqueue_operator_build_info), "kind", "no error", "", ""), '
    '"broker", "all brokers", "", "")'
)
BUSY_REMOVED = increase("workqueue_operator_scale_down_victims_total", "1d", f'{{state="{State.BUSY}"}}')

NOW = Row(
    "Now",
    (
        stat(
            "Version",
            "Which version of the operator runs? During an upgrade it shows two versions.",
            Query("workqueue_operator_build_info", "{{version}}"),
            empty=NOT_SCRAPED,
            shows=Shows.NAME,
            width=6,
        ),
        stat(
            "Slowest loop",
            "How long ago did the slowest loop last report that it runs? After 60 s the operator starts it again.",
            "max(workqueue_operator_heartbeat_age_seconds)",
            empty=NOT_SCRAPED,
            unit="s",
            steps=LATE_STEPS,
            width=6,
        ),
        stat(
            "Oldest reading",
            "How old is the last reading, in the queue where it is oldest?",
            "max(workqueue_operator_reading_age_seconds)",
            empty="No queue is read",
            unit="s",
            steps=LATE_STEPS,
            width=6,
        ),
        stat(
            "Namespaces not watched",
            "How many namespaces can the operator not watch, for example because their Role was deleted?",
            "sum(1 - workqueue_operator_namespace_watched)",
            empty=NOT_SCRAPED,
            steps=ANY_IS_RED,
            width=6,
        ),
        stat(
            "Busy workers removed, 24 h",
            "How many busy workers did scale-downs remove? A busy worker finishes its task before it ends.",
            f"{BUSY_REMOVED} or 0 * sum(workqueue_operator_build_info)",
            empty=NOT_SCRAPED,
            steps=ANY_IS_ORANGE,
            width=6,
        ),
        stat(
            "Missing permissions, 1 h",
            "How many requests did the API server refuse because the operator lacks a right?",
            increase("workqueue_operator_cluster_errors_total", "1h", f'{{kind="{Forbidden.kind}"}}'),
            empty=NOT_SCRAPED,
            steps=ANY_IS_RED,
            width=6,
        ),
        stat(
            "Unexpected failures, 1 h",
            "How many unexpected errors did the operator's loops have? The log has each; please report it.",
            increase("workqueue_operator_loop_failures_total", "1h"),
            empty=NOT_SCRAPED,
            steps=ANY_IS_ORANGE,
            width=6,
        ),
        stat(
            "Memory",
            "How much memory does the operator use?",
            f"max({own('process_resident_memory_bytes')})",
            empty=NOT_SCRAPED,
            unit="bytes",
            width=6,
        ),
    ),
)

SPEED = Row(
    "Speed",
    (
        lines(
            "Reading to scale",
            "How long does it take from the start of a reading until the Deployment is scaled?",
            *quantiles("workqueue_operator_reading_to_scale_seconds", ""),
            empty=NO_SCALE,
            unit="s",
            width=8,
        ),
        lines(
            "Duration of a reading",
            "How long does one round of reading a broker's queues take?",
            *quantiles("workqueue_operator_read_seconds", ""),
            empty="No queue was read in this time",
            unit="s",
            width=8,
        ),
        lines(
            "Duration of a scale request",
            "How long does the API server take to scale a Deployment?",
            *quantiles("workqueue_operator_scale_request_seconds", ""),
            empty=NO_SCALE,
            unit="s",
            width=8,
        ),
    ),
)

ACTIONS = Row(
    "Readings, decisions, writes",
    (
        lines(
            "Readings",
            "How many queues does the operator read each second?",
            Query("sum(rate(workqueue_operator_readings_total[$__rate_interval]))", "readings"),
            empty="No operator was scraped in this time",
            unit="rps",
            width=8,
        ),
        stacked(
            "Decisions per minute",
            "Which reasons do new decisions have? Reasons without a new decision are left out.",
            Query(
                "sum by (reason) (rate(workqueue_operator_decisions_total[$__rate_interval])) * 60 > 0", "{{reason}}"
            ),
            empty="No new decision, or no operator was scraped",
            width=8,
            shows=Shows.REASON,
            may_be_empty="sizes and reasons may stay unchanged",
        ),
        stacked(
            "Writes to the API server",
            "What does the operator write, and how often?",
            Query("sum by (verb) (rate(workqueue_operator_api_writes_total[$__rate_interval]))", "{{verb}}"),
            empty="No operator was scraped in this time",
            unit="reqps",
            width=8,
        ),
    ),
)

ERRORS = Row(
    "Errors",
    (
        lines(
            "Broker errors",
            "Which brokers can the operator not read, and why? Brokers without an error are left out.",
            Query(
                "sum by (broker, kind) (rate(workqueue_operator_broker_errors_total[$__rate_interval])) > 0 "
                f"or {NO_ERROR}",
                "{{kind}}: {{broker}}",
            ),
            empty="No operator was scraped in this time",
            unit="cps",
            width=8,
        ),
        lines(
            "API server errors",
            "Which requests does the API server refuse?",
            Query("sum by (kind) (rate(workqueue_operator_cluster_errors_total[$__rate_interval]))", "{{kind}}"),
            empty="No operator was scraped in this time",
            unit="reqps",
            width=8,
        ),
        bars(
            "Scale-down",
            "Were the workers that scale-downs removed idle or busy?",
            Query(
                "sum by (state) (increase(workqueue_operator_scale_down_victims_total[$__rate_interval]))", "{{state}}"
            ),
            empty="No operator was scraped in this time",
            width=8,
        ),
    ),
)

PROCESS = Row(
    "Process",
    (
        lines(
            "CPU",
            "How many cores does the operator use?",
            Query(each_pod("rate(process_cpu_seconds_total[$__rate_interval])"), "{{pod}}"),
            empty="No operator was scraped in this time",
            width=8,
        ),
        lines(
            "Memory over time",
            "Does the operator's memory grow?",
            Query(each_pod("process_resident_memory_bytes"), "{{pod}}"),
            empty="No operator was scraped in this time",
            unit="bytes",
            width=8,
        ),
        lines(
            "Policies set per hour",
            "How often does the operator set RabbitMQ policies? If it goes on, another program changes them.",
            Query(increase("workqueue_operator_policies_set_total", "1h"), "policies"),
            empty="No operator was scraped in this time",
            width=8,
        ),
    ),
    collapsed=True,
)

DASHBOARD = Dashboard(
    "workqueue-operator",
    "WorkQueue / Operator",
    "The operator itself: whether it reads and decides, how fast it is, and which errors it has.",
    (NOW, SPEED, ACTIONS, ERRORS, PROCESS),
    annotations=tuple(one for one in ONE_QUEUE.annotations if one.name == "Operator started"),
)
