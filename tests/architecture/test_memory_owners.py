"""What passes and loops leave to the next ones: each value is written by the modules that own it, and by no other."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest
from workqueue_operator.memory import KnownSize, Looks, Marks, Reported, WorkerAnswers
from workqueue_operator.tracked import LastReading

PACKAGE = Path(__file__).parents[2] / "operator" / "workqueue_operator"
OWNERS = {
    KnownSize: {"passes/gather.py", "passes/apply.py", "memory.py"},
    Looks: {"passes/gather.py"},
    WorkerAnswers: {"passes/scale_down.py"},
    Marks: {"passes/marks.py"},
    Reported: {"passes/report.py"},
    LastReading: {"loops/broker_loop.py", "loops/pass_starter.py", "store.py", "tracked.py"},
}
#: A field of the same name that reconcile has of its own.
SHARED = {"refusal"}


def written(path: Path) -> set[str]:
    """The names of the attributes that a module assigns to, beside those of `self`."""
    targets = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute))
    stored = (node for node in targets if isinstance(node.ctx, ast.Store))
    return {node.attr for node in stored if not (isinstance(node.value, ast.Name) and node.value.id == "self")}


@pytest.mark.parametrize("value", OWNERS, ids=lambda value: value.__name__)
def test_a_value_is_written_by_its_owners_alone(value: type) -> None:
    names = {field.name for field in fields(value)} - SHARED
    writers = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if written(path) & names}
    assert writers == OWNERS[value]
