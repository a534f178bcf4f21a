"""One pod: its containers' processes, its own metrics port, its output, and whether it is Ready."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from workqueue_operator import web
from workqueue_operator.cluster.local.container_run import ContainerRun
from workqueue_operator.cluster.local.held_port import HeldPort
from workqueue_operator.cluster.local.launch import launch
from workqueue_operator.cluster.local.orphans import Orphans
from workqueue_operator.cluster.local.pod_facts import PodFacts
from workqueue_operator.cluster.local.workload import Surroundings, Workload
from workqueue_operator.cluster.port import Pod

#: Seconds between two probes until one succeeds, so that a new worker is seen at once, and seconds for an answer.
FIRST_PROBES_SECONDS = 0.2
PROBE_TIMEOUT_SECONDS = 1.0
#: Failed probes in a row after which a pod is not Ready any more (Kubernetes' failureThreshold).
FAILURE_THRESHOLD = 3


class LocalPod:
    """Runs until it is terminated."""

    def __init__(
        self,
        name: str,
        workload: Workload,
        surroundings: Surroundings,
        folder: Path,
        orphans: Orphans,
        changed: Callable[[str], None],
    ) -> None:
        """`changed` is called with a line for people, or with "" when there is none; raises OSError without a port."""
        self.name = name
        self.key = workload.key
        self.created = time.time()
        self.deletion_cost = 0
        self._leaving = asyncio.Event()
        self.ready = False
        self.output = folder / "logs" / f"{name}.log"
        self._workload = workload
        self._changed = changed
        self._port = HeldPort()
        self._mounts = folder / "mounts" / name
        facts = PodFacts(
            workload.key.namespace,
            name,
            uid=f"pod-{name}",
            labels=workload.labels,
            annotations=workload.annotations,
            metrics_port=self._port.number,
            mounts=_written(self._mounts, workload.mounts),
        )
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.touch()
        self._containers = [
            ContainerRun(one.name, launch(one, facts, surroundings), self.output, orphans, self._container_changed)
            for one in workload.containers
        ]

    @property
    def metrics_port(self) -> int:
        """The port that this pod has in the place of the manifest's."""
        return self._port.number

    @property
    def terminating(self) -> bool:
        """Whether it was asked to end."""
        return self._leaving.is_set()

    @property
    def pending(self) -> bool:
        """Whether no container was started yet."""
        return not any(one.began for one in self._containers)

    def value(self) -> Pod:
        """As the port has it."""
        return Pod(
            name=self.name,
            uid=f"pod-{self.name}",
            ip="127.0.0.1",
            pending=self.pending,
            running=any(one.running for one in self._containers),
            ready=self.ready,
            terminating=self.terminating,
            finished=False,
            created=self.created,
            deletion_cost=self.deletion_cost,
            restarts=max((one.restarts.failures for one in self._containers), default=0),
            trouble=next(filter(None, (one.trouble for one in self._containers)), ""),
            namespace=self.key.namespace,
        )

    async def run(self) -> None:
        """Until it was terminated and its processes have ended."""
        await asyncio.gather(*(one.run() for one in self._containers))

    def terminate(self) -> None:
        """Ask its processes to end."""
        self._leaving.set()
        self.ready = False
        for one in self._containers:
            one.stop(self._workload.grace_seconds)

    def hurry(self, seconds: float) -> None:
        """End it within so many seconds."""
        for one in self._containers:
            one.hurry(seconds)

    def close(self) -> None:
        """Give back its port and its files, once it has ended; its output stays."""
        self._port.close()
        shutil.rmtree(self._mounts, ignore_errors=True)

    async def probe(self, session: web.Session) -> None:
        """Find out whether it is Ready, until it terminates."""
        failures = 0
        while not self.terminating:
            fine = await self._is_ready(session)
            failures = 0 if fine else failures + 1
            if self.terminating:
                return
            if fine or failures >= FAILURE_THRESHOLD:
                self._set_ready(fine)
            periods = [one.ready_period_seconds for one in self._workload.containers if one.ready_path]
            period = min(periods, default=FIRST_PROBES_SECONDS) if self.ready else FIRST_PROBES_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._leaving.wait()

    def _container_changed(self, text: str) -> None:
        if not all(one.running for one in self._containers):
            self.ready = False
        self._changed(text)

    def _set_ready(self, ready: bool) -> None:
        ready = ready and all(one.running for one in self._containers)
        if ready != self.ready:
            self.ready = ready
            self._changed("is Ready" if ready else "is no longer Ready")

    async def _is_ready(self, session: web.Session) -> bool:
        """Whether each container runs, and each one with a probe answers it with 200."""
        if not all(one.running for one in self._containers):
            return False
        for one in self._workload.containers:
            if one.ready_path:
                url = f"http://127.0.0.1:{self.metrics_port}/{one.ready_path.lstrip('/')}"
                if await web.fetch_page(session, url, PROBE_TIMEOUT_SECONDS) is None:
                    return False
        return True


def _written(folder: Path, mounts: Mapping[str, Mapping[str, bytes]]) -> Mapping[str, Path]:
    """The files of the mounts on disk, for this user alone."""
    places = {}
    for number, (path, files) in enumerate(mounts.items()):
        place = folder / str(number)
        place.mkdir(parents=True, mode=0o700)
        for name, data in files.items():
            target = place / name
            target.touch(mode=0o600)
            target.write_bytes(data)
        places[path] = place
    return places
