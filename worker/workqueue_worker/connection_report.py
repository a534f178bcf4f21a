"""What log, metrics and readiness probe report of the consuming connection, and the wait before the next one."""

import time

from workqueue_broker.errors import BrokerError, BrokerUnavailable

from workqueue_worker import logs
from workqueue_worker.health import Health, Readiness
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting

logger = logs.logger(__name__)


class ConnectionReport:
    """Reports each change of the connection. The consumer calls it where it makes the change."""

    def __init__(self, metrics: WorkerMetrics, health: Health, reconnecting: Reconnecting) -> None:
        self._metrics = metrics
        self._health = health
        self._reconnecting = reconnecting
        #: Until the next attempt to connect.
        self.pause_seconds = 0.0

    def not_opened(self, failure: Exception) -> None:
        """An attempt to connect failed."""
        error = self._wait_after(failure)
        self._not_ready(f"not consuming: {error}")
        logger.warning("not consuming: %s; next attempt in %.1f s", error, self.pause_seconds)

    def opened(self, *, again: bool) -> None:
        """The worker consumes. `again`: not for the first time."""
        self._reconnecting.connected(time.monotonic())
        self._metrics.reconnects.inc(int(again))
        self._metrics.connected.set(1)
        self._health.readiness = Readiness(ready=True, text="consuming")
        logger.info("consuming")

    def lost(self, failure: Exception, *, stopping: bool) -> None:
        """The connection failed. `stopping`: the worker leaves, which is what readiness goes on to report."""
        error = self._wait_after(failure)
        if not stopping:
            self._not_ready(f"not consuming: {error}")
        logger.warning("connection lost: %s", error)

    def no_free_thread(self) -> None:
        """No connection is opened for now."""
        self._not_ready(
            "not consuming: every slot has a task whose connection was lost; it connects when one has ended"
        )

    def stopping(self) -> None:
        """The worker must leave."""
        self._not_ready("leaving: takes no more tasks")

    def _wait_after(self, failure: Exception) -> BrokerError:
        error = _broker_error(failure)
        self.pause_seconds = self._reconnecting.wait_after(error, time.monotonic())
        self._metrics.connected.set(0)
        return error

    def _not_ready(self, text: str) -> None:
        self._health.readiness = Readiness(ready=False, text=text)


def _broker_error(failure: Exception) -> BrokerError:
    if isinstance(failure, BrokerError):
        return failure
    logger.error("the connection failed in an unknown way", exc_info=failure)
    return BrokerUnavailable(f"the connection failed: {type(failure).__name__}: {failure}")
