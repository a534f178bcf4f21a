"""The names of the metrics that operator, worker and producer export."""

from dev.dashboards.names import exported

#: Without the endings of their samples. Source: client-go util/workqueue/metrics.go and component-base's provider.
CLIENT_GO = {
    *("workqueue_depth", "workqueue_adds", "workqueue_queue_duration_seconds", "workqueue_work_duration_seconds"),
    *("workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds", "workqueue_retries"),
}


def test_no_metric_has_a_name_of_client_go() -> None:
    """Its metrics begin with `workqueue_` too, and dashboards of other products query them."""
    names = {name.removesuffix(suffix) for name in exported() for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    assert not names & CLIENT_GO
