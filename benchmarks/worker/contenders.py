"""Who is measured, and how each is started and given its tasks: as its own documentation says, for late acks."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

QUEUE = "tasks"


@dataclass(frozen=True)
class Contender:
    """One way to work on a queue."""

    name: str
    #: Tasks that the broker may have given it at a time.
    prefetch: int
    command: Sequence[str]
    #: Tasks that it works on at a time.
    concurrency: int = 1
    #: What sends its tasks, in its own format; empty: this project's publisher does.
    sends: Sequence[str] = ()
    #: More of the environment.
    variables: Mapping[str, str] = field(default_factory=dict)


def contenders(prefetch: int, queue_type: str, peers: Path) -> list[Contender]:
    """All of them at one prefetch; `peers` is the folder of their environment's programs."""
    number = str(prefetch)
    return [
        Contender("bare loop", prefetch, [sys.executable, "bare_loop.py"]),
        Contender("this worker", prefetch, _ours(number, queue_type), prefetch),
        _celery("Celery, solo", prefetch, peers, "--pool", "solo", "--prefetch-multiplier", number),
        _celery("Celery, one process", prefetch, peers, "--pool", "prefork", "--prefetch-multiplier", number),
        *([_celery_threads(prefetch, peers)] if prefetch > 1 else []),
        Contender(
            f"Dramatiq, {prefetch} thread{'s' if prefetch > 1 else ''}",
            prefetch,
            [str(peers / "dramatiq"), "dramatiq_app", "--processes", "1", "--threads", number, "--skip-logging"],
            prefetch,
            sends=[str(peers / "python"), "dramatiq_app.py"],
            variables={"dramatiq_queue_prefetch": number},
        ),
    ]


def _ours(concurrency: str, queue_type: str) -> list[str]:
    flags = ["--queue", QUEUE, "--queue-type", queue_type.capitalize(), "--metrics-port", "0"]
    run = [sys.executable, "-m", "workqueue_worker", "run", "--handler", "ours:handle"]
    return [*run, *flags, "--concurrency", concurrency]


def _celery(name: str, prefetch: int, peers: Path, *flags: str, concurrency: int = 1) -> Contender:
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    worker = [str(peers / "celery"), "--app", "celery_app", "worker", "--concurrency", str(concurrency)]
    sends = [str(peers / "python"), "celery_app.py"]
    return Contender(name, prefetch, [*worker, *flags, *lean], concurrency, sends)


def _celery_threads(prefetch: int, peers: Path) -> Contender:
    """As many tasks in progress as ours and Dramatiq's; Celery multiplies its threads by the multiplier."""
    name = f"Celery, {prefetch} threads"
    return _celery(name, prefetch, peers, "--pool", "threads", "--prefetch-multiplier", "1", concurrency=prefetch)
