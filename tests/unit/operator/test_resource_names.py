"""A spec may have been stored under any definition: what cannot be used is an InvalidSpec, and never anything else."""

from typing import Any

import pytest
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


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("path", ["spec.broker.secretName", "spec.scaleTargetRef.name"])
def test_a_name_that_is_none_is_refused_with_its_field(path: str, name: str) -> None:
    _, parent, field = path.split(".")
    with pytest.raises(InvalidSpec) as raised:
        parse(body(**{parent: {field: name}}))
    assert str(raised.value).startswith(path)
    assert "lower-case letters" in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["a", "0", "rabbitmq.login-2", "a" * 253])
def test_a_name_that_the_api_server_takes_is_taken(name: str) -> None:
    assert parse(body(broker={"secretName": name})).broker_secret == name


def test_a_number_beyond_int32_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.scaling\.maxReplicas"):
        parse(body(scaling={"maxReplicas": 2**31}))


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
