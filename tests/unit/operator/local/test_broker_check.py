"""Which broker is used: the one given, else the Secret's, else this machine's; and what is said when none answers."""

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_operator.cluster.local.held_port import HeldPort
from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests, Source, read
from workqueue_operator.local import broker_check
from workqueue_operator.resource import Key

SECRET = Key("default", "rabbitmq")
OBJECTS = """
apiVersion: workqueue.dev/v1alpha1
kind: WorkQueue
metadata: {name: orders}
spec: {broker: {secretName: rabbitmq}, scaleTargetRef: {name: orders-worker}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-worker}
"""


def manifests(secret: str = "") -> Manifests:
    text = f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: rabbitmq}}\nstringData: {{uri: '{secret}'}}"
    return read([Source("file", OBJECTS + (text if secret else ""))], "default")


def used(found: Manifests) -> str:
    ((address, secret),) = broker_check.addresses(found).items()
    assert secret == SECRET
    return str(address)


def test_the_address_that_is_given_comes_before_the_secret_and_that_before_this_machine() -> None:
    there = manifests("amqp://team@there/shop")
    assert used(broker_check.with_address(there, "amqp://me@here/", None)) == "amqp://me@here:5672/%2F"
    assert used(broker_check.with_address(there, None, None)) == "amqp://team@there:5672/shop"
    assert used(broker_check.with_address(manifests(), None, None)) == "amqp://guest@127.0.0.1:5672/%2F"


def test_the_flag_comes_before_the_variable() -> None:
    environment = {"AMQP_URL": "amqp://variable", "AMQP_MANAGEMENT_URL": "http://management"}
    assert broker_check.override("amqp://flag", environment) == ("amqp://flag", "http://management")
    assert broker_check.override(None, environment) == ("amqp://variable", "http://management")
    assert broker_check.override(None, {}) == (None, None)


def test_an_address_that_cannot_be_used_names_its_place_and_no_password() -> None:
    with pytest.raises(InvalidManifest, match=r"^--amqp-url \(AMQP_URL\): uri must start with amqp") as raised:
        broker_check.with_address(manifests(), "http://me:s3cret@here", None)
    assert "s3cret" not in str(raised.value)
    with pytest.raises(InvalidManifest, match=r"^Secret default/rabbitmq: "):
        broker_check.addresses(manifests("http://me:s3cret@here"))


def test_a_broker_that_is_not_there_is_named_with_a_way_to_start_one() -> None:
    held = HeldPort()
    try:
        words = broker_check.problem(BrokerAddress(hosts=(("127.0.0.1", held.number),)), SECRET)
    finally:
        held.close()
    assert words is not None
    assert f"no RabbitMQ answers (Secret default/rabbitmq): amqp://guest@127.0.0.1:{held.number}" in words
    assert "--broker docker" in words


def test_a_name_of_a_cluster_is_no_name_here() -> None:
    words = broker_check.problem(BrokerAddress(hosts=(("rabbitmq.team.svc.invalid", 5672),)), SECRET)
    assert words is not None
    assert "the host rabbitmq.team.svc.invalid has no address here" in words
    assert "--amqp-url" in words
