"""The operator's loops in a process of their own, with one broker that a test runs; leaves in order at SIGTERM.

`python attacked_process.py PORT`: the port of the broker on loopback.
"""

import asyncio
import signal
import sys

from tests.support.attack_world import attack_world


async def _run(port: str) -> None:
    running = asyncio.current_task()
    assert running
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    async with attack_world({"host": "127.0.0.1", "port": port}, amqp=True):
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(_run(sys.argv[1]))
    except asyncio.CancelledError:
        sys.exit(0)
