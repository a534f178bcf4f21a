"""The task as this project's worker runs it: --handler ours:handle."""

from task import work


def handle(_body: bytes, _task: object) -> None:
    """See task.work."""
    work()
