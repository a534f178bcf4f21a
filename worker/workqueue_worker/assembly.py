"""Puts a worker together from its settings, and runs it. Called by the command line."""

import functools
import os
import socket
import threading
from collections.abc import Callable, Mapping

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError
from workqueue_broker.standard_streams import say

from workqueue_worker import consumer_timeout, logs
from workqueue_worker.amqp import ConsumePlan, ConsumerLink, CopyLink, Trials
from workqueue_worker.command import CommandHandler
from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.consumer import Consumer
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.early_signals import EarlySignals
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import Handler, PythonHandler, load_function, tutorial
from workqueue_worker.health import Health
from workqueue_worker.holding import Holding
from workqueue_worker.keeper import Keeper
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.probes import ProbeServer
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.runner import Runner
from workqueue_worker.settings import DEFAULT_METRICS_PORT, DEFAULT_QUEUE, Settings, SettingsError, misspelled
from workqueue_worker.shutdown import EXIT_DRAINED
from workqueue_worker.supervisor import ABANDON_SECONDS, Supervisor

logger = logs.logger(__name__)


def run(settings: Settings, environment: Mapping[str, str], early_signals: EarlySignals) -> int:
    """Work on tasks until a signal; raises what is wrong with the settings, the address or the handler."""
    # Read again for each connection, as a mounted password may change; read now, so that a wrong one fails at once.
    read_address = functools.partial(BrokerAddress.from_environment, environment)
    address = read_address()
    _warn_of_mistakes(settings, environment)
    handler = choose_handler(settings)
    metrics = WorkerMetrics(settings.queue, settings.concurrency, settings.handler_name)
    health = Health(settings.concurrency)
    metrics.held.set_function(lambda: health.held)
    _serve_probes(settings.metrics_port, health, metrics)
    threading.Thread(target=_warn_of_consumer_timeout, args=(settings, address), daemon=True).start()
    open_link = functools.partial(_open_link, settings, read_address, health)
    finished = FinishedTasks()
    report = ConnectionReport(metrics, health, Reconnecting())
    consumer = Consumer(metrics, health, finished, report, settings.concurrency)
    keeper = Keeper(consumer, open_link, report, health)
    copies = CopyPublisher(
        lambda: CopyLink(read_address(), _copies_name(settings)),
        settings.dead_letter_declaration if settings.create else None,
    )
    runner = Runner(settings, worker_name(), handler, Holding(consumer, copies, health), metrics, finished)
    if not settings.handler and not settings.command:
        say(" [*] Waiting for messages. To exit press CTRL+C")
    os.register_at_fork(after_in_child=early_signals.over)  # a process that a handler forks is not the worker
    supervisor = Supervisor(settings, consumer, keeper, runner, copies, metrics, health)
    return EXIT_DRAINED if early_signals.asked else supervisor.run()


def choose_handler(settings: Settings) -> Handler:
    """The handler that the settings ask for; raises HandlerError."""
    if settings.command:
        return CommandHandler(settings.command)
    return PythonHandler(load_function(settings.handler) if settings.handler else tutorial)


def _warn_of_mistakes(settings: Settings, environment: Mapping[str, str]) -> None:
    for name, meant in misspelled(environment).items():
        logger.warning("the environment has %s, which is no setting of a worker's: is %s meant?", name, meant)
    if not settings.handler and not settings.command and settings.queue != DEFAULT_QUEUE:
        logger.warning(
            "no --handler (WORKER_HANDLER) and no command is set: the tutorial's handler does the tasks of queue %r",
            settings.queue,
        )


def worker_name() -> str:
    """The host's name; in a pod it is the pod's."""
    return socket.gethostname()


def _copies_name(settings: Settings) -> str:
    return f"{worker_name()} {settings.queue} copies"


def _serve_probes(port: int | None, health: Health, metrics: WorkerMetrics) -> ProbeServer:
    """On the port that was asked for, or else on the default one, or any when that is taken."""
    try:
        server = ProbeServer(DEFAULT_METRICS_PORT if port is None else port, health, metrics)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        if port is not None:
            raise SettingsError(
                f"--metrics-port (METRICS_PORT) {port}: {why}; set another port, or 0 for any free one"
            ) from error
        logger.warning("port %d: %s; taking a free one", DEFAULT_METRICS_PORT, why)
        server = ProbeServer(0, health, metrics)
    logger.info("metrics and probes", extra={"fields": {"port": server.port}})
    return server


def _open_link(
    settings: Settings,
    read_address: Callable[[], BrokerAddress],
    health: Health,
    epoch: int,
    on_delivery: Callable[[Delivery], None],
) -> ConsumerLink:
    address = read_address()
    # Before a task comes: one that fails could not be copied, and each return brings it nearer to the delivery limit.
    with Trials(address, _copies_name(settings), health.tick) as trials:
        trials.write()
    plan = ConsumePlan(
        address=address,
        connection_name=f"{worker_name()} {settings.queue}",
        queue=settings.declaration,
        dead_letter_queue=settings.dead_letter_declaration,
        create=settings.create,
        prefetch_count=settings.concurrency,
        alive=health.tick,
    )
    return ConsumerLink(plan, epoch, on_delivery)


def _warn_of_consumer_timeout(settings: Settings, address: BrokerAddress) -> None:
    hold_seconds = settings.task_timeout + ABANDON_SECONDS + settings.retry_max_delay
    try:
        timeout = consumer_timeout.read(address, settings.queue)
    except (consumer_timeout.Unreadable, BrokerError) as error:
        timeout = None
        logger.warning("the queue's consumer timeout cannot be read, so RabbitMQ's default is assumed: %s", error)
    text = consumer_timeout.warning(hold_seconds, timeout)
    if text:
        logger.warning(text)
