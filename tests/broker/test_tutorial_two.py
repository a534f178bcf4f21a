"""What tutorial two says, sentence by sentence, with our new-task and our workers as real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pika
import pytest
from workqueue_broker.declaration import QueueDeclaration, QueueType

from tests.support.new_task import new_task
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

PROGRAMS = Path(__file__).parents[1] / "support" / "tutorial_two_programs"
WAITING = " [*] Waiting for messages. To exit press CTRL+C"

Send = Callable[..., None]


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """new-task with each task's words, one after the other."""

    def send_all(queue: TaskQueue, *tasks: str) -> None:
        for task in tasks:
            run = new_task(queue.uri, tmp_path, *task.split(), QUEUE_TYPE=str(queue.type))
            assert (run.code, run.out) == (0, f" [x] Sent {task!r}\n"), run.err

    return send_all


def received(worker: WorkerProcess) -> list[str]:
    """What the worker says that it received, in order."""
    return re.findall(r"^ \[x\] Received '(.*)'$", worker.output, re.MULTILINE)


def done(workers: Sequence[WorkerProcess]) -> int:
    return sum(worker.output.count(" [x] Done\n") for worker in workers)


def has_received(worker: WorkerProcess, *bodies: str) -> bool:
    return received(worker) == list(bodies)


def are_done(workers: Sequence[WorkerProcess], count: int) -> bool:
    return done(workers) == count


def seconds_of_work(worker: WorkerProcess) -> dict[str, float]:
    """How long each task took, by the order in which the worker received them."""
    return dict(zip(received(worker), (float(str(outcome["seconds"])) for outcome in worker.outcomes), strict=True))


@pytest.mark.any_rabbitmq
def test_hello_world_is_the_task_without_words(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(quorum_queue).ready()
    run = new_task(quorum_queue.uri, tmp_path, QUEUE_TYPE=str(quorum_queue.type))
    assert (run.code, run.out) == (0, " [x] Sent 'Hello World!'\n")
    wait_until(lambda: worker.output.endswith(" [x] Done\n"), 30, "the task is done")
    assert worker.output.splitlines() == [WAITING, " [x] Received 'Hello World!'", " [x] Done"]


@pytest.mark.any_rabbitmq
def test_each_dot_is_a_second_of_work(quorum_queue: TaskQueue, start_worker: StartWorker, send: Send) -> None:
    worker = start_worker(quorum_queue).ready()
    send(quorum_queue, "Hello...", "no dot")
    worker.wait_for_metric("tasks_acked_total", 2)
    worked = seconds_of_work(worker)
    assert worked["Hello..."] >= 3
    assert worked["no dot"] < worked["Hello..."] - 2


@pytest.mark.parametrize("workers", [2, 3])
def test_tasks_go_to_the_workers_in_turn(task_queue: TaskQueue, start_worker: StartWorker, workers: int) -> None:
    """Each task is sent when the last is done, as a busy worker is left out of its turn (prefetch 1)."""
    started = [start_worker(task_queue).ready() for _ in range(workers)]
    tasks = ["First message", "Second message", "Third message", "Fourth message", "Fifth message", "Sixth message"]
    for count, task in enumerate(tasks, 1):
        task_queue.send(task, ids=[task])
        wait_until(partial(are_done, started, count), 30, f"{count} tasks are done")
        task_queue.wait_for_counts(ready=0, unacknowledged=0)
    shares = sorted((received(worker) for worker in started), key=lambda share: tasks.index(share[0]))
    assert shares == [tasks[first::workers] for first in range(workers)]


@pytest.mark.any_rabbitmq
def test_a_task_is_acknowledged_only_after_the_work(
    quorum_queue: TaskQueue, start_worker: StartWorker, send: Send
) -> None:
    worker = start_worker(quorum_queue).ready()
    send(quorum_queue, "long" + 6 * ".")
    wait_until(lambda: received(worker), 30, "the task is received")
    assert quorum_queue.counts() == (0, 1)
    wait_until(lambda: worker.output.endswith(" [x] Done\n"), 30, "the task is done")
    quorum_queue.wait_for_counts(ready=0, unacknowledged=0)


def test_a_worker_that_dies_loses_no_task_for_another_gets_it(
    task_queue: TaskQueue, start_worker: StartWorker, send: Send
) -> None:
    dying = start_worker(task_queue).ready()
    send(task_queue, "long........")
    wait_until(lambda: received(dying), 30, "the task is received")
    dying.kill()
    other = start_worker(task_queue).ready()
    wait_until(lambda: received(other) == ["long........"], 30, "the other worker has the task")
    assert " [x] Done" not in dying.output
    wait_until(lambda: done([other]) == 1, 60, "the task is done")
    task_queue.wait_for_counts(ready=0, unacknowledged=0)
    assert other.metric("tasks_redelivered_total") == 1


@pytest.mark.any_rabbitmq
def test_ctrl_c_on_a_worker_loses_no_task(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    """Once: the worker finishes what it has. Twice: another worker gets it."""
    patient = start_worker(quorum_queue).ready()
    first = "first" + 6 * "."  # long enough to be seen at work on a busy machine
    quorum_queue.send(first, "second")
    wait_until(lambda: received(patient) == [first], 30, "the first task is received")
    patient.process.send_signal(signal.SIGINT)
    assert patient.exit_code() == 0
    assert done([patient]) == 1
    quorum_queue.wait_for_counts(ready=1, unacknowledged=0)

    quorum_queue.take_all()
    hurried = start_worker(quorum_queue).ready()
    quorum_queue.send("third" + 30 * ".")
    wait_until(lambda: received(hurried), 30, "the third task is received")
    hurried.process.send_signal(signal.SIGINT)
    wait_until(lambda: hurried.get("/readyz")[0] == 503, 30, "the worker leaves")  # so it has heard the first
    hurried.process.send_signal(signal.SIGINT)
    hurried.exit_code()
    assert done([hurried]) == 0
    quorum_queue.wait_for_counts(ready=1, unacknowledged=0)


def test_rabbitmqctl_shows_the_messages_ready_and_unacknowledged(
    quorum_queue: TaskQueue, start_worker: StartWorker, send: Send
) -> None:
    worker = start_worker(quorum_queue).ready()
    send(quorum_queue, "busy" + 300 * ".", "waiting", "waiting too")  # longer than any rabbitmqctl
    wait_until(lambda: received(worker), 30, "the first task is received")

    def listed() -> bool:
        columns = ("name", "messages_ready", "messages_unacknowledged")
        lines = quorum_queue.server.ctl("list_queues", "--vhost", quorum_queue.vhost, "--no-table-headers", *columns)
        return "task_queue\t2\t1" in lines.splitlines()  # beside the dead-letter queue

    wait_until(listed, 120, "rabbitmqctl shows two ready and one unacknowledged")


def test_a_durable_queue_and_its_persistent_messages_survive_a_restart_of_the_broker(
    own_rabbitmq: RabbitMQServer, start_worker: StartWorker
) -> None:
    """One of each type, as a restart takes seconds."""
    queues = [TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_, type_).declare() for type_ in QueueType]
    for queue in queues:
        queue.send("First message.", "Second message")
    own_rabbitmq.restart()
    for queue in queues:
        queue.wait_for_counts(ready=2, unacknowledged=0)
        worker = start_worker(queue).ready()
        wait_until(partial(has_received, worker, "First message.", "Second message"), 30, "both are received")
        queue.wait_for_counts(ready=0, unacknowledged=0)


def test_declaring_the_queue_with_other_parameters_is_an_error_that_says_so(
    task_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    other = next(kind for kind in QueueType if kind is not task_queue.type)
    sent = new_task(task_queue.uri, tmp_path, "x", QUEUE_TYPE=str(other))
    assert sent.code == 3
    for words in (
        "PRECONDITION_FAILED",
        "inequivalent arg 'x-queue-type'",
        "set --queue-type (QUEUE_TYPE",
    ):
        assert words in sent.err
    worker = start_worker(TaskQueue(task_queue.server, task_queue.vhost, other))
    wait_until(lambda: "set --queue-type (QUEUE_TYPE" in worker.get("/readyz")[1], 30, "the worker says so")
    with task_queue.channel() as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker) as raised:
        channel.queue_declare(
            task_queue.name, durable=False, arguments=QueueDeclaration("q", task_queue.type).arguments
        )
    assert raised.value.reply_code in (406, 540)  # a quorum queue that is not durable is none: RabbitMQ says so first


def test_a_busy_worker_gets_no_task_that_an_idle_one_could_do(
    task_queue: TaskQueue, start_worker: StartWorker, send: Send
) -> None:
    """Odd messages heavy, even ones light: in blind turns one worker would get all of the heavy ones."""
    workers = [start_worker(task_queue).ready() for _ in range(2)]
    heavy = [f"heavy {number}...." for number in (1, 3, 5)]
    light = [f"light {number}" for number in (2, 4, 6)]
    task_queue.send(*(task for pair in zip(heavy, light, strict=True) for task in pair))
    wait_until(lambda: done(workers) == 6, 60, "all are done")
    shares = [received(worker) for worker in workers]
    first = next(share for share in shares if share[0] == "heavy 1....")
    other = next(share for share in shares if share is not first)
    assert other[:2] == ["light 2", "heavy 3...."]  # it does not wait for its turn, which a heavy one follows


@pytest.mark.any_rabbitmq
def test_more_workers_empty_a_queue_that_fills_up_sooner(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    """New tasks come twice as fast as one worker works; three are faster than that."""
    alone = start_worker(quorum_queue).ready()
    with Filling(quorum_queue, per_second=2.0) as filling:
        wait_until(lambda: quorum_queue.counts()[0] >= 5, 60, "the queue fills up beside its only worker")
        helpers = [start_worker(quorum_queue).ready() for _ in range(2)]
        sent = filling.sent
        wait_until(lambda: quorum_queue.counts()[0] == 0, 60, "the queue is empty while new tasks come")
        assert filling.sent > sent
    workers = [alone, *helpers]
    wait_until(lambda: done(workers) == filling.sent, 60, "all are done")
    shares = [received(worker) for worker in workers]
    assert sorted(task for share in shares for task in share) == sorted(f"task {n}." for n in range(filling.sent))
    assert all(shares)


class Filling:
    """Sends tasks of a second, steadily, until the block ends; `sent` counts up."""

    def __init__(self, queue: TaskQueue, per_second: float) -> None:
        self.sent = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(queue, 1 / per_second), daemon=True)

    def __enter__(self) -> "Filling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _fill(self, queue: TaskQueue, pause: float) -> None:
        while not self._ended.wait(pause):
            queue.send(f"task {self.sent}.")
            self.sent += 1


def test_a_task_whose_ack_is_forgotten_stays_unacknowledged_until_its_client_exits(task_queue: TaskQueue) -> None:
    """No message times out: only the end of the client's connection gives its tasks to others."""
    task_queue.send("forgotten")
    with task_queue.channel() as channel:
        wait_until(lambda: channel.basic_get(task_queue.name)[0], 30, "the task is taken")
        assert task_queue.counts() == (0, 1)
        with task_queue.channel() as other:
            assert other.basic_get(task_queue.name) == (None, None, None)
        assert task_queue.counts() == (0, 1)
    task_queue.wait_for_counts(ready=1, unacknowledged=0)
    with task_queue.channel() as channel:
        method, _, body = channel.basic_get(task_queue.name)
        assert (method.redelivered, body) == (True, b"forgotten")


def test_without_acks_a_worker_that_dies_loses_its_tasks(task_queue: TaskQueue) -> None:
    """The contrast (no_ack): a task is gone as soon as it is sent to the worker, also those that it had not begun."""
    task_queue.send("first", "second")
    with task_queue.channel() as channel:
        taken = channel.consume(task_queue.name, auto_ack=True)
        assert next(taken)[2] == b"first"
        task_queue.wait_for_counts(ready=0, unacknowledged=0)
    assert task_queue.take_all() == []


def test_without_a_prefetch_limit_dispatch_is_blind(task_queue: TaskQueue) -> None:
    """The contrast: every second message goes to each, whatever it has in hand; none waits for an idle worker."""
    taken: dict[str, list[bytes]] = {"one": [], "two": []}
    with task_queue.channel() as one, task_queue.channel() as two:
        for name, channel in (("one", one), ("two", two)):
            channel.basic_consume(task_queue.name, lambda *delivery, name=name: taken[name].append(delivery[3]))
        task_queue.send(*(f"task {number}" for number in range(6)))
        task_queue.wait_for_counts(ready=0, unacknowledged=6)  # neither has acked one
        for channel in (one, two):
            channel.connection.process_data_events(1.0)
    assert sorted(len(share) for share in taken.values()) == [3, 3]
    with task_queue.channel() as busy:
        busy.basic_consume(task_queue.name, lambda *_: None)
        task_queue.wait_for_counts(ready=0, unacknowledged=6)  # all of them, with nothing done


def test_without_durability_a_restart_of_the_broker_loses_the_tasks(own_rabbitmq: RabbitMQServer) -> None:
    """The contrast: it takes both, a durable queue and a persistent message; each task here lacks one.

    Classic queues, as a quorum queue is always durable and its messages always persistent.
    """
    forgotten = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, QueueType.CLASSIC, "queue_not_durable")
    emptied = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, QueueType.CLASSIC, "message_transient")
    with forgotten.channel() as channel:
        channel.confirm_delivery()
        for queue, durable, delivery_mode in ((forgotten, False, 2), (emptied, True, 1)):
            channel.queue_declare(queue.name, durable=durable)
            properties = pika.BasicProperties(delivery_mode=delivery_mode)
            channel.basic_publish("", queue.name, b"lost", properties, mandatory=True)
            assert queue.counts() == (1, 0)
    own_rabbitmq.restart()
    with emptied.channel() as channel:
        channel.queue_declare(emptied.name, passive=True)
        assert emptied.counts() == (0, 0)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            channel.queue_declare(forgotten.name, passive=True)


ARGUMENTS = {QueueType.CLASSIC: {}, QueueType.QUORUM: {"x-queue-type": "quorum"}}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Starts one of the tutorial's own programs, the first edition's (Classic) or today's (Quorum); its output file."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, queue: TaskQueue, *words: str) -> Path:
        variables = {"AMQP_URL": queue.uri, "QUEUE_ARGUMENTS": json.dumps(ARGUMENTS[queue.type])}
        output = tmp_path / f"{name}.out"
        with output.open("wb") as stream:
            command = [sys.executable, str(PROGRAMS / name), *words]
            processes.append(subprocess.Popen(command, stdout=stream, stderr=stream, env=os.environ | variables))
        return output

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("first", ["ours", "the tutorial's"])
def test_the_tutorials_own_new_task_and_our_worker_share_a_queue(
    rabbitmq: RabbitMQServer, queue_type: QueueType, start_worker: StartWorker, program: Callable[..., Path], first: str
) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type)
    if first == "ours":
        worker = start_worker(queue).ready()
    output = program("new_task.py", queue, "A", "task.")
    wait_until(lambda: "Sent 'A task.'" in output.read_text(), 30, "the tutorial's program has sent its task")
    if first != "ours":
        worker = start_worker(queue).ready()
    wait_until(lambda: received(worker) == ["A task."], 30, "our worker has it")
    queue.wait_for_counts(ready=0, unacknowledged=0)


@pytest.mark.parametrize("first", ["ours", "the tutorial's"])
def test_our_new_task_and_the_tutorials_own_worker_share_a_queue(
    rabbitmq: RabbitMQServer, queue_type: QueueType, send: Send, program: Callable[..., Path], first: str
) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type)
    if first == "ours":
        send(queue, "A task.")
    output = program("worker.py", queue)
    wait_until(lambda: WAITING in output.read_text(), 30, "the tutorial's worker waits")
    if first != "ours":
        send(queue, "A task.")
    lines = [WAITING, " [x] Received 'A task.'", " [x] Done"]
    wait_until(lambda: output.read_text().splitlines() == lines, 30, "the tutorial's worker has done it")
    queue.wait_for_counts(ready=0, unacknowledged=0)
