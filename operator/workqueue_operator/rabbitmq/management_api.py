"""RabbitMQ's management API: reads of a virtual host what AMQP does not answer, up to 5 s old, and sets policies.

A number that the answer lacks is not known, never zero (rabbitmq-management#795: a new queue has none).

ManagementError
├── ManagementUnavailable  no usable answer; the next look asks again
├── ManagementRefused      the user may not: give it the tag that the message names
└── PolicyRefused          the broker does not accept this policy; another one may be fine
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import InvalidAddress

from workqueue_operator import web
from workqueue_operator.rabbitmq.queue_policy import Policy, QueueInForce, VirtualHost
from workqueue_operator.scaling.rates import Sample

TIMEOUT_SECONDS = 5.0
#: A policy may take that long in a virtual host with a thousand of them.
SET_TIMEOUT_SECONDS = 30.0
_COLUMNS = ",".join(
    (
        *("name", "messages_unacknowledged", "type", "policy", "effective_policy_definition"),
        *("messages", "consumers", "state", "leader", "online", "members"),
        *("messages_ready", "messages_ready_high", "arguments.x-max-priority", "arguments.x-max-length"),
        *("message_stats.publish", "message_stats.ack", "message_stats.redeliver"),
    )
)


class ManagementError(Exception):
    """The management API did not do what was asked; the message says why."""

    #: For the metric of broker errors.
    kind = "management"


class ManagementUnavailable(ManagementError):
    """No usable answer."""


class ManagementRefused(ManagementError):
    """The user, the password or the user's tags do not suffice."""

    kind = "management_refused"


class PolicyRefused(ManagementError):
    """RabbitMQ knows the user and does not accept the policy."""

    kind = "policy_refused"


@dataclass(frozen=True)
class VirtualHostReport:
    """A virtual host as the management API sees it."""

    #: Of each queue that has all numbers, by name.
    samples: Mapping[str, Sample]
    there: VirtualHost


class ManagementApi:
    """One address's management API; `namespace` is the one that its answers count for."""

    def __init__(self, address: BrokerAddress, namespace: str = "") -> None:
        self._address = address
        self._namespace = namespace
        self._opened: web.Site | None = None
        self._user = (address.management_login or (address.username, ""))[0]
        self._vhost = quote(address.virtual_host, safe="")

    async def close(self) -> None:
        """Give its connections back."""
        if self._opened:
            await self._opened.close()

    @property
    def _site(self) -> web.Site:
        """Raises ManagementUnavailable when the login is not for this host."""
        if self._opened is None:
            try:
                login = self._address.login_of_management()
            except InvalidAddress as error:
                raise ManagementUnavailable(str(error)) from error
            uri, tls = self._address.management_uri or "", self._address.management_tls
            self._opened = web.Site(uri, login, tls, self._namespace)
        return self._opened

    async def read(self, now: float) -> VirtualHostReport:
        """Two requests, however many queues there are; raises a ManagementError."""
        queues = await self._list(f"/api/queues/{self._vhost}?columns={_COLUMNS}&disable_stats=false")
        policies = await self._list(f"/api/policies/{self._vhost}")
        samples = {queue["name"]: sample_of(queue, now) for queue in queues}
        return VirtualHostReport(
            {name: sample for name, sample in samples.items() if sample is not None},
            VirtualHost(
                {one["name"]: _in_force(one) for one in queues}, {one["name"]: _policy(one) for one in policies}
            ),
        )

    async def set_policy(self, policy: Policy) -> None:
        """Set the policy, also over one of the same name; raises a ManagementError."""
        body = {
            "pattern": policy.pattern,
            "apply-to": policy.apply_to,
            "priority": policy.priority,
            "definition": dict(policy.definition),
        }
        try:
            path = f"/api/policies/{self._vhost}/{quote(policy.name, safe='')}"
            await self._site.put(path, body, SET_TIMEOUT_SECONDS)
        except web.Unreachable as error:
            raise self._error_of(error, "policymaker") from error

    async def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            listed = await self._site.get(path, TIMEOUT_SECONDS)
        except web.Unreachable as error:
            raise self._error_of(error, "management") from error
        if not isinstance(listed, list):
            raise ManagementUnavailable(f"{self._site.base}{path.partition('?')[0]} answers no list")
        return [item for item in listed if _has_name(item)]

    def _error_of(self, error: web.Unreachable, tag: str) -> ManagementError:
        text = str(error)
        if not isinstance(error, web.Refused):
            return ManagementUnavailable(text)
        if error.status in (401, 403):
            remedy = f"give the user {self._user} the tag {tag} or administrator, and permissions in the virtual host"
            return ManagementRefused(f"{text}; {remedy}")
        return PolicyRefused(text) if error.status == 400 else ManagementUnavailable(text)


def sample_of(queue: Mapping[str, Any], now: float) -> Sample | None:
    """The sample in a queue's object, or None when a number that matters is missing."""
    stats = queue.get("message_stats")
    if not isinstance(stats, Mapping):
        return None
    # A queue that was never acked or redelivered has no such total yet.
    totals = stats.get("publish"), stats.get("ack", 0), stats.get("redeliver", 0)
    published, acked, redelivered, unacknowledged = map(_count, (*totals, queue.get("messages_unacknowledged")))
    if published is None or acked is None or redelivered is None or unacknowledged is None:
        return None
    return Sample(now, published, acked, redelivered, unacknowledged)


def _has_name(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)


def _count(number: object) -> int | None:
    """The number, or None for what cannot be a count: the answer may be any server's."""
    return number if isinstance(number, int) and 0 <= number < 2**63 else None


def _in_force(queue: Mapping[str, Any]) -> QueueInForce:
    definition, empty = queue.get("effective_policy_definition"), _is_empty(queue)
    ordered = _is_ordered(queue)
    if definition is None:
        return QueueInForce(queue.get("type"), empty=empty, ordered=ordered)
    # There, and null: no policy applies. Erlang may write an empty object as an empty list.
    return QueueInForce(queue.get("type"), str(queue.get("policy") or ""), _mapping(definition), empty, ordered)


def _is_ordered(queue: Mapping[str, Any]) -> bool:
    """Since RabbitMQ 4 a quorum queue has priorities too, without an argument: messages of a high one are counted."""
    arguments, definition = _mapping(queue.get("arguments")), _mapping(queue.get("effective_policy_definition"))
    if "x-max-priority" in arguments or _count(queue.get("messages_ready_high", 0)) != 0:
        return False
    ready = _count(queue.get("messages_ready"))
    limits = [_count(limit) for limit in (arguments.get("x-max-length"), definition.get("max-length"))]
    return ready is not None and not any(limit is not None and ready >= limit for limit in limits)


def _is_empty(queue: Mapping[str, Any]) -> bool:
    """Of a quorum queue, by the numbers that its leader sent; anything but a whole answer is no."""
    if (_count(queue.get("messages")), _count(queue.get("consumers"))) != (0, 0):
        return False
    leader, online, members = queue.get("leader"), queue.get("online"), queue.get("members")
    if queue.get("state") != "running" or not isinstance(online, list) or not isinstance(members, list):
        return False
    return leader in online and 2 * len(online) > len(members)


def _policy(policy: Mapping[str, Any]) -> Policy:
    return Policy(
        policy["name"],
        str(policy.get("pattern", "")),
        _mapping(policy.get("definition")),
        _count(policy.get("priority")) or 0,
        str(policy.get("apply-to", "all")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
