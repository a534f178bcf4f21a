"""A TCP port that no other program can be given: the workers' of `workqueue-operator local`, for the tests' servers."""

from workqueue_operator.cluster.local.held_port import PORTS, HeldPort

__all__ = ["PORTS", "HeldPort"]
