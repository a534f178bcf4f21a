"""A JSON merge patch (RFC 7396): objects are merged, null takes a field away, all else is replaced. Pure."""

from typing import Any


def merged(old: Any, patch: Any) -> Any:
    """`old` with the patch."""
    if not isinstance(patch, dict):
        return patch
    before = old if isinstance(old, dict) else {}
    changed = {name: merged(before.get(name), value) for name, value in patch.items() if value is not None}
    return {name: value for name, value in {**before, **changed}.items() if patch.get(name, 0) is not None}
