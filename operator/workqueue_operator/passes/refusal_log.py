"""Logs and counts each request that the API server refused, and says when it may be asked again."""

import logging
from dataclasses import dataclass

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import ClusterError
from workqueue_operator.cluster.refusals import Refusal, refused
from workqueue_operator.metrics import Metrics
from workqueue_operator.resource import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefusalLog:
    """The log and the counter of refused requests."""

    metrics: Metrics
    clock: Clock

    def note(self, workqueue: Key, before: Refusal | None, error: ClusterError) -> Refusal:
        """Take in one more failure after those before it; the answer has the time of the next try."""
        now = self.clock.monotonic()
        refusal = refused(before, error, now)
        self.metrics.cluster_errors.labels(error.kind).inc()
        log.warning("%s: %s; trying again in %.1f s", workqueue, error, refusal.retry_at - now)
        return refusal
