"""The estimated age of a queue's first message beside its real age, on a real broker.

Usage: python -m benchmarks.oldest_message.run [--seconds 60] [--rabbitmq 4.0] [--output FOLDER]. Steady, burst and
drain on a quorum and a classic queue each, all side by side. It starts a RabbitMQ of its own on loopback.
"""

import argparse
import asyncio
import json
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_operator.loops.management_loop import MEASURE_SECONDS
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.rabbitmq.oldest_message import OldestMessage, QueueTotals
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, QueueReading
from workqueue_operator.resource import Declare, QueueSpec

from benchmarks.oldest_message.load import SCENARIOS, Load
from tests.support.rabbitmq_server import RabbitMQServer

HERE = Path(__file__).parent
#: Seconds between two readings: WorkQueue's fastest.
READ_SECONDS = 0.2


@dataclass
class Cell:
    """One queue, what the operator would estimate, and how far off it was."""

    scenario: str
    spec: QueueSpec
    load: Load
    oldest: OldestMessage = field(default_factory=OldestMessage)
    #: Seconds; above zero where the estimate was too old.
    errors: list[float] = field(default_factory=list)
    real: list[float] = field(default_factory=list)
    unknown: int = 0

    def read(self, now: float, reading: QueueReading) -> None:
        """Take in a reading, and compare if a message waits."""
        ready, first = reading.counts.messages_ready, self.load.first_published_at()
        self.oldest.looked(now, ready, empty=ready == 0 and reading.counts.consumers > 0)
        if ready == 0 or first is None:
            return
        age, real = self.oldest.age(now, ready), max(0.0, now - first)
        if age is None:
            self.unknown += 1
        else:
            self.errors.append(age - real)
            self.real.append(real)

    def result(self) -> dict[str, object]:
        """As written down."""
        off = sorted(map(abs, self.errors))
        return {
            "scenario": self.scenario,
            "type": self.spec.declaration.type.value,
            "compared": len(off),
            "unknown": self.unknown,
            "real_age_median": round(statistics.median(self.real), 2),
            "real_age_max": round(max(self.real), 2),
            "error_median": round(statistics.median(off), 2),
            "error_p95": round(off[int(0.95 * len(off))], 2),
            "error_max": round(off[-1], 2),
            "error_mean": round(statistics.mean(self.errors), 2),
        }


def main() -> None:
    """Run all cells and write them down."""
    options = _options()
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(RabbitMQServer(Path(directory) / "broker", options.rabbitmq)) as server,
    ):
        server.start()
        rabbitmq = server.release
        cells = asyncio.run(_run(server, options.seconds))
    facts = {
        "command": f"python benchmarks/oldest_message/{shlex.join(['run.py', *sys.argv[1:]])}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rabbitmq": rabbitmq,
        "python": platform.python_version(),
    }
    results = [cell.result() for cell in cells]
    for result in results:
        print("  ".join(f"{name} {value}" for name, value in result.items()))
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"rabbitmq-{options.rabbitmq}.json"
    file.write_text(json.dumps({"facts": facts, "cells": results}, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (default: %(default)g)")
    parser.add_argument("--rabbitmq", default="4.0", help="version (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder (default: %(default)s)")
    return parser.parse_args()


async def _run(server: RabbitMQServer, seconds: float) -> Sequence[Cell]:
    vhost = server.new_vhost()
    address = replace(server.address(vhost), management_uri=server.management_uri)
    cells = [
        _cell(scenario, kind, server.uri(vhost))
        for scenario in SCENARIOS
        for kind in (QueueType.QUORUM, QueueType.CLASSIC)
    ]
    reader = AmqpQueueReader(address, "benchmark")
    await reader.read([cell.spec for cell in cells])
    for cell in cells:
        cell.load.start()
    measuring = asyncio.create_task(_measure(address, cells))
    deadline = float("inf")
    while (now := time.monotonic()) < deadline:
        if deadline == float("inf") and all(cell.oldest.age(now, 0) == 0 for cell in cells):
            deadline = now + seconds
            for cell in cells:
                cell.load.go.set()
        for cell, answer in zip(cells, await reader.read([cell.spec for cell in cells]), strict=True):
            if isinstance(answer, QueueReading):
                cell.read(now, answer)
        await asyncio.sleep(READ_SECONDS)
    measuring.cancel()
    for cell in cells:
        cell.load.stop()
    await asyncio.wait((measuring,))
    await reader.close()
    return cells


def _cell(scenario: str, kind: QueueType, uri: str) -> Cell:
    name = f"{scenario}-{kind.value}"
    spec = QueueSpec(QueueDeclaration(name, kind), Declare.CREATE, f"{name}.dead", 20, None, None)
    return Cell(scenario, spec, Load(uri, name, scenario))


async def _measure(address: BrokerAddress, cells: Sequence[Cell]) -> None:
    """As the operator does it."""
    api = ManagementApi(address)
    try:
        while True:
            now = time.monotonic()
            answer = await api.read(now)
            for cell in cells:
                name = cell.spec.declaration.name
                sample, seen = answer.samples.get(name), answer.there.queues.get(name)
                if seen:
                    totals = QueueTotals(sample.published, sample.acked) if sample else None
                    cell.oldest.measured(now, totals, ordered=seen.ordered)
            await asyncio.sleep(MEASURE_SECONDS)
    finally:
        await api.close()


if __name__ == "__main__":
    main()
