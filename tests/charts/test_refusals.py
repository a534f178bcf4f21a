"""Values that cannot be meant are refused before anything is installed, and the error names the field."""

import pytest

BROKER = {"broker": {"secretName": "rabbitmq"}}


def test_a_queue_needs_its_brokers_secret_and_the_error_says_how_to_make_one(helm):
    error = helm.refusal("workqueue", {})
    assert "broker.secretName is not set" in error
    assert "kubectl create secret generic" in error


def test_handler_and_command_exclude_each_other(helm):
    error = helm.refusal("workqueue", {**BROKER, "handler": "tasks:run", "command": ["true"]})
    assert "handler and command are both set" in error


def test_the_broker_must_not_give_up_before_the_worker_can_say_why(helm):
    values = {**BROKER, "maxAttempts": 6, "queue": {"deliveryLimit": 5}}
    assert "maxAttempts is more than queue.deliveryLimit" in helm.refusal("workqueue", values)
    assert helm.template("workqueue", {**values, "queue": {"deliveryLimit": 5, "type": "Classic"}})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"scaling": {"maxReplica": 3}}, "maxReplica"),
        ({"scaling": {"minReplicas": -1}}, "minReplicas"),
        ({"scaling": {"maxReplicas": "10"}}, "maxReplicas"),
        ({"scaling": {"messagesPerReplica": 0}}, "messagesPerReplica"),
        ({"scaling": {"pollPeriodSeconds": 61}}, "pollPeriodSeconds"),
        ({"scaling": {"scaleDown": {"stabilizationWindowSeconds": 3601}}}, "stabilizationWindowSeconds"),
        ({"scaling": {"fallback": {"afterSeconds": 5}}}, "replicas"),
        ({"mode": "paused"}, "mode"),
        ({"queue": {"type": "quorum"}}, "type"),
        ({"queue": {"vhost": "/"}}, "vhost"),
        ({"taskTimeoutSeconds": 0}, "taskTimeoutSeconds"),
        ({"taskTimeoutSeconds": 86_401}, "taskTimeoutSeconds"),
        ({"handler": "my_tasks.shrink"}, "handler"),
        ({"command": "convert -resize"}, "command"),
        ({"concurrency": 0}, "concurrency"),
        ({"metricsPort": 80}, "metricsPort"),
        ({"logFormat": "xml"}, "logFormat"),
        ({"replicas": 3}, "replicas"),
        ({"broker": {"uri": "amqp://guest:guest@host"}}, "uri"),
        ({"broker": {"secretName": "a..b"}}, "secretName"),
        ({"broker": {"secretName": 1234}}, "secretName"),
        ({"fullnameOverride": "a.b"}, "fullnameOverride"),
    ],
)
def test_queue_chart_refuses(helm, values, named):
    assert named in helm.refusal("workqueue", {**BROKER, **values})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 2}, "replicas"),
        ({"watchNamespaces": "blue"}, "watchNamespaces"),
        ({"watchNamespaces": ["Blue"]}, "watchNamespaces"),
        ({"watchNamespaces": ["blue", "blue"]}, "watchNamespaces"),
        ({"crds": {"install": True}}, "install"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"serviceMonitor": {"enabled": "yes"}}, "enabled"),
        ({"podLabels": {"n": 1}}, "podLabels"),
    ],
)
def test_operator_chart_refuses(helm, values, named):
    assert named in helm.refusal("workqueue-operator", values)
