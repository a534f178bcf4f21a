"""What `workqueue-operator get` prints is what `kubectl get wq` prints."""

from pathlib import Path

import yaml
from workqueue_operator.status.columns import PATHS, table

CRD = Path(__file__).parents[4] / "charts" / "workqueue-operator" / "templates" / "crd.yaml"
NEW = {"metadata": {"namespace": "team", "name": "orders"}, "spec": {}, "status": {"observedGeneration": -1}}
AT_WORK = {
    "metadata": {"namespace": "team", "name": "thumbnails"},
    "spec": {"queue": {"name": "task_queue"}},
    "status": {
        "conditions": [{"type": "QueueObserved", "status": "False"}, {"type": "Ready", "status": "True"}],
        "messagesReady": 60,
        "wantedReplicas": 12,
        "desiredReplicas": 12,
        "replicas": 12,
        "readyReplicas": 0,
        "lastDecision": {"reason": "Backlog"},
    },
}


def test_its_columns_are_those_of_the_definition() -> None:
    """All that kubectl shows without -o wide, but the age: these WorkQueues are as old as the program."""
    text = CRD.read_text()
    start = text.index("additionalPrinterColumns:")
    columns = yaml.safe_load(text[start : text.index("\n      schema:", start)])["additionalPrinterColumns"]
    shown = {one["name"].upper(): one["jsonPath"].lstrip(".") for one in columns if not one.get("priority")}
    assert shown.pop("AGE") == "metadata.creationTimestamp"
    assert shown.pop("READY") == 'status.conditions[?(@.type=="Ready")].status'
    assert shown == {name: path for name, path in PATHS.items() if name not in ("NAMESPACE", "NAME", "READY")}


def test_a_line_has_the_numbers_and_what_is_unknown_is_empty() -> None:
    heading, new, at_work = table([NEW, AT_WORK]).splitlines()
    assert heading.split() == list(PATHS)
    assert new.split() == ["team", "orders"]
    assert at_work.split() == ["team", "thumbnails", "True", "task_queue", "60", "12", "12", "12", "0", "Backlog"]
    assert at_work.index("60") == heading.index("WAITING")


def test_without_a_workqueue_there_are_the_headings() -> None:
    assert table([]).split() == list(PATHS)
