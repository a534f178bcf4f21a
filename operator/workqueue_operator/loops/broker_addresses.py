"""Where the broker of a WorkQueue is: its Secret, read now and then, and sooner while the broker does not work.

A Secret that several WorkQueues name is read once for all of them. One that became unusable does not take away an
address that works: an Event reports it, and the queues are still read.
"""

import hashlib
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workqueue_broker.address import SECRET_KEYS, BrokerAddress
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, InvalidAddress

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, ClusterUnavailable, NotFound, Notice
from workqueue_operator.loops.border import place_of
from workqueue_operator.metrics import Metrics
from workqueue_operator.resource import Key
from workqueue_operator.store import MOST_SECRETS, Store
from workqueue_operator.tracked import Address, Tracked

#: Seconds after which a Secret is read again while it, or the broker it names, does not work.
REREAD_SECONDS = 10.0
#: The same while all is well. A fifth more or less by chance, so that many are not read at once forever.
RECHECK_SECONDS = 60.0
RECHECK_JITTER = 0.2

log = logging.getLogger(__name__)


class TooManySecrets(BrokerError):
    """The Secret is not read, as older WorkQueues of its namespace name as many others as are allowed."""

    kind = "too_many_secrets"


@dataclass
class _Secret:
    """What a Secret last said, and when it is read again, in seconds of the clock."""

    address: Address
    read_at: float
    recheck_at: float
    #: What a Warning reported to be wrong with it; None: nothing.
    unusable: str | None = None


@dataclass(frozen=True)
class _Parsed:
    """What a Secret's text means. The text itself, which may be a MiB, is not kept."""

    digest: bytes
    address: Address


class BrokerAddresses:
    """Looks addresses up for the WorkQueues of a store."""

    def __init__(self, store: Store, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._secrets: dict[Key, _Secret] = {}
        #: A Secret that is read again is mostly unchanged, and opening its keys and certificates takes time.
        self._parsed: dict[Key, _Parsed] = {}

    async def look_up(self) -> None:
        """Read the Secrets that are due, and give each WorkQueue what its Secret says."""
        users, too_many = self._store.users()
        for key, refused in too_many.items():
            for tracked in refused:
                self._store.set_address(tracked, _one_too_many(key))
        self._secrets = {key: secret for key, secret in self._secrets.items() if key in users}
        self._parsed = {key: parsed for key, parsed in self._parsed.items() if key in users}
        for key, sharing in users.items():
            known = self._secrets.get(key)
            if known is None or self._is_due(known, sharing):
                self._secrets[key] = self._taken(key, sharing, await self._read(key))
            for tracked in sharing:
                if _names(tracked, key):  # it may have changed while the Secret was read
                    self._store.set_address(tracked, self._secrets[key].address)

    def _is_due(self, known: _Secret, sharing: Sequence[Tracked]) -> bool:
        now = self._clock.monotonic()
        return now >= known.recheck_at or (not _works(known.address, sharing) and now - known.read_at >= REREAD_SECONDS)

    def _taken(self, key: Key, sharing: Sequence[Tracked], said: Address) -> _Secret:
        known, now = self._secrets.get(key), self._clock.monotonic()
        recheck_at = now + RECHECK_SECONDS * random.uniform(1 - RECHECK_JITTER, 1 + RECHECK_JITTER)
        unusable = known.unusable if known else None
        if isinstance(said, BrokerAddress):
            if unusable:
                for tracked in sharing:
                    tracked.notices.append(Notice("SecretUsable", f"Secret {key.name} can be used again"))
            return _Secret(said, now, recheck_at)
        if known is None or not _works(known.address, sharing):
            return _Secret(said, now, recheck_at, unusable)
        if str(said) != unusable and not isinstance(said, ClusterUnavailable):
            for tracked in sharing:
                text = f"{said}; the address from before still works and is used until the operator restarts"
                tracked.notices.append(Notice("SecretUnusable", text, "Warning"))
        return _Secret(known.address, now, recheck_at, str(said))

    async def _read(self, key: Key) -> Address:
        try:
            return self._address(key, await self._cluster.read_secret(key))
        except NotFound:
            text = f"spec.broker.secretName: there is no Secret {key.name} in namespace {key.namespace}; create it"
            return InvalidAddress(text)
        except ClusterError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the border: one Secret, or its reading, costs no other WorkQueue
            # Without its words, which may hold the password.
            self._metrics.loop_failures.labels("secret").inc()
            log.error("Secret %s cannot be read: %s in %s", key, type(error).__name__, place_of(error))
            text = f"Secret {key.name} (spec.broker.secretName) cannot be read: {type(error).__name__}"
            return BrokerError(f"{text}; the operator's log says where: report it if it stays")

    def _address(self, key: Key, data: Mapping[str, str]) -> Address:
        """What the Secret says; parsed once, unless what failed is this machine's, such as a full /tmp."""
        digest, known = _digest(data), self._parsed.get(key)
        if known is not None and known.digest == digest:
            return known.address
        address, lasting = _parsed(key, data)
        if lasting:
            self._parsed[key] = _Parsed(digest, address)
        return address


def _digest(data: Mapping[str, str]) -> bytes:
    return hashlib.sha256(json.dumps([data.get(key) for key in SECRET_KEYS]).encode()).digest()


def _parsed(key: Key, data: Mapping[str, str]) -> tuple[Address, bool]:
    """The address, or why there is none, and whether the text alone decides about that."""
    try:
        return BrokerAddress.from_secret(data), True
    except InvalidAddress as error:
        unusable = InvalidAddress(f"Secret {key.name} (spec.broker.secretName): {error}")
        return unusable, not isinstance(error.__cause__, OSError)


def _one_too_many(secret: Key) -> TooManySecrets:
    return TooManySecrets(
        f"spec.broker.secretName: Secret {secret.name} is not read, as the older WorkQueues of namespace "
        f"{secret.namespace} name {MOST_SECRETS} others, the most for one namespace: name one of those"
    )


def _names(tracked: Tracked, secret: Key) -> bool:
    return tracked.workqueue is not None and tracked.workqueue.broker_secret == secret.name


def _works(address: Address, sharing: Sequence[Tracked]) -> bool:
    """True while no WorkQueue on this address is refused, timed out or unable to connect."""
    broken = AccessRefused | BrokerUnavailable | InvalidAddress
    troubles = (tracked.last.trouble for tracked in sharing)
    return isinstance(address, BrokerAddress) and not any(isinstance(trouble, broken) for trouble in troubles)
