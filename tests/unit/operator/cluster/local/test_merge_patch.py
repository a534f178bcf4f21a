"""The status is merged as an API server does it (RFC 7396)."""

from typing import Any

import pytest
from workqueue_operator.cluster.local.merge_patch import merged


@pytest.mark.parametrize(
    ("old", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (None, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, "bar", "bar"),
    ],
)
def test_a_patch_is_merged_as_in_the_examples_of_the_rfc(old: Any, patch: Any, result: Any) -> None:
    assert merged(old, patch) == result
