"""What is registered with kopf decides what kopf writes on the objects: with on.event alone, nothing."""

import kopf
from workqueue_operator.loops import kopf_handlers
from workqueue_operator.store import Store


def registered() -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf_handlers.register(registry, Store(), lambda put: put())
    return registry


def test_work_queues_and_deployments_are_watched() -> None:
    selectors = [handler.selector for handler in registered()._watching.get_all_handlers()]
    assert {(one.group, one.any_name) for one in selectors if one} == {
        ("workqueue.dev", "workqueues"),
        ("apps", "deployments"),
    }


def test_nothing_is_registered_that_would_leave_a_finalizer_or_an_annotation() -> None:
    """Daemons and timers leave finalizers; handlers of changes (create, update, delete, field, resume) leave both."""
    registry = registered()
    for others in (registry._spawning, registry._changing, registry._indexing, registry._webhooks):
        assert not others.get_all_handlers()


def test_kopf_looks_for_no_peers_and_posts_no_events() -> None:
    made = kopf_handlers.settings()
    assert made.peering.standalone
    assert made.scanning.disabled
    assert not made.posting.enabled


def test_kopf_lists_page_by_page() -> None:
    """By default all objects come in one answer, with as many annotations as they have."""
    assert kopf_handlers.settings().watching.chunk_size == kopf_handlers.LIST_OBJECTS
