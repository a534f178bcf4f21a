"""What the tests of alerts and dashboards know about metrics and queries."""

from metric_names import exported, used

#: Without the endings of their samples. Source: client-go util/workqueue/metrics.go and component-base's provider.
CLIENT_GO = {
    *("workqueue_depth", "workqueue_adds", "workqueue_queue_duration_seconds", "workqueue_work_duration_seconds"),
    *("workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds", "workqueue_retries"),
}


def test_metrics_of_all_three_parts_are_known_with_their_labels() -> None:
    known = exported()
    assert known["workqueue_operator_messages_ready"] == {"namespace", "workqueue"}
    assert known["workqueue_operator_decisions_total"] == {"reason"}
    assert known["workqueue_operator_heartbeat_age_seconds"] == frozenset()
    assert known["workqueue_tasks_failed_total"] == {"queue", "reason"}
    assert known["workqueue_task_wait_seconds_bucket"] == {"queue", "le"}
    assert known["workqueue_producer_broker_blocked"] == {"queue"}


def test_no_metric_has_a_name_of_client_go() -> None:
    """Its metrics begin with `workqueue_` too, and dashboards of other products query them."""
    names = {name.removesuffix(suffix) for name in exported() for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    assert not names & CLIENT_GO


def test_a_query_is_taken_apart() -> None:
    found = used(
        'sum by (namespace, queue) (rate(workqueue_tasks_failed_total{reason!="rejected", queue=~"a|b"}[5m])) '
        "/ on (namespace) group_left (mode) workqueue_operator_replicas > queue:workqueue_tasks_late:ratio"
    )
    assert found.matched == {
        "workqueue_tasks_failed_total": {"reason", "queue"},
        "workqueue_operator_replicas": frozenset(),
    }
    assert found.grouped == {"namespace", "queue", "mode"}
