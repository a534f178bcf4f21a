"""A spec may have been stored under any definition: what cannot be used is an InvalidSpec, and never anything else.

Each message names the field by its whole path, the value and the remedy.
"""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from workqueue_operator.resource import InvalidSpec, parse
from workqueue_operator.store import Store

from tests.support.passes import body

BAD_NAMES = [
    "../../kube-system/secrets/admin",
    "..",
    ".",
    "a/b",
    "a%2fb",
    "a\n",
    "A",
    "-a",
    "a-",
    "a..b",
    "ü",
    "a" * 254,
    "a?x",
    "a#x",
    "\0",
]


def message_of(**spec: Any) -> str:
    """The error of a WorkQueue with these fields in its spec."""
    with pytest.raises(InvalidSpec) as raised:
        parse(body(**spec))
    return str(raised.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"broker": "rabbitmq"}, "spec.broker is 'rabbitmq': it must be an object, such as {secretName: rabbitmq}"),
        ({"queue": "jobs"}, "spec.queue is 'jobs': it must be an object, such as {name: task_queue}"),
        ({"scaleTargetRef": "w"}, "spec.scaleTargetRef is 'w': it must be an object, such as {name: worker}"),
        ({"workers": 8000}, "spec.workers is 8000: it must be an object, such as {metricsPort: 8000}"),
        ({"scaling": 3}, "spec.scaling is 3: it must be an object, such as {maxReplicas: 5}"),
        (
            {"scaling": {"scaleUp": 2}},
            "spec.scaling.scaleUp is 2: it must be an object, such as {maxStep: 10}",
        ),
        (
            {"scaling": {"scaleDown": 300}},
            "spec.scaling.scaleDown is 300: it must be an object, such as {stabilizationWindowSeconds: 60}",
        ),
        (
            {"scaling": {"fallback": [2]}},
            "spec.scaling.fallback is [2]: it must be an object, such as {afterSeconds: 60, replicas: 2}",
        ),
    ],
)
def test_a_value_where_an_object_must_be_is_named_with_its_path_and_an_example(
    spec: dict[str, Any], message: str
) -> None:
    assert message_of(**spec) == message


def test_a_spec_that_is_no_object_is_named_with_an_example() -> None:
    with pytest.raises(InvalidSpec) as raised:
        parse({**body(), "spec": []})
    example = "{broker: {secretName: rabbitmq}, scaleTargetRef: {name: worker}}"
    assert str(raised.value) == f"spec is []: it must be an object, such as {example}"


@pytest.mark.parametrize("nothing", [0, False, "", []])
def test_a_value_that_python_calls_false_is_no_missing_object(nothing: object) -> None:
    assert message_of(scaling=nothing).startswith(f"spec.scaling is {nothing!r}: it must be an object")


@pytest.mark.parametrize("parent", ["broker", "queue", "scaleTargetRef", "scaling", "workers"])
def test_each_example_of_an_object_is_one_that_is_taken(parent: str) -> None:
    example = message_of(**{parent: 3}).partition(", such as ")[2]
    parse(body(**{parent: yaml.safe_load(example)}))


@pytest.mark.parametrize("path", ["spec.broker.secretName", "spec.scaleTargetRef.name"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_name_is_called_missing(path: str, value: object) -> None:
    _, parent, field = path.split(".")
    remedy = "set it to the name of an object in the same namespace"
    assert message_of(**{parent: {field: value}}) == f"{path} is missing: {remedy}"


@pytest.mark.parametrize("path", ["spec.broker.secretName", "spec.scaleTargetRef.name"])
@pytest.mark.parametrize("value", [0, 3, "A", ["rabbitmq"]])
def test_a_name_that_no_object_can_have_is_shown(path: str, value: object) -> None:
    _, parent, field = path.split(".")
    remedy = "use lower-case letters, digits, '-' and '.', at most 253"
    message = f"{path} is {value!r}, which no object can have as its name: {remedy}"
    assert message_of(**{parent: {field: value}}) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"mode": "Off"}, "spec.mode is 'Off': use one of Active, DryRun, Paused"),
        ({"queue": {"type": "stream"}}, "spec.queue.type is 'stream': use one of Quorum, Classic"),
        ({"queue": {"declare": "Always"}}, "spec.queue.declare is 'Always': use one of Create, Never"),
    ],
)
def test_a_word_that_is_none_of_the_fields_is_shown_with_those(spec: dict[str, Any], message: str) -> None:
    assert message_of(**spec) == message


NUMBERS = [
    ("spec.taskTimeoutSeconds", 1, 2147483647),
    ("spec.queue.deliveryLimit", 1, 2147483647),
    ("spec.queue.maxLength", 1, 2147483647),
    ("spec.queue.messageTtlSeconds", 1, 2147483647),
    ("spec.workers.metricsPort", 1, 65535),
    ("spec.scaling.minReplicas", 0, 2147483647),
    ("spec.scaling.maxReplicas", 0, 2147483647),
    ("spec.scaling.messagesPerReplica", 1, 2147483647),
    ("spec.scaling.drainSeconds", 1, 2147483647),
    ("spec.scaling.pollPeriodSeconds", 1, 2147483647),
    ("spec.scaling.scaleUp.maxStep", 0, 2147483647),
    ("spec.scaling.scaleDown.stabilizationWindowSeconds", 0, 2147483647),
    ("spec.scaling.fallback.afterSeconds", 1, 2147483647),
    ("spec.scaling.fallback.replicas", 0, 2147483647),
]


def spec_with(path: str, value: object) -> dict[str, Any]:
    """The fields of a spec that have this value at the end of the path."""
    _, *fields = path.split(".")
    made: Any = value
    for field in reversed(fields):
        made = {field: made}
    return dict(made)


@pytest.mark.parametrize(("path", "least", "most"), NUMBERS)
def test_a_number_that_cannot_be_used_is_named_with_its_path_and_its_bounds(path: str, least: int, most: int) -> None:
    for value in (least - 1, most + 1, 1.5, "7", True):
        message = f"{path} is {value!r}: set a whole number from {least} to {most}"
        assert message_of(**spec_with(path, value)) == message


def test_a_minimum_above_the_maximum_is_named_with_both_numbers() -> None:
    assert message_of(scaling={"minReplicas": 5, "maxReplicas": 2}) == (
        "spec.scaling.minReplicas is 5, more than maxReplicas, which is 2: lower minReplicas or raise maxReplicas"
    )


@pytest.mark.parametrize("field", ["name", "deadLetterQueue"])
def test_a_queue_name_that_is_no_text_or_none_of_the_brokers_is_named(field: str) -> None:
    assert message_of(queue={field: 0}) == f"spec.queue.{field} is 0: set the name of a queue"
    assert message_of(queue={field: "amq.jobs"}) == (
        f"spec.queue.{field} 'amq.jobs' begins with amq., which RabbitMQ keeps for itself: choose another name"
    )


def test_a_name_that_is_too_long_for_the_default_dead_letter_queue_names_both_remedies() -> None:
    message = message_of(queue={"name": "q" * 251})
    assert message.startswith("spec.queue.name ")
    assert message.endswith("choose a name of at most 250 bytes, or set spec.queue.deadLetterQueue")


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("path", ["spec.broker.secretName", "spec.scaleTargetRef.name"])
def test_a_name_that_is_none_is_refused_with_its_field(path: str, name: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        parse(body(**spec_with(path, name)))
    assert str(raised.value).startswith(path)
    assert "lower-case letters" in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["a", "0", "rabbitmq.login-2", "a" * 253])
def test_a_name_that_the_api_server_takes_is_taken(name: str) -> None:
    assert parse(body(broker={"secretName": name})).broker_secret == name


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(10**300, 10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = {
    "": ["mode", "taskTimeoutSeconds", "broker", "queue", "scaleTargetRef", "scaling", "workers"],
    "queue": ["name", "type", "declare", "deadLetterQueue", "deliveryLimit", "maxLength", "messageTtlSeconds"],
    "scaling": ["minReplicas", "maxReplicas", "drainSeconds", "scaleUp", "scaleDown", "fallback", "pollPeriodSeconds"],
    "workers": ["metricsPort"],
}


@settings(max_examples=300)
@given(place=st.sampled_from([(parent, name) for parent, names in FIELDS.items() for name in names]), value=VALUES)
def test_whatever_a_field_holds_is_a_spec_or_an_invalid_one(place: tuple[str, str], value: object) -> None:
    parent, field = place
    made = body()
    if parent:
        made["spec"].setdefault(parent, {})[field] = value
    else:
        made["spec"][field] = value
    store = Store()
    store.see_workqueue(made)
    (tracked,) = store
    assert len(str(tracked.spec)) < 2000
