"""What Argo CD shows of a WorkQueue: the health check of docs/gitops.md, run in Lua."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from tests.support.kstatus import status_of

PAGE = Path(__file__).parents[2] / "docs" / "gitops.md"
KEY = "resource.customizations.health.workqueue.dev_WorkQueue"

Health = tuple[str, str]


def script() -> str:
    """The check as the page has it for argocd-cm."""
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    (found,) = [block["data"][KEY] for block in blocks if KEY in block.get("data", {})]
    return str(found)


def health(workqueue: dict[str, Any]) -> Health:
    """Status and message, as Argo CD gets them: `obj` is the resource, the answer is what the script returns."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    lua.globals().obj = lua.table_from(workqueue, recursive=True)
    answer = lua.execute(script())
    return str(answer["status"]), str(answer["message"])


def workqueue(ready: str | None = None, *, reason: str = "AllConditionsMet", **more: Any) -> dict[str, Any]:
    """A WorkQueue of generation 2, seen at `observed`; without `ready` there is no such condition."""
    conditions = [{"type": "QueueObserved", "status": "True", "reason": "Observed", "message": "the queue was read"}]
    if ready is not None:
        conditions.append({"type": "Ready", "status": ready, "reason": reason, "message": "in words"})
    status = {"observedGeneration": more.get("observed", 2), "conditions": [*conditions, *more.get("conditions", [])]}
    return {
        "metadata": {"name": "tasks", "generation": 2},
        "spec": {"mode": more.get("mode", "Active")},
        "status": status,
    }


STALLED = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "in words"}


@pytest.mark.parametrize(
    ("resource", "argo_cd", "flux"),
    [
        (workqueue("True"), "Healthy", "Current"),
        (workqueue("False", reason="Unavailable"), "Degraded", "InProgress"),
        (workqueue("False", reason="InvalidSpec", conditions=[STALLED]), "Degraded", "Failed"),
        (workqueue("True", mode="Paused", reason="Paused"), "Suspended", "Current"),
        (workqueue("True", mode="DryRun", reason="DryRun"), "Suspended", "Current"),
        (workqueue("False", mode="Paused", reason="Unavailable"), "Degraded", "InProgress"),
        (workqueue("Unknown", reason="NotEvaluated"), "Progressing", "InProgress"),
        (workqueue("True", observed=1), "Progressing", "InProgress"),
        (workqueue("False", observed=1, conditions=[STALLED]), "Progressing", "InProgress"),
        ({**workqueue(), "status": {"observedGeneration": -1}}, "Progressing", "InProgress"),
    ],
)
def test_health_as_in_the_table_of_the_page(resource: dict[str, Any], argo_cd: str, flux: str) -> None:
    assert (health(resource)[0], status_of(resource)) == (argo_cd, flux)


def test_the_message_is_that_of_ready() -> None:
    assert health(workqueue("False", reason="QueueMissing"))[1] == "QueueMissing: in words"


def test_without_a_status_it_is_in_progress() -> None:
    """As where the definition is older than its default."""
    resource = workqueue()
    del resource["status"]
    assert health(resource) == ("Progressing", "No operator has looked at this version of the WorkQueue yet")
    assert health({**resource, "status": {"observedGeneration": 2}})[0] == "Progressing"
