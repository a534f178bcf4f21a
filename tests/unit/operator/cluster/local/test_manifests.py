"""Manifests are read as kubectl reads them; what cannot be run here is an error that names object, field and remedy."""

import pytest
from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests, Source, read
from workqueue_operator.resource import Key

WORKQUEUE = """
apiVersion: workqueue.dev/v1alpha1
kind: WorkQueue
metadata: {name: orders}
spec: {broker: {secretName: rabbitmq}, scaleTargetRef: {name: orders-worker}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders-worker}
spec: {template: {spec: {containers: [{name: worker, image: workqueue-worker}]}}}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: rabbitmq}
data: {uri: YW1xcDovL2hlcmU=}
stringData: {password: s3cret}
"""
BOTH = f"{WORKQUEUE}---{DEPLOYMENT}"
ORDERS, SECRET_KEY = Key("default", "orders"), Key("default", "rabbitmq")


def reading(*texts: str, namespace: str = "default") -> Manifests:
    return read([Source(f"file-{number}", text) for number, text in enumerate(texts, 1)], namespace)


def test_objects_of_several_documents_and_files_are_found_by_namespace_and_name() -> None:
    found = reading(f"---\n{BOTH}\n---\n# nothing\n---", SECRET, namespace="team")
    assert list(found.workqueues) == [Key("team", "orders")]
    assert list(found.deployments) == [Key("team", "orders-worker")]
    assert found.secrets == {Key("team", "rabbitmq"): {"uri": b"amqp://here", "password": b"s3cret"}}


def test_the_items_of_a_list_are_objects() -> None:
    items = "".join(f"- {document.strip()}".replace("\n", "\n  ") + "\n" for document in (WORKQUEUE, DEPLOYMENT))
    assert ORDERS in reading(f"apiVersion: v1\nkind: List\nitems:\n{items}").workqueues


def test_other_kinds_are_skipped_with_a_line_each() -> None:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: worker}\n"
    foreign = WORKQUEUE.replace("workqueue.dev", "example.org").replace("orders}", "other}")
    alone = DEPLOYMENT.replace("orders-worker", "web")
    assert list(reading(BOTH, account, foreign, alone).skipped) == [
        "ServiceAccount worker is skipped: it has no meaning without a cluster",
        "WorkQueue other is skipped: it has no meaning without a cluster",
        "Deployment web is skipped: no WorkQueue scales it",
    ]


def test_a_password_is_in_no_repr() -> None:
    assert "s3cret" not in repr(reading(BOTH, SECRET))
    assert "s3cret" not in repr(Source("file", SECRET))


def test_another_address_takes_the_place_of_the_secrets() -> None:
    moved = reading(BOTH, SECRET).with_broker("amqp://me:p%40ss@here:5673/shop", "http://here:15672")
    assert moved.secrets[SECRET_KEY] == {
        "uri": b"amqp://me:p%40ss@here:5673/shop",
        "host": b"here",
        "port": b"5673",
        "username": b"me",
        "password": b"p@ss",
        "vhost": b"shop",
        "management_uri": b"http://here:15672",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "file-1 is no YAML: "),
        ("7", "file-1: document 1 is no manifest: it has no kind"),
        ("kind: WorkQueue", "file-1: WorkQueue: metadata.name is missing"),
        (SECRET, "file-1: no WorkQueue (workqueue.dev) in it: add one, as `helm template charts/workqueue` does"),
        (f"{BOTH}---{WORKQUEUE}", "file-1: WorkQueue default/orders is there a second time: remove one of the two"),
        (WORKQUEUE, "spec.scaleTargetRef.name is orders-worker, and no file has the Deployment default/orders-worker"),
        (f"{BOTH}---{WORKQUEUE.replace('orders}', 'late}', 1)}", "which WorkQueue default/orders scales too"),
        (BOTH.replace("rabbitmq", "Rabbit_MQ"), "WorkQueue default/orders: spec.broker.secretName is 'Rabbit_MQ'"),
        (f"{BOTH}---{SECRET.replace('YW1xcDovL2hlcmU=', 'ö')}", "Secret default/rabbitmq: data.uri is not base64"),
        (f"{BOTH}---{SECRET.replace('s3cret', '7')}", "stringData.password is no text: put it into quotation marks"),
    ],
)
def test_what_cannot_be_read_names_object_field_and_remedy(text: str, words: str) -> None:
    with pytest.raises(InvalidManifest) as raised:
        reading(text)
    assert words in str(raised.value)
