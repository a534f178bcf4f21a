"""Events of kopf's watch change the store, and nothing else happens here.

Only on.event: daemons and timers would put a finalizer on every object, change-tracking handlers an annotation.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import kopf

from workqueue_operator.cluster.kubernetes_values import target_of
from workqueue_operator.resource import GROUP, PLURAL, VERSION, Key
from workqueue_operator.store import Store

#: Objects in a page of kopf's own lists: each may have 256 KiB of annotations, and by default all come at once.
LIST_OBJECTS = 20
#: Seconds after which the API server ends a stream, to be opened again: only then does it look at rights again.
STREAM_SECONDS = 60
#: Seconds before each further try of a request that the API server refused. Then the watch ends, and the border of
#: loops.py runs it again with a backoff of its own.
RETRIES_SECONDS = (1, 2, 4)


def register(registry: kopf.OperatorRegistry, store: Store, hand_over: Callable[[Callable[[], None]], None]) -> None:
    """Connect the watches of WorkQueues and Deployments to the store.

    kopf runs in a thread of its own: `hand_over` makes each change in the event loop that the store belongs to.
    """

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def see_workqueue(event: Mapping[str, Any], body: Mapping[str, Any], **_: Any) -> None:
        if _is_going(event, body):
            hand_over(partial(store.forget_workqueue, Key.of(body)))
        else:
            hand_over(partial(store.see_workqueue, body))

    @kopf.on.event("apps", "v1", "deployments", registry=registry)
    async def see_deployment(event: Mapping[str, Any], body: Mapping[str, Any], **_: Any) -> None:
        if _is_going(event, body):
            hand_over(partial(store.forget_target, Key.of(body)))
        else:
            hand_over(partial(store.see_target, target_of(body), listed=event["type"] is None))

    @kopf.on.login(registry=registry)
    async def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def settings() -> kopf.OperatorSettings:
    """kopf's settings: no peering, no scanning, streams that cannot go silent, a quick end."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.scanning.disabled = True
    made.networking.connect_timeout = 10
    made.networking.request_timeout = 30  # its own default is five minutes
    made.networking.error_backoffs = RETRIES_SECONDS
    made.watching.connect_timeout = 10
    made.watching.chunk_size = LIST_OBJECTS
    made.watching.server_timeout = STREAM_SECONDS  # inactivity_timeout watches the rest
    made.watching.client_timeout = STREAM_SECONDS + 10
    made.queueing.exit_timeout = 0.2  # what is queued only changes the store, and the next watch lists all of it
    made.posting.enabled = False  # our Events are made from decisions
    made.process.ultimate_exiting_timeout = None  # it would kill the process, and this is one thread of it
    return made


def _is_going(event: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    return event["type"] == "DELETED" or "deletionTimestamp" in body["metadata"]
