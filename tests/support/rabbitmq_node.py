"""Where the node of a test's RabbitMQ runs: what its processes and a container have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

STOP_SECONDS = 60.0
#: A call of rabbitmqctl starts an Erlang machine.
CALL_SECONDS = 120.0
#: Flags of an Erlang machine whose threads sleep while there is nothing to do.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"

#: Variables of RabbitMQ's scripts, wherever the node runs.
VARIABLES: Mapping[str, str] = {
    "RABBITMQ_NODENAME": "rabbit@localhost",
    # Several brokers share the cores: no scheduler is bound to one, or turns there waiting for work. One that
    # turns is preempted instead of asleep: rabbitmqctl took 40 s for half a second of work on busy cores.
    "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
    "RABBITMQ_CTL_ERL_ARGS": f"{NO_SPINNING} +S 1:1",
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
    f"{NO_SPINNING} "
    "-rabbit quorum_tick_interval 1000",  # milliseconds between a quorum queue's statistics
}


@dataclass(frozen=True)
class Ports:
    """Those that a broker holds on this machine."""

    amqp: int
    management: int
    tls: int
    epmd: int
    distribution: int


class Node(Protocol):
    """One node. Its data survive stop(), kill() and another comes_up(); end() removes whatever runs of it."""

    #: The address that the broker itself listens on.
    listen: str

    @property
    def is_running(self) -> bool: ...

    @property
    def place(self) -> str:
        """The container's name, or the folder of the data."""

    def configure(self, ports: Ports, files: Mapping[str, str]) -> None:
        """Before the first comes_up(): its ports, and the texts of rabbitmq.conf and enabled_plugins."""

    def comes_up(self) -> bool:
        """Run what does not run yet; whether the broker answers in the end. False once it has ended."""

    def has_lost_a_port(self) -> bool:
        """Whether another program listens on one of its ports, asked after a start that failed."""

    def stop(self) -> None:
        """A clean stop."""

    def kill(self) -> None:
        """A crash."""

    def freeze(self) -> None:
        """Stop every thread of the broker, until thaw()."""

    def thaw(self) -> None:
        """Let it go on; does nothing to one that does."""

    def end(self) -> None: ...

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl prints; raises RuntimeError with its words when it fails."""

    def evaluate(self, erlang: str) -> str:
        """What erl_call prints about an Erlang expression: `{ok, VALUE}`."""

    def output(self) -> str:
        """What the broker printed."""

    def log(self) -> str:
        """What the broker logged."""
