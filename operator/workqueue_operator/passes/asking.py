"""Asks workers how many tasks they have in progress, all at once."""

import asyncio
from collections.abc import Iterable

from workqueue_operator.cluster.port import Cluster, Pod
from workqueue_operator.scaling.deletion_order import WorkerAnswer


async def ask(cluster: Cluster, pods: Iterable[Pod], port: int) -> list[WorkerAnswer]:
    """The pods with their answers; a container that does not run is not asked."""
    asked = list(pods)
    answers = await asyncio.gather(*(_ask_one(cluster, pod, port) for pod in asked))
    return [WorkerAnswer(pod, answer) for pod, answer in zip(asked, answers, strict=True)]


async def _ask_one(cluster: Cluster, pod: Pod, port: int) -> int | None:
    return await cluster.ask_tasks_in_progress(pod, port) if pod.running else None
