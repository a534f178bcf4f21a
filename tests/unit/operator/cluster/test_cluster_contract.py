"""The scenarios of tests/support/cluster_contract.py on the fake, and on local processes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from workqueue_operator import web
from workqueue_operator.cluster.local.local_cluster import Hooks, LocalCluster
from workqueue_operator.cluster.local.manifests import Manifests
from workqueue_operator.cluster.local.workload import Container, Surroundings, Workload
from workqueue_operator.resource import Key

from tests.support.cluster_contract import *  # noqa: F403 - the scenarios
from tests.support.cluster_contract import Ground
from tests.support.fakes import FakeCluster
from tests.support.waiting import until

#: A worker that does not end when it is asked to, with its task in progress.
STUBBORN = ("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done")


@dataclass
class FakeGround:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    namespace: str = "team"

    async def deploy(self, name: str, replicas: int | None) -> Key:
        key = Key(self.namespace, name)
        made = self.cluster.add_deployment(key, 1 if replicas is None else replicas)
        self.cluster.targets[key] = replace(made, sized_by="" if replicas is None else "kubectl-client-side-apply")
        return key

    async def scale(self, key: Key, replicas: int) -> None:
        self.cluster._follow(self.cluster.scale(key, replicas, "kubectl"))

    async def settle(self, key: Key, replicas: int) -> None:
        assert self.cluster.targets[key].ready == replicas

    def delete_pod(self, name: str) -> None:
        self.cluster.tasks[name] = 1
        self.cluster.terminate(name)

    def add_secret(self, name: str, values: dict[str, str]) -> None:
        self.cluster.secrets[Key(self.namespace, name)] = values

    def add_autoscaler(self, name: str, target: Key) -> None:
        self.cluster.autoscalers[target] = name

    def add_workqueue(self, name: str) -> str:
        metadata = {"namespace": self.namespace, "name": name, "uid": f"uid-{name}"}
        self.cluster.workqueues[Key(self.namespace, name)] = {"metadata": metadata}
        return f"uid-{name}"

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.cluster.workqueues[Key(self.namespace, name)]["status"])

    def event(self, uid: str, reason: str) -> tuple[int, str]:
        posted = self.cluster.posted[uid, reason]
        return posted.count, posted.message


@dataclass
class LocalGround:
    cluster: LocalCluster
    namespace: str = "team"

    async def deploy(self, name: str, replicas: int | None) -> Key:
        key = Key(self.namespace, name)
        worker = Container("worker", STUBBORN, {}, None, None, 0.0)
        self.cluster.deploy(Workload(key, replicas, f"app={name}", 60, {}, {}, [worker], {}))
        await self.settle(key, 1 if replicas is None else replicas)
        return key

    async def scale(self, key: Key, replicas: int) -> None:
        target = await self.cluster.read_target(key)
        self.cluster.resize(key, replicas, "kubectl" if replicas and target.sized_by else "")
        await self.settle(key, replicas)

    async def settle(self, key: Key, replicas: int) -> None:
        await until(lambda: self._is_settled(key, replicas), f"{replicas} pods of {key} are ready")

    async def _is_settled(self, key: Key, replicas: int) -> bool:
        target = await self.cluster.read_target(key)
        active = [pod for pod in await self.cluster.read_pods(target) if pod.active]
        return target.ready == len(active) == replicas and all(pod.running for pod in active)

    def delete_pod(self, name: str) -> None:
        self.cluster.delete_pod(self.namespace, name)

    def add_secret(self, name: str, values: dict[str, str]) -> None:
        data = {key: value.encode() for key, value in values.items()}
        self.cluster.add_secret(Key(self.namespace, name), {**data, "keystore": b"\xff\xfe"})

    def add_autoscaler(self, name: str, target: Key) -> None:
        self.cluster.add_autoscaler(name, target)

    def add_workqueue(self, name: str) -> str:
        body = {"metadata": {"namespace": self.namespace, "name": name, "uid": f"uid-{name}"}}
        self.cluster.add_workqueue(Key(self.namespace, name), body)
        return f"uid-{name}"

    def status(self, name: str) -> dict[str, Any]:
        body = self.cluster.workqueue(Key(self.namespace, name))
        return dict(body["status"]) if body else {}

    def event(self, uid: str, reason: str) -> tuple[int, str]:
        (event,) = [one for one in self.cluster.events if (one.uid, one.notice.reason) == (uid, reason)]
        return event.count, event.notice.message


@pytest.fixture(params=["fake", "local"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    if request.param == "fake":
        yield FakeGround()
        return
    async with web.open_session() as session:
        surroundings = Surroundings(sys.executable, {"PATH": "/usr/bin:/bin"})
        cluster = LocalCluster(Manifests(), surroundings, tmp_path, session, Hooks())
        try:
            yield LocalGround(cluster)
        finally:
            draining = asyncio.create_task(cluster.drain())
            await asyncio.sleep(0)
            cluster.hurry(0.0)
            await draining
