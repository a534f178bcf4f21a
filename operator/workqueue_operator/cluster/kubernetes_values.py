"""Objects of the API server as values: Deployments, pods and autoscalers are parsed here, once. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from workqueue_operator.cluster.port import Pod, Target
from workqueue_operator.resource import Key

#: The operator's name in managedFields; another operator of ours has the same.
FIELD_MANAGER = "workqueue-operator"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def target_of(deployment: Mapping[str, Any]) -> Target:
    """The Target of a Deployment's body."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    pods, conditions = status.get("replicas", 0), status.get("conditions") or ()
    return Target(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        replicas=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        # Not by observedGeneration: our own scaling lets that lag too, and no pod changes hands by it.
        rolling_out=status.get("updatedReplicas", 0) < pods,
        selector=selector_of(spec["selector"]),
        resource_version=int(metadata["resourceVersion"]),
        refused=_words_of(conditions, "ReplicaFailure", "True"),
        stuck=_words_of(conditions, "Progressing", "False"),
        sized_by=_sized_by(metadata.get("managedFields") or ()),
        grace_seconds=spec.get("template", {}).get("spec", {}).get("terminationGracePeriodSeconds", 30),
    )


def _sized_by(entries: Sequence[Mapping[str, Any]]) -> str:
    """The field manager that set spec.replicas last; "" when the entries do not show one."""
    owners = [one for one in entries if "f:replicas" in ((one.get("fieldsV1") or {}).get("f:spec") or {})]
    return max(owners, key=lambda one: one.get("time") or "")["manager"] if owners else ""


def _words_of(conditions: Sequence[Mapping[str, Any]], name: str, status: str) -> str:
    """Reason and message of a condition while it has this status; else ""."""
    found = (one for one in conditions if (one["type"], one["status"]) == (name, status))
    return next((f"{one.get('reason', name)}: {one.get('message', '')}" for one in found), "")


def selector_of(selector: Mapping[str, Any]) -> str:
    """A label selector as a query has it: labels and expressions, of which all must hold."""
    labels = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    return ",".join(labels + [_requirement(one) for one in selector.get("matchExpressions") or ()])


def _requirement(expression: Mapping[str, Any]) -> str:
    key, values = expression["key"], ",".join(expression.get("values") or ())
    words = {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": f"{key}",
        "DoesNotExist": f"!{key}",
    }
    return words[expression["operator"]]  # the API server takes no other


def is_of_a_deployment(pod: Mapping[str, Any]) -> bool:
    """Whether no other kind of controller has the pod.

    Which ReplicaSet is the Deployment's, we do not ask: that would be another right, and one that it adopted bears
    another's name. A pod too many only makes a scale-down wait; one too few would count as not made yet.
    """
    owners = pod["metadata"].get("ownerReferences") or ()
    return all(owner["kind"] == "ReplicaSet" for owner in owners if owner.get("controller"))


def autoscaled_of(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """The Deployment that a HorizontalPodAutoscaler scales, and its own name; None when it scales another kind."""
    reference = item["spec"]["scaleTargetRef"]
    return (reference["name"], item["metadata"]["name"]) if reference["kind"] == "Deployment" else None


def workqueue_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A WorkQueue's body without what is not looked at: its annotations may be 256 KiB."""
    metadata = body["metadata"]
    kept = {name: metadata[name] for name in ("namespace", "name", "uid", "generation")}
    kept |= {name: metadata[name] for name in ("creationTimestamp", "deletionTimestamp") if name in metadata}
    return {"metadata": kept, "spec": body.get("spec") or {}, "status": body.get("status") or {}}


def pod_of(body: Mapping[str, Any]) -> Pod:
    """The Pod of a pod's body."""
    metadata, status = body["metadata"], body.get("status") or {}
    containers, conditions = status.get("containerStatuses") or [], status.get("conditions") or ()
    all_containers = [*(status.get("initContainerStatuses") or ()), *containers]
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        ip=status.get("podIP"),
        pending=status.get("phase", "Pending") == "Pending",
        running=any("running" in (container.get("state") or {}) for container in containers),
        ready=any((one["type"], one["status"]) == ("Ready", "True") for one in conditions),
        terminating="deletionTimestamp" in metadata,
        finished=status.get("phase") in ("Succeeded", "Failed"),
        created=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
        deletion_cost=_deletion_cost(metadata.get("annotations") or {}),
        restarts=max(map(_restarts, all_containers), default=0),
        trouble=next(filter(None, map(_trouble, all_containers)), ""),
        unschedulable=_words_of(conditions, "PodScheduled", "False"),
        namespace=metadata["namespace"],
    )


def _restarts(container: Mapping[str, Any]) -> int:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return 0 if ended.get("exitCode") == 0 else container.get("restartCount", 0)


def _trouble(container: Mapping[str, Any]) -> str:
    reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
    return reason if reason not in ("", "ContainerCreating", "PodInitializing") else ""


def _deletion_cost(annotations: Mapping[str, str]) -> int:
    try:
        return int(annotations.get(DELETION_COST, 0))
    except ValueError:  # the API server refuses such a value; an old object may still have one
        return 0
