"""Errors by broker and kind: kept while a WorkQueue uses the broker, bounded by the brokers that are in use."""

from workqueue_operator.rabbitmq.broker_errors import BrokerErrors


def test_errors_are_counted_by_broker_and_kind() -> None:
    errors = BrokerErrors()
    for kind in ("unavailable", "unavailable", "refused"):
        errors.count("a:5672", kind, lambda: ["a:5672"])
    assert errors.of("a:5672") == {"unavailable": 2, "refused": 1}
    assert errors.of("never:5672") == {}


def test_a_broker_that_no_workqueue_uses_is_forgotten_when_a_new_one_fails() -> None:
    errors = BrokerErrors()
    errors.count("gone:5672", "unavailable", lambda: ["gone:5672"])
    errors.count("kept:5672", "unavailable", lambda: ["gone:5672", "kept:5672"])
    errors.count("new:5672", "unavailable", lambda: ["kept:5672", "new:5672"])
    assert [sum(errors.of(broker).values()) for broker in ("gone:5672", "kept:5672", "new:5672")] == [0, 1, 1]


def test_the_brokers_in_use_are_asked_for_only_when_a_new_one_fails() -> None:
    asked: list[str] = []

    def in_use() -> list[str]:
        asked.append("once more")
        return ["a:5672", "b:5672"]

    errors = BrokerErrors()
    for broker in ("a:5672", "a:5672", "b:5672", "a:5672"):
        errors.count(broker, "unavailable", in_use)
    assert len(asked) == 2
