"""The custom resource on a real API server: defaults, refusals that name the remedy, pruning, columns, status.

Needs the definition, from the operator's chart; the operator looks at another namespace.
"""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

#: kubectl with its arguments; `stdin` is what -f - reads; `check=False` gives a failure back.
Kubectl = Callable[..., subprocess.CompletedProcess[str]]
#: What the fixtures `stored`, `refused` and `change` are; the first two take fields of the spec by name.
Create = Callable[..., dict[str, Any]]
Refused = Callable[..., str]
Change = Callable[[dict[str, Any]], subprocess.CompletedProcess[str]]


def workqueue(**spec: Any) -> str:
    """The shortest WorkQueue, with more of its spec."""
    return json.dumps(
        {
            "apiVersion": "workqueue.dev/v1alpha1",
            "kind": "WorkQueue",
            "metadata": {"name": "tasks"},
            "spec": {"broker": {"secretName": "rabbitmq"}, "scaleTargetRef": {"name": "worker"}, **spec},
        }
    )


@pytest.fixture
def stored(kubectl: Kubectl, unserved_namespace: str) -> Create:
    """Create a WorkQueue; returns it as the API server keeps it."""

    def create(**spec: Any) -> dict[str, Any]:
        answer = kubectl("create", "-n", unserved_namespace, "-o", "json", "-f", "-", stdin=workqueue(**spec))
        made: dict[str, Any] = json.loads(answer.stdout)
        return made

    return create


@pytest.fixture
def refused(kubectl: Kubectl, unserved_namespace: str) -> Refused:
    """The API server's words about a spec that it does not take."""

    def create(**spec: Any) -> str:
        arguments = ("create", "-n", unserved_namespace, "--dry-run=server", "-f", "-")
        answer = kubectl(*arguments, stdin=workqueue(**spec), check=False)
        assert answer.returncode != 0, f"accepted: {spec}"
        return answer.stderr

    return create


@pytest.fixture
def change(kubectl: Kubectl, unserved_namespace: str) -> Change:
    """Try to change the spec of the stored WorkQueue."""

    def patch(spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        arguments = ("patch", "wq", "tasks", "-n", unserved_namespace, "--type=merge", "--dry-run=server")
        return kubectl(*arguments, "-p", json.dumps({"spec": spec}), check=False)

    return patch


def test_defaults_are_stored(stored: Create) -> None:
    assert stored()["spec"] == {
        "mode": "Active",
        "broker": {"secretName": "rabbitmq"},
        "queue": {"type": "Quorum", "declare": "Create", "deliveryLimit": 20},
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
        "taskTimeoutSeconds": 600,
        "scaling": {
            "minReplicas": 0,
            "maxReplicas": 50,
            "messagesPerReplica": 5,
            "pollPeriodSeconds": 1,
            "scaleUp": {"maxStep": 0},
            "scaleDown": {"stabilizationWindowSeconds": 60},
        },
        "workers": {"metricsPort": 8000},
    }


def test_a_fallback_has_its_delay_by_default(stored: Create) -> None:
    assert stored(scaling={"fallback": {"replicas": 2}})["spec"]["scaling"]["fallback"] == {
        "afterSeconds": 60,
        "replicas": 2,
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"scaling": {"minReplicas": 9, "maxReplicas": 8}}, "Lower minReplicas or raise maxReplicas"),
        ({"scaling": {"minReplicas": 51}}, "Lower minReplicas or raise maxReplicas"),
        ({"scaling": {"maxReplicas": 8, "fallback": {"replicas": 9}}}, "Lower fallback.replicas or raise maxReplicas"),
        ({"queue": {"deadLetterQueue": "tasks"}}, "deadLetterQueue is the queue itself"),
        ({"queue": {"name": "a", "deadLetterQueue": "a"}}, "deadLetterQueue is the queue itself"),
        ({"queue": {"name": "amq.gen"}}, "starts with amq."),
        ({"queue": {"deadLetterQueue": "amq.gen"}}, "starts with amq."),
        ({"queue": {"name": "ü" * 126}}, "longer than 250 bytes"),
        ({"queue": {"name": "ü" * 128, "deadLetterQueue": "dead"}}, "longer than 255 bytes"),
        ({"queue": {"name": "two\nlines"}}, "spec.queue.name"),
        ({"mode": "active"}, '"Active", "DryRun", "Paused"'),
        ({"queue": {"type": "quorum"}}, '"Quorum", "Classic"'),
        ({"scaleTargetRef": {"name": "worker", "kind": "StatefulSet"}}, '"Deployment"'),
        ({"scaleTargetRef": {}}, "spec.scaleTargetRef.name: Required"),
        ({"broker": {}}, "spec.broker.secretName: Required"),
        ({"scaling": {"fallback": {}}}, "spec.scaling.fallback.replicas: Required"),
        ({"scaling": {"maxReplicas": 10_001}}, "less than or equal to 10000"),
        ({"scaling": {"messagesPerReplica": 0}}, "greater than or equal to 1"),
        ({"scaling": {"messagesPerReplica": 2.5}}, "must be of type integer"),
        ({"scaling": {"pollPeriodSeconds": 61}}, "less than or equal to 60"),
        ({"scaling": {"scaleDown": {"stabilizationWindowSeconds": 3601}}}, "less than or equal to 3600"),
        ({"taskTimeoutSeconds": 86_401}, "less than or equal to 86400"),
    ],
    ids=str,
)
def test_refused(refused: Refused, spec: dict[str, Any], words: str) -> None:
    assert words in refused(**spec)


def test_a_misspelt_field_is_an_error_that_names_it(refused: Refused) -> None:
    assert 'unknown field "spec.scaling.maxReplica"' in refused(scaling={"maxReplica": 3})


def test_a_misspelt_field_is_not_kept_where_the_client_does_not_ask_for_strictness(
    kubectl: Kubectl, unserved_namespace: str
) -> None:
    arguments = ("create", "-n", unserved_namespace, "--validate=ignore", "-o", "json", "-f", "-")
    answer = kubectl(*arguments, stdin=workqueue(scaling={"maxReplica": 3}))
    assert "maxReplica" not in json.loads(answer.stdout)["spec"]["scaling"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"queue": {"name": "other"}}, "spec.queue.name cannot change"),
        ({"queue": {"type": "Classic"}}, "spec.queue.type cannot change"),
        ({"scaleTargetRef": {"name": "other"}}, "spec.scaleTargetRef.name cannot change"),
    ],
    ids=str,
)
def test_names_cannot_change(stored: Create, change: Change, spec: dict[str, Any], words: str) -> None:
    stored()
    answer = change(spec)
    assert answer.returncode != 0
    assert words in answer.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {"queue": {"name": "tasks"}},  # what it was by default, now in words
        {"queue": {"deadLetterQueue": "lost", "deliveryLimit": 3, "declare": "Never"}},
        {"broker": {"secretName": "another-login"}},
        {"mode": "Paused"},
        {"scaling": {"minReplicas": 7, "maxReplicas": 7}},
        {"scaling": None},  # back to the defaults
        {"queue": None},
    ],
    ids=str,
)
def test_the_rest_may_change(stored: Create, change: Change, spec: dict[str, Any]) -> None:
    stored()
    answer = change(spec)
    assert answer.returncode == 0, answer.stderr


def test_a_name_given_once_cannot_be_taken_away(stored: Create, change: Change) -> None:
    stored(queue={"name": "task_queue"})
    assert "spec.queue.name cannot change" in change({"queue": {"name": None}}).stderr


def test_status_is_written_through_its_own_door_only(kubectl: Kubectl, unserved_namespace: str, stored: Create) -> None:
    body = json.loads(workqueue())
    body["status"] = {"messagesReady": 4711}
    created = kubectl("create", "-n", unserved_namespace, "-o", "json", "-f", "-", stdin=json.dumps(body))
    assert "messagesReady" not in json.loads(created.stdout).get("status", {})
    patch = json.dumps({"spec": {"mode": "Paused"}, "status": {"messagesReady": 4711}})
    arguments = ("patch", "wq", "tasks", "-n", unserved_namespace, "--type=merge", "-o", "json", "-p", patch)
    assert "messagesReady" not in json.loads(kubectl(*arguments).stdout).get("status", {})
    after = json.loads(kubectl(*arguments, "--subresource=status").stdout)
    assert after["status"]["messagesReady"] == 4711
    assert after["metadata"]["generation"] == 2, "the spec's change counted, the status' did not"


def test_columns_show_how_many_wait_how_many_work_and_why(
    kubectl: Kubectl, unserved_namespace: str, stored: Create
) -> None:
    stored(queue={"name": "task_queue"})
    time = "2026-01-02T03:04:05Z"
    decision = {"time": time, "replicas": 8, "reason": "Backlog", "message": "40 ready / 5 = 8 workers"}
    ready = {"type": "Ready", "status": "False", "reason": "X", "message": "", "lastTransitionTime": time}
    status = {
        "wantedReplicas": 9,
        "desiredReplicas": 8,
        "replicas": 3,
        "readyReplicas": 2,
        "messagesReady": 40,
        "lastDecision": decision,
        "recentDecisions": [decision] * 10,
        "conditions": [ready],
    }
    arguments = ("patch", "wq", "tasks", "-n", unserved_namespace, "--type=merge", "--subresource=status")
    kubectl(*arguments, "-p", json.dumps({"status": status}))
    names, values = kubectl("get", "wq", "-n", unserved_namespace).stdout.splitlines()
    assert names.split() == [
        *("NAME", "READY", "QUEUE", "WAITING", "WANTED", "DESIRED", "REPLICAS", "READY-WORKERS", "REASON", "AGE")
    ]
    assert values.split()[:-1] == ["tasks", "False", "task_queue", "40", "9", "8", "3", "2", "Backlog"]
    names, values = kubectl("get", "workqueues", "-n", unserved_namespace, "-o", "wide").stdout.splitlines()
    assert names.split()[-3:] == ["MESSAGE", "MIN", "MAX"]
    assert "40 ready / 5 = 8 workers" in values
    assert values.split()[-2:] == ["0", "50"]


def test_no_operator_has_looked_yet_is_what_a_new_one_says(stored: Create) -> None:
    assert stored()["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("spec.mode=Paused", True),
        ("spec.mode=Active", False),
        ("spec.broker.secretName=rabbitmq", True),
        ("spec.broker.secretName!=rabbitmq", False),
        ("spec.scaleTargetRef.name=worker", True),
    ],
)
def test_it_is_found_by_its_fields(
    kubectl: Kubectl, unserved_namespace: str, stored: Create, selector: str, found: bool
) -> None:
    """By Kubernetes 1.31 and newer."""
    stored(mode="Paused")
    answer = kubectl("get", "wq", "-n", unserved_namespace, "--field-selector", selector, "-o", "name")
    assert bool(answer.stdout.strip()) == found


def test_an_eleventh_recent_decision_is_refused(kubectl: Kubectl, unserved_namespace: str, stored: Create) -> None:
    stored()
    decision = {"time": "2026-01-02T03:04:05Z", "replicas": 8, "reason": "Backlog", "message": ""}
    patch = json.dumps({"status": {"recentDecisions": [decision] * 11}})
    arguments = ("patch", "wq", "tasks", "-n", unserved_namespace, "--type=merge", "--subresource=status", "-p", patch)
    assert "must have at most 10 items" in kubectl(*arguments, check=False).stderr


def test_one_condition_of_a_type(kubectl: Kubectl, unserved_namespace: str, stored: Create) -> None:
    stored()
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "A",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    patch = json.dumps({"status": {"conditions": [ready, ready]}})
    arguments = ("patch", "wq", "tasks", "-n", unserved_namespace, "--type=merge", "--subresource=status", "-p", patch)
    assert "Duplicate value" in kubectl(*arguments, check=False).stderr


def test_kubectl_explains_every_field_with_its_default(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "wq.spec.scaling.scaleDown.stabilizationWindowSeconds").stdout
    assert "Default: 60." in " ".join(explained.split())
    fields = kubectl("explain", "workqueues.spec", "--recursive").stdout
    assert {"secretName", "deadLetterQueue", "drainSeconds", "afterSeconds", "metricsPort"} <= set(fields.split())
