"""A team's own task: a JSON order is added up, and the sum is written to a file of the order's name."""

import json
import os
from pathlib import Path

from workqueue_worker.task import Reject, Retry, Task

SUMS = Path(os.environ.get("SUMS", "/tmp"))  # noqa: S108 - the one writable place of the image


def handle(body: bytes, task: Task) -> None:
    """Writes the same file when it runs twice, so a redelivered task does no harm."""
    try:
        order = json.loads(body)
        name, total = str(order["order"]), sum(line["price"] * line["count"] for line in order["lines"])
    except (ValueError, KeyError, TypeError) as error:
        raise Reject(f"no order: {error}") from error  # no attempt can fix it: dead-letter it
    try:
        (SUMS / name).write_text(f"{total}\n")
    except OSError as error:
        raise Retry(f"cannot write {name}: {error}", delay=10) from error
    print(f"order {name}: {total} (attempt {task.attempt})", flush=True)
