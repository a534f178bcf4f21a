"""The main job without a cluster: `workqueue-operator local` runs the workers as processes of this machine.

Run by `make demo`. Where KUBE_CONTEXT names a cluster, or kind and docker are there, it runs `make demo-cluster`
instead, unless --here is given. It leaves nothing: its queues are deleted, and a RabbitMQ that it started ends.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.errors import BrokerError
from workqueue_operator.cluster.local.held_port import HeldPort
from workqueue_operator.local.own_broker import NoBroker

from dev.clusters import is_at_hand
from dev.kube import CHECKOUT, samples, total
from dev.local_broker import Broker, broker
from dev.reaction import in_words
from dev.sender import Sent, parse_summary
from dev.summary import Summary, busy_stopped
from dev.tasks import TASKS

MANIFESTS = Path(__file__).with_name("local_demo.yaml")
QUEUE = "workqueue-demo"
QUEUES = (QUEUE, f"{QUEUE}.dead")
#: Seconds after which a demo that does not end is given up, and between two looks.
DEADLINE_SECONDS = 300.0
LOOK_SECONDS = 0.1
#: Seconds that the workers have to leave once the demo is interrupted, and for the broker's totals, which are 5 s old.
END_SECONDS = 90.0
TOTALS_SECONDS = 15.0
PREFIX = "workqueue_operator_"
ACKED, REDELIVERED = "messages_acked_total", "messages_redelivered_total"

console = Console()


class DemoFailed(Exception):
    """The demo cannot go on; the message says what to do."""


@dataclass
class Seen:
    """What the metrics of `local` have shown so far."""

    address: str
    page: Mapping[str, float] = field(default_factory=dict)
    peak: int = 0
    #: When the Deployment was scaled, by the operator's clock.
    scales: set[float] = field(default_factory=set)

    def look(self) -> None:
        """A page that cannot be read changes nothing."""
        with suppress(OSError):
            with urllib.request.urlopen(self.address, timeout=5) as answer:
                self.page = samples(answer.read().decode())
            self.peak = max(self.peak, int(self.value("replicas") or 0))
            if scaled := self.value("last_scale_timestamp_seconds"):
                self.scales.add(scaled)

    def scaled(self, sent: Sent) -> datetime | None:
        """The first scale after the first publish."""
        after = min((time for time in self.scales if time > sent.first_publish.timestamp()), default=None)
        return None if after is None else datetime.fromtimestamp(after, UTC)

    def value(self, name: str) -> float | None:
        """The sum of a metric over its labels; None: it is not on the page."""
        there = any(key.split("{")[0] == PREFIX + name for key in self.page)
        return total(self.page, PREFIX + name) if there else None

    @property
    def quiet(self) -> bool:
        """No task waits and no worker runs, both seen."""
        return self.value("messages_ready") == 0 and self.value("replicas") == 0


def main() -> int:
    if sys.argv[1:] != ["--here"] and is_at_hand():
        os.execvp("make", ["make", "--no-print-directory", "demo-cluster"])
    console.print("No cluster is named: the demo runs on this machine. On Kubernetes: [bold]make demo-cluster[/]")
    try:
        with broker(console) as found:
            console.print(f"Broker: {found.words}", highlight=False)
            return demo(found)
    except (NoBroker, DemoFailed) as error:
        console.print("[red]Error:[/] ", end="")
        console.print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left.")
        return 130


def demo(found: Broker) -> int:
    with closing(HeldPort()) as port:
        seen = Seen(f"http://127.0.0.1:{port.number}/metrics")
        try:
            with operating(found, port.number) as local:
                until(lambda: seen.value("messages_ready") is not None, seen, local, "the operator reads the queue")
                sent = send(found)
                until(lambda: seen.scaled(sent) is not None, seen, local, "the first scale")
                until(lambda: seen.quiet, seen, local, "the last task")
                with suppress(DemoFailed):  # the broker's totals come seconds late
                    counted = (None, sent.confirmed)
                    until(lambda: seen.value(ACKED) in counted, seen, local, "the totals", TOTALS_SECONDS)
        finally:
            dead = delete_queues(found)
    print_summary(seen, sent, dead)
    print_hints()
    return 0


@contextmanager
def operating(found: Broker, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`workqueue-operator local` with this terminal, until the block ends; its workers have left then."""
    variables = {"AMQP_URL": found.uri, "METRICS_PORT": str(port)}
    if found.management_uri:
        variables["AMQP_MANAGEMENT_URL"] = found.management_uri
    command = [sys.executable, "-m", "workqueue_operator", "local", str(MANIFESTS)]
    local = subprocess.Popen(command, cwd=CHECKOUT, env=os.environ | variables)
    try:
        yield local
    finally:
        # Ctrl+C in the terminal has reached it, too: a second signal would hurry it.
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            local.send_signal(signal.SIGTERM)
        try:
            local.wait(END_SECONDS)
        finally:
            local.kill()


def send(found: Broker) -> Sent:
    """All tasks with new-task, as a person would; what it had confirmed."""
    with tempfile.NamedTemporaryFile("w", prefix="workqueue-demo-", suffix=".txt") as file:
        file.writelines(f"{task}\n" for task in TASKS)
        file.flush()
        command = [sys.executable, "-m", "workqueue_producer", "--queue", QUEUE, "--json", "--file", file.name]
        done = subprocess.run(
            command, env=os.environ | {"AMQP_URL": found.uri}, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise DemoFailed(f"the sender failed: {done.stderr.strip()}")
    return parse_summary(done.stdout)


def until(
    fact: Callable[[], bool],
    seen: Seen,
    local: "subprocess.Popen[bytes]",
    what: str,
    seconds: float = DEADLINE_SECONDS,
) -> None:
    """Look until it is so; raises DemoFailed."""
    deadline = time.monotonic() + seconds
    seen.look()
    while not fact():
        if local.poll() is not None:
            raise DemoFailed("`workqueue-operator local` ended; its last lines say why")
        if time.monotonic() > deadline:
            raise DemoFailed(f"not within {seconds:.0f} s: {what}")
        time.sleep(LOOK_SECONDS)
        seen.look()


def delete_queues(found: Broker) -> int:
    """Delete the demo's queues; how many messages were dead-lettered."""
    dead = 0
    with suppress(BrokerError), closing(connect(BrokerAddress.from_uri(found.uri), ConnectionSettings("demo"))) as made:
        for queue in QUEUES:
            deleted = made.channel().queue_delete(queue)
            dead = deleted.method.message_count
    return dead


def print_summary(seen: Seen, sent: Sent, dead: int) -> None:
    acked, redelivered = seen.value(ACKED), seen.value(REDELIVERED)
    # Without totals of the broker: none waits and no worker is left, so each was acked or dead-lettered.
    summary = Summary(
        sent=sent.confirmed,
        acked=sent.confirmed - dead if acked is None else int(acked),
        redelivered="not known: no management API" if redelivered is None else str(int(redelivered)),
        dead_lettered=dead,
        peak=seen.peak,
        reaction=in_words(sent.first_publish, seen.scaled(sent)),
        busy_stopped=busy_stopped(seen.page),
    )
    console.print(summary.table())


def print_hints() -> None:
    console.print("\nNothing is left of it. Next:")
    for command in (
        "docs/quick-start.md   your own function, scaled by load, in five minutes",
        "make demo-cluster     the same on Kubernetes, with dashboards",
    ):
        console.print(f"  {command}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
