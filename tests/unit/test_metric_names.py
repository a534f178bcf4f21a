"""What the tests of alerts and dashboards know about metrics and queries."""

from metric_names import exported, used


def test_metrics_of_all_three_parts_are_known_with_their_labels() -> None:
    known = exported()
    assert known["workqueue_operator_messages_ready"] == {"namespace", "workqueue"}
    assert known["workqueue_operator_decisions_total"] == {"reason"}
    assert known["workqueue_operator_heartbeat_age_seconds"] == frozenset()
    assert known["workqueue_tasks_failed_total"] == {"queue", "reason"}
    assert known["workqueue_task_wait_seconds_bucket"] == {"queue", "le"}
    assert known["workqueue_producer_broker_blocked"] == {"queue"}


def test_a_query_is_taken_apart() -> None:
    found = used(
        'sum by (namespace, queue) (rate(workqueue_tasks_failed_total{reason!="rejected", queue=~"a|b"}[5m])) '
        "/ on (namespace) group_left (mode) workqueue_operator_replicas"
    )
    assert found.matched == {
        "workqueue_tasks_failed_total": {"reason", "queue"},
        "workqueue_operator_replicas": frozenset(),
    }
    assert found.grouped == {"namespace", "queue", "mode"}
