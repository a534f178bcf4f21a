"""What the demo shows while a step takes long: a line that moves on a terminal, a plain line now and then elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

PLAIN_SECONDS = 10.0


@contextmanager
def working(console: Console, title: str) -> Iterator[None]:
    """Around a step that may take seconds to minutes."""
    if console.is_terminal:
        with console.status(f"{title} …"):
            yield
        return
    ended, started = threading.Event(), time.monotonic()

    def show() -> None:
        while not ended.wait(PLAIN_SECONDS):
            print(f"{title} … {time.monotonic() - started:.0f} s", flush=True)

    print(f"{title} …", flush=True)
    printer = threading.Thread(target=show, daemon=True)
    printer.start()
    try:
        yield
    finally:
        ended.set()
        printer.join()
