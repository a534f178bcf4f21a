"""CRD, chart and programs have one rule for names of queues (workqueue_broker.names)."""

import re
import sys
from typing import Any

import pytest
from workqueue_broker.names import DEAD_SUFFIX, NAME_BYTES, RESERVED_PREFIX, InvalidName, checked_name

from tests.support.helm import Helm, Manifest, Pick

BROKER = {"broker": {"secretName": "rabbitmq"}}
FIELDS = ("name", "deadLetterQueue")


def allowed(name: str) -> bool:
    try:
        return checked_name(name) == name
    except InvalidName:
        return False


@pytest.fixture
def definition(helm: Helm, one: Pick) -> dict[str, Any]:
    (version,) = one(helm.template("workqueue-operator"), "CustomResourceDefinition")["spec"]["versions"]
    schema: Manifest = version["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("field", FIELDS)
def test_the_definition_allows_the_characters_that_the_programs_allow(definition: Manifest, field: str) -> None:
    schema = definition["properties"]["spec"]["properties"]["queue"]["properties"][field]
    everything = (chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000)
    different = [one for one in everything if bool(re.search(schema["pattern"], f"a{one}a")) != allowed(f"a{one}a")]
    assert different == []


@pytest.mark.parametrize("field", FIELDS)
def test_the_definition_counts_and_reserves_as_the_programs_do(definition: Manifest, field: str) -> None:
    schema = definition["properties"]["spec"]["properties"]["queue"]["properties"][field]
    rules = {rule["rule"] for rule in schema["x-kubernetes-validations"]}
    assert rules == {f"size(bytes(self)) <= {NAME_BYTES}", f"!self.startsWith('{RESERVED_PREFIX}')"}
    assert (schema["minLength"], schema["maxLength"]) == (1, NAME_BYTES)


def test_the_definition_leaves_room_for_the_default_dead_letter_queue(definition: Manifest) -> None:
    rules = [rule["rule"] for rule in definition["x-kubernetes-validations"]]
    assert any(f"<= {NAME_BYTES - len(DEAD_SUFFIX)}" in rule and "deadLetterQueue" in rule for rule in rules)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", ["two\nlines", "orders\n", "tab\t", "amq.gen", "q" * 256])
def test_the_chart_refuses_what_the_programs_refuse(helm: Helm, field: str, name: str) -> None:
    assert not allowed(name)
    assert field in helm.refusal("workqueue", {**BROKER, "queue": {field: name}})


@pytest.mark.parametrize("name", ["a b", "größe", "AMQ.x", "amq"])
def test_the_chart_takes_what_the_programs_take(helm: Helm, name: str) -> None:
    assert allowed(name)
    assert helm.template("workqueue", {**BROKER, "queue": {"name": name, "deadLetterQueue": f"{name}!"}})


def test_the_chart_leaves_room_for_the_default_dead_letter_queue(helm: Helm) -> None:
    long = "ü" * 126
    assert "or set queue.deadLetterQueue" in helm.refusal("workqueue", {**BROKER, "queue": {"name": long}})
    assert helm.template("workqueue", {**BROKER, "queue": {"name": long, "deadLetterQueue": "dead"}})
