"""One WorkQueue, read from top to bottom: what is, what was decided, how long tasks take, how they end."""

from dev.dashboards.model import Annotation, Dashboard, Kind, Panel, Query, Row, Shows, Style, Variable
from dev.dashboards.shapes import (
    AGE_UNKNOWN,
    AGE_UNKNOWN_WHEN,
    BLUE,
    NO_AGE,
    PURPLE,
    WAIT_STEPS,
    bars,
    dead_letters,
    lines,
    quantiles,
    stacked,
    stat,
)

S = '{namespace="$namespace", workqueue="$workqueue"}'
#: Of the workers' metrics; their namespace is that of the scrape.
W = '{namespace="$namespace", queue="$queue"}'
POD = 'namespace="$namespace", pod=~"$deployment-.*"'


def of_queue(metric: str) -> str:
    """The operator's number of this queue, under one name before and after a restart of the operator."""
    return f"max(workqueue_operator_{metric}{S})"


def per_second(total: str, window: str = "$__rate_interval") -> str:
    """How fast a total of the broker grows."""
    return f"max(rate(workqueue_operator_{total}{S}[{window}]))"


READY = of_queue("messages_ready")
AGE = of_queue("oldest_message_age_seconds")
REASON = f"max by (reason) (workqueue_operator_decision_reason{S} == 1)"
PUBLISHED, ACKED = "messages_published_total", "messages_acked_total"

UNDECIDED = "Nothing is decided"
NO_WORKER = "no worker may run"
NEEDS_MANAGEMENT = "the broker's Secret has no management_uri"
NOT_SCRAPED = "kube-state-metrics and cAdvisor are the cluster's"


def or_zero(counted: str, label: str) -> str:
    """0 while the operator knows the queue and no worker runs; nothing when no operator is scraped."""
    known = f"0 * sum(workqueue_operator_replicas{S})"
    return f'{counted} or label_replace({known}, "{label}", "none", "", "")'


NOW = Row(
    "Now",
    (
        stat("Waiting messages", "How many tasks wait?", READY, empty="Queue is not read", unit="short"),
        stat(
            "Oldest message",
            "How long has the next message of the queue waited? " + AGE_UNKNOWN_WHEN,
            AGE,
            empty=AGE_UNKNOWN,
            unit="s",
            steps=WAIT_STEPS,
            may_be_empty=NO_AGE,
        ),
        stat(
            "Workers",
            "How many workers run, how many does the queue ask for, and how many may run?",
            Query(of_queue("replicas"), "running"),
            Query(of_queue("wanted_replicas"), "wanted"),
            Query(of_queue("max_replicas"), "maximum"),
            empty="No operator seen",
        ),
        stat("Reason", "Why does the queue have this number of workers?", REASON, empty=UNDECIDED, shows=Shows.REASON),
        stat(
            "Time to drain",
            "How long until the queue is empty, at the rates of the last five minutes?",
            f"{READY} / ({per_second(ACKED, '5m')} - {per_second(PUBLISHED, '5m')} > 0.001)",
            empty="Never, or unknown",
            unit="s",
            may_be_empty="a queue that grows or stands still is never empty",
        ),
        dead_letters(S, "How many dead-lettered tasks are in the dead-letter queue?"),
    ),
)

DECISIONS = Row(
    "Decisions",
    (
        lines(
            "Workers",
            "Does the number of workers follow the queue, and which bound limits it?",
            Query(of_queue("replicas"), "running"),
            Query(of_queue("ready_replicas"), "ready"),
            Query(of_queue("wanted_replicas"), "wanted"),
            Query(of_queue("desired_replicas"), "desired now"),
            Query(of_queue("min_replicas"), "minimum"),
            Query(of_queue("max_replicas"), "maximum"),
            empty="Nothing was decided in this time",
            style=Style.STEPS,
        ),
        lines(
            "Waiting and unacknowledged messages",
            "What did the operator read from the queue?",
            Query(READY, "waiting"),
            Query(of_queue("messages_unacknowledged"), "unacknowledged", NEEDS_MANAGEMENT),
            empty="The queue could not be read in this time",
            unit="short",
        ),
        Panel(
            Kind.STATES,
            "Reasons",
            "Which rule decided the number of workers, and for how long?",
            (Query(REASON, "{{reason}}"),),
            "Nothing was decided in this time",
            width=24,
            height=6,
        ),
    ),
)

DURATIONS = Row(
    "Waiting time and duration",
    (
        lines(
            "Oldest message",
            "How long has the next message of the queue waited? " + AGE_UNKNOWN_WHEN,
            Query(AGE, "oldest"),
            empty=AGE_UNKNOWN,
            unit="s",
            steps=WAIT_STEPS,
            width=8,
            may_be_empty=NO_AGE,
        ),
        lines(
            "Time until start",
            "How long did the tasks that started wait? The histogram ends at one hour.",
            *quantiles("workqueue_task_wait_seconds", W),
            empty="No task started in this time",
            unit="s",
            width=8,
        ),
        lines(
            "Task duration",
            "How long do the handlers take? The histogram ends at one hour.",
            *quantiles("workqueue_task_duration_seconds", W),
            empty="No task ended in this time",
            unit="s",
            width=8,
        ),
    ),
)

OUTCOMES = Row(
    "Throughput and failures",
    (
        lines(
            "Published and acked messages",
            "Do the workers keep up? The broker counts, so tasks of workers that live for seconds are included.",
            Query(per_second(PUBLISHED), "published"),
            Query(per_second(ACKED), "acked"),
            Query(per_second("messages_redelivered_total"), "redelivered"),
            empty="Needs management_uri in the broker's Secret",
            unit="mps",
            width=8,
            may_be_empty=NEEDS_MANAGEMENT,
        ),
        lines(
            "Failed attempts",
            "How many attempts fail, and why?",
            Query(
                or_zero(f"sum by (reason) (rate(workqueue_tasks_failed_total{W}[$__rate_interval]))", "reason"),
                "{{reason}}",
            ),
            empty="No operator was scraped in this time",
            unit="mps",
            width=8,
        ),
        lines(
            "Dead-lettered tasks",
            "How many tasks were dead-lettered within five minutes, and why?",
            Query(
                or_zero(f"sum by (reason) (increase(workqueue_tasks_dead_lettered_total{W}[5m]))", "reason"),
                "{{reason}}",
            ),
            empty="No operator was scraped in this time",
            width=8,
        ),
    ),
)

WORKERS = Row(
    "Worker pods",
    (
        lines(
            "Worker use",
            "Which share of the workers' time is spent on tasks?",
            Query(
                f"sum(rate(workqueue_worker_busy_seconds_total{W}[$__rate_interval])) / sum(workqueue_worker_slots{W})",
                "busy",
            ),
            empty="No worker was scraped in this time",
            unit="percentunit",
        ),
        bars(
            "Scale-down",
            "Were the workers that a scale-down removed idle or busy? A busy worker finishes its task before it ends.",
            Query(
                f"sum by (state) (increase(workqueue_operator_scale_down_victims_total{S}[$__rate_interval]))",
                "{{state}}",
            ),
            empty="No operator was scraped in this time",
        ),
        stacked(
            "Pods by phase",
            "Do the pods start?",
            Query(f"sum by (phase) (kube_pod_status_phase{{{POD}}})", "{{phase}}"),
            empty="Needs kube-state-metrics",
            may_be_empty=NOT_SCRAPED,
        ),
        lines(
            "Memory of the largest pod",
            "Is a worker near its memory limit?",
            Query(f'max(container_memory_working_set_bytes{{{POD}, container="worker"}})', "largest"),
            Query(f'max(kube_pod_container_resource_limits{{{POD}, container="worker", resource="memory"}})', "limit"),
            empty="Needs cAdvisor and kube-state-metrics",
            unit="bytes",
            may_be_empty=NOT_SCRAPED,
        ),
    ),
    collapsed=True,
)


def hidden(name: str) -> Variable:
    """The queue or Deployment of the chosen WorkQueue, by which other programs' metrics name it."""
    return Variable(name, name.title(), f"workqueue_operator_workqueue_info{S}", name, hidden=True)


DASHBOARD = Dashboard(
    "workqueue-queue",
    "WorkQueue / One queue",
    "One WorkQueue: what waits, what the operator decided and why, how long tasks take, and how they end.",
    (NOW, DECISIONS, DURATIONS, OUTCOMES, WORKERS),
    (
        Variable("namespace", "Namespace", "workqueue_operator_condition", "namespace"),
        Variable("workqueue", "WorkQueue", 'workqueue_operator_condition{namespace="$namespace"}', "workqueue"),
        hidden("queue"),
        hidden("deployment"),
    ),
    (
        Annotation(
            "Scales",
            f"workqueue_operator_last_scale_timestamp_seconds{S} * 1000",
            "Scaled: {{reason}}",
            "{{namespace}}/{{workqueue}}",
            BLUE,
        ),
        Annotation(
            "Operator started",
            "process_start_time_seconds * 1000 and on (job, instance) workqueue_operator_build_info",
            "Operator started",
            "{{instance}}",
            PURPLE,
        ),
    ),
)
