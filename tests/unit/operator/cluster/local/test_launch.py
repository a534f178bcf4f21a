"""What each pod has of its own: its metrics port, its variables, and where its mounted files are."""

from typing import Any

from tests.support.workloads import WORKER, launched, workload


def test_each_pod_has_a_metrics_port_of_its_own() -> None:
    found = launched(
        {
            "env": [{"name": "METRICS_PORT", "value": "8000"}, {"name": "URL", "value": "http://:$(METRICS_PORT)/"}],
            "args": ["--metrics-port=8000", "--metrics-port", "8000"],
        }
    )
    assert (found.environment["METRICS_PORT"], found.environment["URL"]) == ("23456", "http://:23456/")
    assert found.command == [*WORKER, "--metrics-port=23456", "--metrics-port", "23456"]


def test_variables_come_from_values_secrets_config_maps_and_the_pod() -> None:
    env: list[dict[str, Any]] = [
        {"name": "A", "value": "$(COLOUR) $$(COLOUR) $(NOWHERE)"},
        {"name": "URI", "valueFrom": {"secretKeyRef": {"name": "rabbitmq", "key": "uri"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "NONE", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['team/name']"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "rabbitmq"}}]
    found = launched({"env": env, "envFrom": sources}).environment
    wanted = {
        "COLOUR": "red",
        "a.key": "secret",
        "uri": "amqp://in-the-cluster",
        "A": "red $(COLOUR) $(NOWHERE)",
        "URI": "amqp://in-the-cluster",
        "POD": "orders-1",
        "TEAM": "shop",
        "WHERE": "team",
        "HOSTNAME": "orders-1",
        "METRICS_PORT": "23456",
        "PATH": "/bin",
    }
    assert found == wanted


def test_a_path_into_a_mounted_secret_leads_to_its_files_here() -> None:
    mounted = {
        "env": [{"name": "AMQP_SECRET_DIR", "value": "/etc/broker"}, {"name": "OTHER", "value": "/etc/brokers"}],
        "args": ["--ca", "/etc/broker/ca.crt"],
        "volumeMounts": [{"name": "broker", "mountPath": "/etc/broker"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "broker", "secret": {"secretName": "rabbitmq"}}, {"name": "tmp", "emptyDir": {}}]
    assert workload(mounted, volumes=volumes).mounts == {
        "/etc/broker": {"uri": b"amqp://in-the-cluster", "a.key": b"secret"}
    }
    found = launched(mounted, volumes=volumes)
    assert found.environment["AMQP_SECRET_DIR"] == "/state/etc/broker"
    assert found.environment["OTHER"] == "/etc/brokers"
    assert found.command[-1] == "/state/etc/broker/ca.crt"
