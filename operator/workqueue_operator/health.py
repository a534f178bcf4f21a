"""Whether more workers would help: workers that only crash or cannot start are no reason to start more. Pure."""

from collections import Counter
from collections.abc import Sequence

from workqueue_operator.cluster import Pod


def failing(pods: Sequence[Pod]) -> str | None:
    """What is wrong when at least half of the pods cannot run, in the kubelet's word; None when most can."""
    living = [pod for pod in pods if not pod.terminating]
    troubles = Counter(pod.trouble for pod in living if pod.trouble)
    if not troubles or 2 * troubles.total() < len(living):
        return None
    (word, count), *_ = troubles.most_common(1)
    return f"{count} of {len(living)} pods: {word}"
