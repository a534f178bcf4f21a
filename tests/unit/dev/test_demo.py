"""The demo shows what it has read: a read that failed is no zero, and what was sent is what was confirmed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dev import sender
from dev.demo_view import ACKED, CONSUMERS, View
from dev.kube import CommandFailed, Kube, Proxy
from dev.reaction import first_growth, in_words

SENT = '{"queue": "q", "confirmed": 58, "first_publish_time": 1767323045.6, "exit_code": 0}\n'
PUBLISHED = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)


class FakeProxy(Proxy):
    """Answers from dictionaries; what is not in them cannot be read."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.objects: dict[str, Any] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.pages: dict[str, dict[str, float]] = {}

    def data(self, path: str) -> Any:
        return self.objects.get(path.rpartition("/")[2])

    def items(self, path: str) -> Any:
        return self.lists.get(path.rpartition("%3D")[2])

    def metrics(self, namespace: str, pod: str, port: int) -> dict[str, float] | None:
        return self.pages.get(pod)


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": "Running"}}


@pytest.fixture
def proxy() -> FakeProxy:
    proxy = FakeProxy()
    proxy.objects["jobs"] = {"status": {"replicas": 2, "desiredReplicas": 2}}
    proxy.lists = {"jobs": [pod("a"), pod("b")], "workqueue-operator": [pod("operator")]}
    proxy.pages = {
        "operator": {'workqueue_operator_messages_ready{queue="jobs"}': 7.0},
        "a": {"workqueue_tasks_in_progress": 1.0},
        "b": {"workqueue_tasks_in_progress": 0.0},
        "rabbitmq-0": {f'{ACKED}{{queue_type="rabbit_classic_queue"}}': 3.0, f'{ACKED}{{queue_type="x"}}': 4.0},
    }
    return proxy


def numbers(view: View) -> tuple[int | None, int, int, int, bool]:
    return view.waiting, view.in_progress, view.replicas, view.count(ACKED), view.quiet


def test_what_cannot_be_read_keeps_its_last_value(proxy: FakeProxy) -> None:
    view = View(proxy, "demo", "jobs")
    view.look()
    assert numbers(view) == (7, 1, 2, 7, False)
    proxy.objects, proxy.lists, proxy.pages = {}, {}, {}
    view.look()
    assert numbers(view) == (7, 1, 2, 7, False)


def test_what_was_never_read_is_unknown_and_not_quiet(proxy: FakeProxy) -> None:
    proxy.objects, proxy.lists, proxy.pages = {}, {}, {}
    view = View(proxy, "demo", "jobs")
    view.look()
    assert view.waiting is None
    assert not view.quiet


def test_a_worker_that_has_gone_has_no_task_and_what_it_acked_the_broker_reports(proxy: FakeProxy) -> None:
    view = View(proxy, "demo", "jobs")
    view.look()
    view.forget()
    proxy.lists["jobs"] = []
    proxy.pages["rabbitmq-0"] = {ACKED: 9.0, CONSUMERS: 0.0}
    proxy.pages["operator"] = {'workqueue_operator_messages_ready{queue="jobs"}': 0.0}
    view.look()
    assert (view.count(ACKED), view.in_progress, view.quiet) == (2, 0, True)


def test_it_is_not_quiet_while_the_broker_has_a_consumer_that_may_ack(proxy: FakeProxy) -> None:
    view = View(proxy, "demo", "jobs")
    proxy.lists["jobs"] = []
    proxy.pages["operator"] = {'workqueue_operator_messages_ready{queue="jobs"}': 0.0}
    proxy.pages["rabbitmq-0"] = {ACKED: 9.0, CONSUMERS: 1.0}
    view.look()
    assert not view.quiet
    proxy.pages["rabbitmq-0"] = {ACKED: 10.0, CONSUMERS: 0.0}
    view.look()
    assert view.quiet


def test_what_a_worker_acked_before_it_was_seen_to_be_gone_is_counted_as_before(proxy: FakeProxy) -> None:
    class Going(FakeProxy):
        """Its workers ack a last task as they go."""

        def items(self, path: str) -> Any:
            if path.endswith("%3Djobs"):
                self.pages["rabbitmq-0"] = {ACKED: 10.0, CONSUMERS: 0.0}
            return super().items(path)

    going = Going()
    going.objects, going.lists, going.pages = proxy.objects, {**proxy.lists, "jobs": []}, proxy.pages
    view = View(going, "demo", "jobs")
    view.look()
    view.forget()
    view.look()
    assert view.count(ACKED) == 0


class FakeKube(Kube):
    """Logs of the sender's pod, and whether it has one."""

    def __init__(self, log: str, pods: int = 1) -> None:
        super().__init__("nowhere")
        self._log, self._pods = log, pods

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return self._log

    def get(self, *arguments: str) -> Any:
        return {"items": [{}] * self._pods}


def job(condition: str | None, **more: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": condition, "status": "True", **more}] if condition else []}}


def test_what_was_sent_is_what_new_task_had_confirmed() -> None:
    sent = sender.result(FakeKube(f"a warning\n{SENT}"), "demo", job("Complete"))
    assert sent == sender.Sent(58, PUBLISHED)


@pytest.mark.parametrize("unfinished", [None, {}, job(None), job("SuccessCriteriaMet")])
def test_nothing_is_known_to_be_sent_before_the_sender_has_ended(unfinished: dict[str, Any] | None) -> None:
    assert sender.result(FakeKube(SENT), "demo", unfinished) is None


def test_a_sender_that_failed_ends_the_demo_with_its_words() -> None:
    failed = job("Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")
    with pytest.raises(CommandFailed, match=r"backoff limit\nnew-task: the broker refuses"):
        sender.result(FakeKube("new-task: the broker refuses\n"), "demo", failed)
    with pytest.raises(CommandFailed, match="the sender failed: DeadlineExceeded"):
        sender.result(FakeKube("", pods=0), "demo", job("Failed", reason="DeadlineExceeded"))


def log(*lines: tuple[str, str]) -> str:
    return "starting\n" + "".join(
        f'{{"time": "2026-01-02T03:{time}+00:00", "message": "{text}"}}\n' for time, text in lines
    )


def test_the_first_step_up_from_zero_after_the_publish_counts() -> None:
    text = log(
        ("01:00.000", "demo/jobs: Backlog: 0 -> 3: 15 ready"),  # of an earlier run
        ("04:05.900", "demo/jobs: Backlog: 0 -> 12: 60 ready"),
        ("04:06.900", "demo/jobs: Backlog: 12 -> 13: 65 ready"),
        ("04:30.000", "demo/jobs: BacklogDrained: 12 -> 0: 0 ready"),
        ("04:40.000", "demo/jobs: AtMaxReplicas: 0 -> 12: 90 ready"),
    )
    assert in_words(PUBLISHED, first_growth(text, PUBLISHED)) == "0.30 s"


def test_no_time_is_made_up() -> None:
    assert in_words(PUBLISHED, first_growth(log(), PUBLISHED)) == "not seen"
    early = log(("04:05.590", "demo/jobs: AtMaxReplicas: 0 -> 12: 60 ready"))
    assert in_words(PUBLISHED, first_growth(early, PUBLISHED)) == "less than these nodes' clocks differ"
