"""Whether more workers would help: workers that only crash or cannot start are no reason to start more. Pure.

A crash loop is seen over several looks: between two crashes its pods run, and some of them may even be Ready.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workqueue_operator.cluster import Pod

#: Seconds for which a pod must not fail until it counts as well. Between two crashes a loop waits for longer, up to
#: five minutes, but then the kubelet says so (CrashLoopBackOff), and the pod fails at each look.
CALM_SECONDS = 60.0
#: The kubelet starts a container again at once for so many times; one crash is no loop.
FORGIVEN_RESTARTS = 1


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
    #: By pod name, those that still count.
    failures: Mapping[str, Failure] = field(default_factory=dict)
    #: What is wrong when at least half of the pods fail; None: most of them run.
    failing: str | None = None

    def looked(self, pods: Sequence[Pod], now: float, acked_at: float | None = None) -> "Health":
        """After a look at the pods; `acked_at` is when tasks were last seen to be acked, which ends what was before."""
        living = [pod for pod in pods if pod.active]
        failures = {name: failure for name, failure in self.failures.items() if _counts(failure, now, acked_at)}
        failures |= {pod.name: Failure(now, word) for pod in living if (word := self._trouble(pod))}
        told = _told(living, failures)
        if not living and failures:  # they all went while they failed: the next ones would most likely do the same
            told = self.failing
        return Health({pod.name: pod.restarts for pod in living}, failures, told)

    def _trouble(self, pod: Pod) -> str:
        """What is wrong with the pod now; "" for nothing."""
        known = self.restarts.get(pod.name, pod.restarts)
        return pod.trouble or ("restarted again" if pod.restarts > max(known, FORGIVEN_RESTARTS) else "")


def _counts(failure: Failure, now: float, acked_at: float | None) -> bool:
    return now - failure.time < CALM_SECONDS and (acked_at is None or acked_at <= failure.time)


def _told(living: Sequence[Pod], failures: Mapping[str, Failure]) -> str | None:
    words = Counter(failures[pod.name].word for pod in living if pod.name in failures)
    if not words or 2 * words.total() < len(living):
        return None
    (word, _), *_ = words.most_common(1)
    return f"{words.total()} of {len(living)} pods: {word}"
