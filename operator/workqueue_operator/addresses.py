"""Where the broker of a WorkQueue is: its Secret, read once and again when the broker refuses us or stays away."""

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import AccessRefused, BrokerError, InvalidAddress

from workqueue_operator.clock import Clock
from workqueue_operator.cluster import Cluster, ClusterError, NotFound
from workqueue_operator.resource import Key, WorkQueue
from workqueue_operator.store import Store, Tracked

#: Seconds after which a Secret is read again while it, or the broker it names, does not work.
REREAD_SECONDS = 10.0


class Addresses:
    """Looks addresses up for the WorkQueues of a store."""

    def __init__(self, store: Store, cluster: Cluster, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._read_at: dict[Key, float] = {}

    async def look_up(self) -> None:
        """Give each WorkQueue that has none, or one that does not work, what its Secret says now."""
        self._forget_the_gone()
        for tracked in self._store:
            if isinstance(tracked.spec, WorkQueue) and self._is_due(tracked):
                self._read_at[tracked.key] = self._clock.monotonic()
                tracked.address = await self._read(tracked.spec)

    def _is_due(self, tracked: Tracked) -> bool:
        if tracked.address is None:
            return True
        read_at = self._read_at.get(tracked.key, float("-inf"))
        return not _works(tracked) and self._clock.monotonic() - read_at >= REREAD_SECONDS

    async def _read(self, workqueue: WorkQueue) -> BrokerAddress | BrokerError | ClusterError:
        key = Key(workqueue.key.namespace, workqueue.broker_secret)
        try:
            return BrokerAddress.from_secret(await self._cluster.read_secret(key))
        except NotFound:
            text = f"spec.broker.secretName: there is no Secret {key.name} in namespace {key.namespace}; create it"
            return InvalidAddress(text)
        except InvalidAddress as error:
            return InvalidAddress(f"Secret {key.name} (spec.broker.secretName): {error}")
        except ClusterError as error:
            return error

    def _forget_the_gone(self) -> None:
        living = {tracked.key for tracked in self._store}
        self._read_at = {key: time for key, time in self._read_at.items() if key in living}


def _works(tracked: Tracked) -> bool:
    return isinstance(tracked.address, BrokerAddress) and not isinstance(
        tracked.trouble, AccessRefused | ConnectionError
    )
