"""The workers of one queue, and its producers."""

from dev.dashboards.model import Dashboard, Kind, Panel, Query, Row, Shows, Variable
from dev.dashboards.shapes import ANY_IS_ORANGE, lines, quantiles, stat

W = '{namespace="$namespace", queue="$queue"}'
PODS = '{namespace="$namespace", queue="$queue", pod=~"$pod"}'
#: Of the producers, in whichever namespace they run.
Q = '{queue="$queue"}'

NO_WORKER = "No worker seen"
NO_WORKER_THEN = "No worker was scraped in this time"
NO_PRODUCER = "No producer is scraped"
PRODUCERS = "applications that publish are scraped by their own teams"


def spread(number: str, *parts: str) -> tuple[Query, ...]:
    """The largest, the median and the smallest of the pods: one line for each would hide the few that differ."""
    known = {"highest": f"max({number})", "median": f"quantile(0.5, {number})", "lowest": f"min({number})"}
    return tuple(Query(known[part], part) for part in parts or known)


def own(process_metric: str) -> str:
    """A number of the workers' processes, which every scraped program has under this name."""
    return f"{process_metric} and on (namespace, pod) workqueue_tasks_in_progress{PODS}"


NOW = Row(
    "Now",
    (
        stat(
            "Connected workers",
            "How many workers consume from the broker, of how many workers?",
            Query(f"sum(workqueue_broker_connected{W})", "connected"),
            Query(f"count(workqueue_broker_connected{W})", "of"),
            empty=NO_WORKER,
        ),
        stat(
            "Tasks in progress",
            "How many tasks are in progress, of how many at most?",
            Query(f"sum(workqueue_tasks_in_progress{W})", "in progress"),
            Query(f"sum(workqueue_worker_slots{W})", "at most"),
            empty=NO_WORKER,
        ),
        stat(
            "Stopping workers",
            "How many workers take no more tasks, finish theirs, and then end?",
            f"sum(workqueue_worker_draining{W})",
            empty=NO_WORKER,
        ),
        stat(
            "Lost acks, 1 h",
            "How many finished tasks lost their ack with the connection? They run a second time.",
            f"sum(increase(workqueue_tasks_acks_lost_total{W}[1h]))",
            empty=NO_WORKER,
            steps=ANY_IS_ORANGE,
        ),
        stat(
            "Versions",
            "Which versions run, and with which handler? During a rollout it shows two.",
            Query(f"count by (version, handler) (workqueue_worker_info{W})", "{{version}} {{handler}}"),
            empty=NO_WORKER,
            shows=Shows.NAMED_VALUE,
            width=8,
        ),
    ),
)

TASKS = Row(
    "Tasks",
    (
        lines(
            "Tasks per worker",
            "Does a worker do less than the others? To see one worker, choose its pod above.",
            *spread(f"rate(workqueue_tasks_acked_total{PODS}[$__rate_interval])"),
            empty=NO_WORKER_THEN,
            unit="mps",
        ),
        Panel(
            Kind.HEATMAP,
            "Task duration",
            "How long do most tasks take, and are there short and long ones?",
            (
                Query(
                    f"sum by (le) (increase(workqueue_task_duration_seconds_bucket{PODS}[$__rate_interval]))", "{{le}}"
                ),
            ),
            "No task ended in this time",
            unit="s",
        ),
        lines(
            "Requeued deliveries",
            "How many deliveries went back to the queue, and why?",
            Query(f"sum by (cause) (rate(workqueue_tasks_requeued_total{PODS}[$__rate_interval]))", "{{cause}}"),
            empty=NO_WORKER_THEN,
            unit="mps",
        ),
        lines(
            "Redelivered share",
            "Which share of the deliveries was delivered before? A high share means that workers end before they ack.",
            Query(
                f"sum(rate(workqueue_tasks_redelivered_total{PODS}[$__rate_interval])) / "
                f"(sum(rate(workqueue_tasks_received_total{PODS}[$__rate_interval])) > 0)",
                "redelivered",
            ),
            empty="No task was received in this time",
            unit="percentunit",
        ),
    ),
)

PROCESSES = Row(
    "Connection and process",
    (
        lines(
            "Reconnections per hour",
            "Do the workers lose their connections?",
            Query(f"sum(increase(workqueue_broker_reconnects_total{PODS}[1h]))", "all workers"),
            empty=NO_WORKER_THEN,
            width=8,
        ),
        lines(
            "Memory by worker",
            "Does the handler's memory grow?",
            *spread(own("process_resident_memory_bytes"), "highest", "median"),
            empty=NO_WORKER_THEN,
            unit="bytes",
            width=8,
        ),
        lines(
            "CPU by worker",
            "How many cores does a worker use? Near 0 its handler waits for another program.",
            *spread(own("rate(process_cpu_seconds_total[$__rate_interval])"), "highest", "median"),
            empty=NO_WORKER_THEN,
            width=8,
        ),
    ),
)

SENDERS = Row(
    "Producers",
    (
        lines(
            "Confirmed tasks",
            "How many tasks does the broker confirm to the producers?",
            Query(
                f"sum by (namespace) (rate(workqueue_producer_tasks_confirmed_total{Q}[$__rate_interval]))",
                "{{namespace}}",
            ),
            empty=NO_PRODUCER,
            unit="mps",
            width=8,
            may_be_empty=PRODUCERS,
        ),
        lines(
            "Publish to confirm",
            "How long does the broker take to confirm a task?",
            *quantiles("workqueue_producer_confirm_seconds", Q),
            empty=NO_PRODUCER,
            unit="s",
            width=8,
            may_be_empty=PRODUCERS,
        ),
        lines(
            "Blocked producers and resent tasks",
            "Does an alarm block producers, or do they resend because of a full queue or a lost connection?",
            Query(f"sum(workqueue_producer_broker_blocked{Q})", "blocked"),
            Query(
                f"sum by (cause) (rate(workqueue_producer_tasks_resent_total{Q}[$__rate_interval]))",
                "resent: {{cause}}",
            ),
            empty=NO_PRODUCER,
            width=8,
            may_be_empty=PRODUCERS,
        ),
    ),
    collapsed=True,
)

DASHBOARD = Dashboard(
    "workqueue-workers",
    "WorkQueue / Workers",
    "The workers of one queue: what they do, how long tasks take, and whether one worker differs from the others.",
    (NOW, TASKS, PROCESSES, SENDERS),
    (
        Variable("namespace", "Namespace", "workqueue_tasks_in_progress", "namespace"),
        Variable("queue", "Queue", 'workqueue_tasks_in_progress{namespace="$namespace"}', "queue"),
        Variable(
            "pod", "Pod", 'workqueue_tasks_in_progress{namespace="$namespace", queue="$queue"}', "pod", multiple=True
        ),
    ),
)
