"""What a view of `local` shows: a row for each queue."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType
from workqueue_operator import web
from workqueue_operator.cluster.local.local_cluster import Hooks
from workqueue_operator.local.board import Row
from workqueue_operator.local.local_operator import LocalOperator
from workqueue_operator.local.options import Options
from workqueue_operator.local.preparation import prepare, read_files

from tests.support.local_run import NAME, manifests
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import until

pytestmark = pytest.mark.any_rabbitmq

#: Has two tasks in progress, whatever waits, and takes none.
WORKER = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"workqueue_tasks_in_progress 2\\n")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["METRICS_PORT"])), Page).serve_forever()
"""


async def test_a_row_has_what_waits_what_is_in_progress_the_workers_and_the_reason(
    rabbitmq: RabbitMQServer, tmp_path: Path
) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.CLASSIC).declare()  # one is known to be empty at once
    queue.server.collects_statistics_each_second()
    file = tmp_path / "manifests.yaml"
    file.write_text(manifests(queue, {"command": [sys.executable, "-c", WORKER]}))
    options = Options((str(file),), "default")
    prepared = prepare(read_files(options), options, None, None)
    async with web.open_session() as session:
        sending = ExitStack()
        operator = LocalOperator(prepared, tmp_path, session, Hooks())
        running = asyncio.create_task(operator.run(0, lambda _: None))

        async def row_that(fact: Callable[[Row], bool]) -> Row | None:
            return next((row for row in await operator.board.rows() if fact(row)), None)

        try:
            # What came before the first total has no age: only when the queue is known to be empty, that total is 0.
            await until(lambda: row_that(lambda row: row.oldest_seconds == 0), "the queue is known to be empty")
            await asyncio.to_thread(sending.enter_context, queue.sent(*["task"] * 5))
            row = await until(
                lambda: row_that(lambda row: row.ready == 3 and row.in_progress == 6), "three workers work"
            )
            assert (row.key, row.waiting, row.workers, row.ending) == (NAME, 5, 3, 0)
            assert (row.desired, row.reason) == (3, "AtMaxReplicas")
            oldest = await until(lambda: row_that(lambda row: row.oldest_seconds is not None), "the age is known")
            assert oldest.oldest_seconds is not None
            assert oldest.oldest_seconds >= 0
        finally:
            sending.close()
            running.cancel()
            await asyncio.wait([running])
            await operator.cluster.drain()
