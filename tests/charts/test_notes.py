"""What helm prints after an install: the next step, and a warning where something will surprise."""

from tests.support.helm import Helm

BROKER = {"broker": {"secretName": "rabbitmq"}}


def test_operator_says_the_next_steps(helm: Helm) -> None:
    notes = helm.notes("workqueue-operator")
    assert "rollout status deployment/thumbnails-workqueue-operator" in notes
    assert "kubectl --namespace NAMESPACE create secret generic rabbitmq" in notes
    assert "helm install thumbnails charts/workqueue --namespace NAMESPACE --set broker.secretName=rabbitmq" in notes
    assert "--set image.repository=REGISTRY/worker --set image.tag=TAG" in notes
    assert "the whole cluster" in notes


def test_the_next_steps_of_an_operator_that_serves_some_namespaces_are_in_one_of_them(helm: Helm) -> None:
    notes = helm.notes("workqueue-operator", {"watchNamespaces": ["blue", "green"]})
    assert "blue, green" in notes
    for command in (
        "kubectl --namespace blue create secret",
        "charts/workqueue --namespace blue",
        "blue get workqueues",
    ):
        assert command in notes


def test_operator_says_what_an_uninstall_does_to_workqueues(helm: Helm) -> None:
    assert "leaves the definition of WorkQueue" in helm.notes("workqueue-operator")
    assert "deletes the definition of WorkQueue" in helm.notes("workqueue-operator", {"crds": {"keep": False}})


def test_an_object_for_the_prometheus_operator_without_labels_is_warned_about(helm: Helm) -> None:
    for chart, field, values in (
        ("workqueue-operator", "serviceMonitor", {}),
        ("workqueue-operator", "prometheusRule", {}),
        ("workqueue", "podMonitor", BROKER),
    ):
        bare = helm.notes(chart, {**values, field: {"enabled": True}})
        labelled = helm.notes(chart, {**values, field: {"enabled": True, "additionalLabels": {"release": "p"}}})
        assert f"Set {field}.additionalLabels" in bare
        assert bare.count("WARNING") == 1
        assert "WARNING" not in labelled
        assert "WARNING" not in helm.notes(chart, values)


def test_alerts_without_the_address_of_their_runbooks_are_pointed_out(helm: Helm) -> None:
    words = "set prometheusRule.runbookUrlPattern"
    assert words in helm.notes("workqueue-operator", {"prometheusRule": {"enabled": True}})
    pattern = {"enabled": True, "runbookUrlPattern": "https://docs.example.com/runbooks.md#%s"}
    assert words not in helm.notes("workqueue-operator", {"prometheusRule": pattern})
    assert words not in helm.notes("workqueue-operator")


def test_queue_says_how_to_watch_it(helm: Helm) -> None:
    notes = helm.notes("workqueue", {**BROKER, "queue": {"name": "task_queue"}})
    assert "Queue task_queue" in notes
    assert "thumbnails-worker, 0 to 50" in notes
    assert "task_queue.dead" in notes
    assert "0 to 0" in helm.notes("workqueue", {**BROKER, "scaling": {"maxReplicas": 0}})
    assert "get workqueue thumbnails --watch" in notes
    assert "describe workqueue thumbnails" in notes


def test_a_mode_that_does_not_scale_is_pointed_out(helm: Helm) -> None:
    assert "mode is" not in helm.notes("workqueue", BROKER)
    assert "mode is DryRun" in helm.notes("workqueue", {**BROKER, "mode": "DryRun"})
    assert "mode is Paused" in helm.notes("workqueue", {**BROKER, "mode": "Paused"})
