"""What keeps the workers from their work. Workers that only crash or cannot start are no reason to start more. Pure.

A crash loop is seen over several looks: between two crashes its pods run, and some of them may even be Ready.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from workqueue_broker.foreign_text import foreign_text

from workqueue_operator.cluster.port import Pod, Target
from workqueue_operator.scaling.decision import Unknown, Workers, silence
from workqueue_operator.scaling.demand import Counts

#: Seconds for which a pod must not fail until it counts as well. Between two crashes a loop waits for longer, up to
#: five minutes, but then the kubelet says so (CrashLoopBackOff), and the pod fails at each look.
CALM_SECONDS = 60.0
#: The kubelet starts a container again at once for so many times; one crash is no loop.
FORGIVEN_RESTARTS = 1
#: For a container that the kubelet started again.
RESTARTED = "a container ended and was restarted, see kubectl logs --previous"
#: Seconds for which a pod may be without a node before it counts: a cluster autoscaler may be adding one.
UNSCHEDULABLE_SECONDS = 30.0
#: Seconds for which Ready workers may leave messages alone, and for which workers may give no answer.
UNCONSUMED_SECONDS = 60.0
SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Failure:
    """What was last wrong with a pod."""

    #: Seconds of the operator's clock.
    time: float
    #: The kubelet's word.
    word: str


@dataclass(frozen=True)
class Health:
    """The pods of a Deployment over successive looks."""

    #: By pod name, at the last look.
    restarts: Mapping[str, int] = field(default_factory=dict)
    #: By pod name, the failures that still count.
    failures: Mapping[str, Failure] = field(default_factory=dict)
    #: By pod name, the pods without a node, and since when (seconds of the clock).
    unscheduled: Mapping[str, float] = field(default_factory=dict)
    #: What is wrong when at least half of the pods fail; None: most of them run.
    failing: str | None = None

    def looked(self, pods: Sequence[Pod], now: float, acked_at: float | None = None) -> "Health":
        """After a look at the pods; `acked_at` is when tasks were last seen to be acked, which ends what was before."""
        living = [pod for pod in pods if pod.active]
        failures = {name: failure for name, failure in self.failures.items() if _counts(failure, now, acked_at)}
        failures |= {pod.name: Failure(now, word) for pod in living if (word := self._trouble(pod))}
        unscheduled = {pod.name: self.unscheduled.get(pod.name, now) for pod in living if pod.unschedulable}
        failing = _most_fail(living, _words(living, failures, unscheduled, now))
        if not living and failures:  # they all went while they failed: the next ones would most likely do the same
            failing = self.failing
        return Health({pod.name: pod.restarts for pod in living}, failures, unscheduled, failing)

    def _trouble(self, pod: Pod) -> str:
        """What is wrong with the pod now; "" for nothing."""
        known = self.restarts.get(pod.name, pod.restarts)
        return pod.trouble or (RESTARTED if pod.restarts > max(known, FORGIVEN_RESTARTS) else "")


def _counts(failure: Failure, now: float, acked_at: float | None) -> bool:
    return now - failure.time < CALM_SECONDS and (acked_at is None or acked_at <= failure.time)


def _words(
    living: Sequence[Pod], failures: Mapping[str, Failure], unscheduled: Mapping[str, float], now: float
) -> list[str]:
    """What is wrong with each pod that fails, or has been without a node for long."""
    words = [failures[pod.name].word for pod in living if pod.name in failures]
    waiting = [pod for pod in living if pod.name not in failures and pod.unschedulable]
    return words + [pod.unschedulable for pod in waiting if now - unscheduled[pod.name] >= UNSCHEDULABLE_SECONDS]


def _most_fail(living: Sequence[Pod], words: Sequence[str]) -> str | None:
    if not words or 2 * len(words) < len(living):
        return None
    (word, _), *_ = Counter(words).most_common(1)
    return f"{len(words)} of {len(living)} pods fail: {foreign_text(word)}"


@dataclass(frozen=True)
class Unconsumed:
    """Messages that wait beside Ready workers while nothing consumes from the queue."""

    #: Seconds of the clock; since when none of them was taken.
    since: float
    messages: int


def unconsumed(before: Unconsumed | None, reading: Counts | Unknown, ready: int, now: float) -> Unconsumed | None:
    """After another reading. A message that goes without a consumer was fetched by a worker that polls: it works."""
    if isinstance(reading, Unknown) or reading.consumers or not reading.messages_ready or not ready:
        return None
    if before is None or reading.messages_ready < before.messages:
        return Unconsumed(now, reading.messages_ready)
    return replace(before, messages=reading.messages_ready)


@dataclass(frozen=True)
class Silence:
    """Workers that give no answer when they are asked for their tasks."""

    #: Seconds of the clock.
    since: float
    message: str


def silent_since(before: Silence | None, workers: Workers, now: float) -> Silence | None:
    """After the workers were asked again."""
    if not workers.silent:
        return None
    return Silence(before.since if before else now, silence(workers))


@dataclass(frozen=True)
class Obstacle:
    """What keeps the workers from their work; it becomes the condition WorkersHealthy."""

    #: One CamelCase word.
    reason: str
    message: str
    #: More workers would fare no better.
    stops_growth: bool = False


@dataclass(frozen=True)
class Signs:
    """What is known of the workers of one Deployment."""

    health: Health
    #: What is wrong when tasks only come back; None: acks come, or nothing is known.
    redelivering: str | None = None
    unconsumed: Unconsumed | None = None
    silence: Silence | None = None


def obstacle(target: Target, signs: Signs, now: float) -> Obstacle | None:
    """The worst obstacle, or None: obstacles that stop the growth come first."""
    failing = signs.health.failing or signs.redelivering
    if target.refused:
        return Obstacle(
            "PodsRefused", f"Deployment {target.key.name}: {foreign_text(target.refused)}", stops_growth=True
        )
    if failing:
        return Obstacle("WorkersFailing", failing, stops_growth=True)
    if target.stuck:
        return Obstacle("RolloutStuck", f"Deployment {target.key.name}: {foreign_text(target.stuck)}")
    if signs.unconsumed and now - signs.unconsumed.since >= UNCONSUMED_SECONDS:
        text = f"{target.ready} workers are Ready and messages wait, but nothing consumes from the queue"
        return Obstacle("NotConsuming", f"{text}: the workers take from another queue, or hang")
    if signs.silence and now - signs.silence.since >= SILENT_SECONDS:
        return Obstacle("WorkersSilent", signs.silence.message)
    return None
