"""The demo's sender: a Job that runs new-task, and what it says at its end.

Rule: what was sent is what new-task had confirmed, and nothing else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dev.kube import CommandFailed, Kube

JOB = "send-tasks"
#: Seconds that the Job may take with all that it has to do before, such as pulling its image.
DEADLINE_SECONDS = 180


@dataclass(frozen=True)
class Sent:
    """One run of new-task, by its own summary."""

    confirmed: int
    first_publish: datetime


def parse_summary(printed: str) -> Sent:
    """The JSON object that new-task prints at its end."""
    found = json.loads(printed.strip().splitlines()[-1])
    return Sent(found["confirmed"], datetime.fromtimestamp(found["first_publish_time"], UTC))


def start(kube: Kube, namespace: str, image: str, tasks: Iterable[str]) -> None:
    """Begin to send the tasks; a run from before goes."""
    kube.kubectl("delete", "job", JOB, "-n", namespace, "--ignore-not-found", "--wait", "--timeout=60s")
    lines = {"tasks.txt": "".join(f"{task}\n" for task in tasks)}
    metadata = {"name": JOB, "namespace": namespace}
    kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": lines},
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "template": {"spec": _pod(image)},
            },
        },
    )


def result(kube: Kube, namespace: str, job: Mapping[str, Any] | None) -> Sent | None:
    """What was sent; None while the Job runs or cannot be read; raises CommandFailed with the reason when it failed."""
    conditions = {one["type"]: one for one in (job or {}).get("status", {}).get("conditions", [])}
    if failed := conditions.get("Failed"):
        # A Job past its deadline has no pod left to ask.
        words = (
            kube.kubectl("logs", "-n", namespace, f"job/{JOB}", "--ignore-errors") if _has_pod(kube, namespace) else ""
        )
        raise CommandFailed(f"the sender failed: {failed.get('message', failed['reason'])}\n{words.strip()}")
    if "Complete" not in conditions:
        return None
    return parse_summary(kube.kubectl("logs", "-n", namespace, f"job/{JOB}"))


def _has_pod(kube: Kube, namespace: str) -> bool:
    return bool(kube.get("pods", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={JOB}")["items"])


def _pod(image: str) -> dict[str, Any]:
    container = {
        "name": "new-task",
        "image": image,
        "args": ["--queue", "task_queue", "--json", "--file", "/tasks/tasks.txt"],
        "env": [{"name": "AMQP_SECRET_DIR", "value": "/etc/workqueue/broker"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "workingDir": "/tmp",
        "volumeMounts": [
            {"name": "tasks", "mountPath": "/tasks"},
            {"name": "broker", "mountPath": "/etc/workqueue/broker", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "tasks", "configMap": {"name": JOB}},
            {"name": "broker", "secret": {"secretName": "rabbitmq"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
        ],
    }
