"""The port to a consuming connection. amqp.ConsumerLink is one to RabbitMQ."""

from collections.abc import Callable
from typing import Protocol

from workqueue_worker.delivery import Delivery
from workqueue_worker.result import Action


class Link(Protocol):
    """A consuming connection. One thread at a time may use it, and another one may wait() at the same time."""

    #: The number of the connection, which its deliveries carry.
    epoch: int

    @property
    def consuming(self) -> bool: ...
    def wait(self, seconds: float) -> None: ...
    def turn(self) -> None: ...
    def ack(self, delivery: Delivery) -> None: ...
    def hand_back(self, delivery: Delivery) -> None: ...
    def return_failed(self, delivery: Delivery) -> None: ...
    def flush(self) -> None: ...
    def cancel(self) -> None: ...
    def consume(self) -> None: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


OpenLink = Callable[[int, Callable[[Delivery], None]], Link]

#: How each action is carried out.
SETTLE: dict[Action, Callable[[Link, Delivery], None]] = {
    Action.ACK: lambda link, delivery: link.ack(delivery),
    Action.HAND_BACK: lambda link, delivery: link.hand_back(delivery),
    Action.RETURN_FAILED: lambda link, delivery: link.return_failed(delivery),
}
