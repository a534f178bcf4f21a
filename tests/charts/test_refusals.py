"""Values that cannot be meant are refused before anything is installed, and the error names the field."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helm import Helm, Manifest

CHARTS = Path(__file__).parents[2] / "charts"
BROKER = {"broker": {"secretName": "rabbitmq"}}


def test_a_queue_needs_its_brokers_secret_and_the_error_says_how_to_make_one(helm: Helm) -> None:
    error = helm.refusal("workqueue", {})
    assert "broker.secretName is not set" in error
    assert "kubectl create secret generic" in error


def test_handler_and_command_exclude_each_other(helm: Helm) -> None:
    error = helm.refusal("workqueue", {**BROKER, "handler": "tasks:run", "command": ["true"]})
    assert "handler and command are both set" in error


def test_the_broker_must_not_give_up_before_the_worker_can_say_why(helm: Helm) -> None:
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
        ({"handler": "my_tasks.resize"}, 'handler is "my_tasks.resize": set it to MODULE:FUNCTION'),
        ({"command": "convert -resize"}, "command"),
        ({"concurrency": 0}, "concurrency"),
        ({"metricsPort": 80}, "metricsPort"),
        ({"logFormat": "xml"}, "logFormat"),
        ({"replicas": 3}, "replicas"),
        ({"broker": {"uri": "amqp://guest:guest@host"}}, "uri"),
        ({"broker": {"secretName": "a..b"}}, 'broker.secretName is "a..b", which is no name of a Secret'),
        ({"broker": {"secretName": 1234}}, "secretName"),
        ({"fullnameOverride": "a.b"}, 'fullnameOverride is "a.b": use lower-case letters'),
        ({"queue": {"name": "amq.gen"}}, 'queue.name is "amq.gen", and RabbitMQ keeps names'),
        ({"queue": {"deadLetterQueue": "amq.gen"}}, 'queue.deadLetterQueue is "amq.gen", and RabbitMQ keeps names'),
        ({"queue": {"name": "two\nlines"}}, r'queue.name is "two\nlines": set a name without control characters'),
        ({"queue": {"name": "a\x9f"}}, "set a name without control characters"),
        ({"image": {"digest": "4f5e"}}, 'image.digest is "4f5e": set it to sha256: and 64 hexadecimal digits'),
        (
            {"commonLabels": {"app.kubernetes.io/name": "x"}},
            "commonLabels has app.kubernetes.io/name, which this chart",
        ),
        ({"podMonitor": {"interval": "15"}}, 'podMonitor.interval is "15": set a duration such as 15s'),
        ({"networkPolicy": {"restrictEgress": True}}, "networkPolicy.enabled is false, so that nothing is restricted"),
        ({"networkPolicy": {"enabled": True, "extraEgress": [{}]}}, "set restrictEgress to true"),
        ({"networkPolicy": {"enabled": True}, "podMonitor": {"enabled": True}}, "set networkPolicy.metricsFrom"),
        ({"networkPolicy": {"brokerPorts": []}}, "brokerPorts"),
        (
            {"scaling": {"minReplicas": 10, "maxReplicas": 5}},
            "scaling.minReplicas is 10, more than scaling.maxReplicas, which is 5: lower minReplicas or raise",
        ),
        ({"scaling": {"minReplicas": 51}}, "more than scaling.maxReplicas, which is 50"),
        ({"scaling": {"minReplicas": 1, "maxReplicas": 0}}, "more than scaling.maxReplicas, which is 0"),
        ({"scaling": {"minReplicas": 51, "maxReplicas": None}}, "more than scaling.maxReplicas, which is 50"),
        ({"scaling": {"fallback": {"replicas": 51}}}, "scaling.fallback.replicas is 51, more than scaling.maxReplicas"),
        ({"queue": {"deadLetterQueue": "thumbnails"}}, "queue.deadLetterQueue is the queue itself"),
        ({"queue": {"name": "a", "deadLetterQueue": "a"}}, "queue.deadLetterQueue is the queue itself"),
        ({"env": [{"name": "QUEUE_NAME", "value": "x"}]}, "env has QUEUE_NAME, which this chart sets itself"),
        ({"env": [{"name": "A", "value": 1}]}, "at '/env/0/value': got number, want string"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "env has A, which this chart sets itself, or which is there twice"),
        ({"image": {"repository": "example.com:5000/x:7"}}, "the tag goes into image.tag"),
        ({"image": {"repository": "x@sha256:4f"}}, "the digest into image.digest"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels has app.kubernetes.io/name, which this chart"),
        (
            {"podMonitor": {"interval": "500ms", "scrapeTimeout": "1s"}},
            "podMonitor.scrapeTimeout is 1s, more than podMonitor.interval, which is 500ms",
        ),
        ({"podMonitor": {"scrapeTimeout": "5x"}}, 'podMonitor.scrapeTimeout is "5x": set a duration such as 15s'),
    ],
)
def test_queue_chart_refuses(helm: Helm, values: Manifest, named: str) -> None:
    assert named in helm.refusal("workqueue", {**BROKER, **values})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 2}, "replicas"),
        ({"watchNamespaces": "blue"}, "watchNamespaces"),
        ({"watchNamespaces": ["Blue"]}, 'watchNamespaces has "Blue", which is no name of a namespace'),
        ({"watchNamespaces": ["blue", "blue"]}, "watchNamespaces"),
        ({"crds": {"install": True}}, "install"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"image": {"repository": "example.com:5000/x:7"}}, "the tag goes into image.tag"),
        (
            {"podLabels": {"app.kubernetes.io/instance": "x"}},
            "podLabels has app.kubernetes.io/instance, which this chart",
        ),
        ({"serviceMonitor": {"enabled": "yes"}}, "enabled"),
        ({"podLabels": {"n": 1}}, "podLabels"),
        ({"networkPolicy": {"enabled": True}, "serviceMonitor": {"enabled": True}}, "set networkPolicy.metricsFrom"),
        ({"networkPolicy": {"workerPorts": [80000]}}, "workerPorts"),
        ({"fullnameOverride": "a.b"}, 'fullnameOverride is "a.b", which is no name of a Service'),
        ({"image": {"digest": "sha256:4f5e"}}, "set it to sha256: and 64 hexadecimal digits"),
        ({"commonLabels": {"helm.sh/chart": "x"}}, "commonLabels has helm.sh/chart, which this chart sets itself"),
        ({"serviceMonitor": {"interval": "fast"}}, 'serviceMonitor.interval is "fast": set a duration such as 15s'),
        (
            {"serviceMonitor": {"interval": "1m30s", "scrapeTimeout": "91s"}},
            "serviceMonitor.scrapeTimeout is 91s, more than serviceMonitor.interval, which is 1m30s",
        ),
        ({"dashboards": {"namespace": "Blue"}}, 'dashboards.namespace is "Blue", which is no name of a namespace'),
        ({"dashboards": {"labels": {"grafana_dashboard": 1}}}, "grafana_dashboard"),
        ({"prometheusRule": {"disabled": ["TooOld"]}}, "'WorkQueueTasksWaitTooLong'"),
        (
            {"prometheusRule": {"keepLabels": ["a-b"]}},
            'prometheusRule.keepLabels has "a-b", which is no name of a label',
        ),
        ({"prometheusRule": {"oldestMessageSeconds": "10m"}}, "oldestMessageSeconds"),
        (
            {"prometheusRule": {"slo": {"objective": 0.9}}},
            "prometheusRule.slo.objective is 0.9: set it to 0.95 to 0.9999",
        ),
        ({"prometheusRule": {"slo": {"waitSeconds": 45}}}, "one of 0.5, 1, 2.5, 5, 10, 30, 60"),
        ({"prometheusRule": {"runbookUrlPattern": "https://docs"}}, "it needs %s, which becomes the alert's name"),
    ],
)
def test_operator_chart_refuses(helm: Helm, values: Manifest, named: str) -> None:
    assert named in helm.refusal("workqueue-operator", values)


@pytest.mark.parametrize("repository", ["x", "example.com:5000/x", "example.com:5000/team/x"])
def test_a_registrys_port_is_no_tag(helm: Helm, repository: str) -> None:
    for chart, values in (("workqueue-operator", {}), ("workqueue", BROKER)):
        assert helm.template(chart, {**values, "image": {"repository": repository}})


def test_a_scrape_may_take_as_long_as_its_interval(helm: Helm) -> None:
    equal = {"enabled": True, "interval": "1m30s", "scrapeTimeout": "90s"}
    assert helm.template("workqueue", {**BROKER, "podMonitor": equal})
    assert helm.template("workqueue-operator", {"serviceMonitor": equal})
    assert helm.template("workqueue", {**BROKER, "podMonitor": {**equal, "interval": None}})


def test_sizes_at_their_bounds_are_taken(helm: Helm) -> None:
    equal = {"minReplicas": 0, "maxReplicas": 0, "fallback": {"replicas": 0}}
    assert helm.template("workqueue", {**BROKER, "scaling": equal})
    assert helm.template("workqueue", {**BROKER, "scaling": {"minReplicas": None, "maxReplicas": None}})


@pytest.mark.parametrize("chart", ["workqueue-operator", "workqueue"])
def test_no_message_of_a_schema_is_a_regular_expression_or_a_choice_of_schemas(chart: str) -> None:
    """The validator prints the pattern itself, and for `not`, `anyOf` and the like nothing that a person can act on."""

    def keywords(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema
            for inner in schema.values():
                yield from keywords(inner)
        elif isinstance(schema, list):
            for inner in schema:
                yield from keywords(inner)

    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    assert not {"pattern", "not", "anyOf", "oneOf", "allOf", "if", "const"} & set(keywords(schema))
