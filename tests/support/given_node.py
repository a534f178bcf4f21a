"""The node of a RabbitMQ that runs already: out of reach, so that what needs it skips the test."""

from collections.abc import Mapping
from typing import NoReturn

from tests.support.rabbitmq_node import Ports


def needs_own(what: str) -> NoReturn:
    """Skip the test; `what` it does with the broker."""
    import pytest  # here, as the benchmarks run without it

    pytest.skip(f"needs a RabbitMQ that the tests start, such as --rabbitmq docker:4.0: {what}")


class GivenNode:
    """Its node is out of reach: what needs it skips the test."""

    listen = "127.0.0.1"
    is_running = True
    place = "given"

    def configure(self, ports: Ports, files: Mapping[str, str]) -> None:
        needs_own("it is configured")

    def comes_up(self) -> bool:
        needs_own("it is started")

    def has_lost_a_port(self) -> bool:
        return False

    def stop(self) -> None:
        needs_own("it is stopped")

    def kill(self) -> None:
        needs_own("it is killed")

    def freeze(self) -> None:
        needs_own("it is frozen")

    def thaw(self) -> None:
        needs_own("it is frozen")

    def end(self) -> None:
        """Not ours to end."""

    def ctl(self, *arguments: str) -> str:
        needs_own("rabbitmqctl is called")

    def evaluate(self, erlang: str) -> str:
        needs_own("its node is asked or changed")

    def output(self) -> str:
        needs_own("its output is read")

    def log(self) -> str:
        needs_own("its log is read")
