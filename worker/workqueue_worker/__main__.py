"""The command line: workqueue-worker [run|check|run-one|dead-letters], by default run.

Exit codes: 0 left in order, 1 a bug or a failed check, 2 a wrong setting, 75 a task had to be stopped.
"""

import argparse
import functools
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import InvalidAddress

from workqueue_worker import logs
from workqueue_worker.amqp import ConsumePlan, ConsumerLink, CopyLink
from workqueue_worker.command import CommandHandler
from workqueue_worker.consumer import Consumer
from workqueue_worker.copies import Copies
from workqueue_worker.delivery import Delivery
from workqueue_worker.handlers import Handler, HandlerError, PythonHandler, load_function, tutorial
from workqueue_worker.health import Health, ProbeServer
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.runner import Runner, RunnerSettings
from workqueue_worker.settings import RUN_OPTIONS, Settings, SettingsError, add_options, read_settings
from workqueue_worker.settlement import RetryPolicy
from workqueue_worker.worker import Limits, Parts, Worker

logger = logging.getLogger("workqueue_worker")

EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the console script's entry."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    if not words or words[0] not in {*_COMMANDS, "-h", "--help"}:
        words.insert(0, "run")
    options = _parser().parse_args(words)
    try:
        settings = read_settings(vars(options), command, os.environ)
        logs.configure(settings.log_format)
        return _COMMANDS[options.command](settings)
    except (SettingsError, InvalidAddress, HandlerError) as error:
        sys.stderr.write(f"workqueue-worker: {error}\n")
        return EXIT_USAGE


def run(settings: Settings) -> int:
    """Work on tasks until told to leave."""
    BrokerAddress.from_environment(os.environ)  # a wrong one is said now, not retried for ever
    handler = choose_handler(settings)
    metrics, health = WorkerMetrics(settings.queue), Health()
    try:
        server = ProbeServer(settings.metrics_port, health, metrics)
    except OSError as error:
        raise SettingsError(f"--metrics-port (METRICS_PORT) {settings.metrics_port}: {error.strerror}") from error
    logger.info("metrics and probes on port %d", server.port)
    consumer = Consumer(functools.partial(_open_link, settings), metrics, health)
    copies = Copies(
        lambda: CopyLink(BrokerAddress.from_environment(os.environ), f"{_worker_name()} {settings.queue} copies"),
        settings.dead_letter_declaration if settings.create else None,
    )
    runner = Runner(_runner_settings(settings), handler, consumer, copies, metrics, health)
    if not settings.handler and not settings.command:
        print(" [*] Waiting for messages. To exit press CTRL+C", flush=True)
    limits = Limits(task_timeout=settings.task_timeout, grace_period=settings.grace_period)
    return Worker(Parts(consumer, runner, copies, metrics), limits, settings.concurrency).run()


def choose_handler(settings: Settings) -> Handler:
    """The handler that the settings ask for; raises HandlerError."""
    if settings.command:
        return CommandHandler(settings.command)
    return PythonHandler(load_function(settings.handler) if settings.handler else tutorial)


def _open_link(settings: Settings, epoch: int, on_delivery: Callable[[Delivery], None]) -> ConsumerLink:
    plan = ConsumePlan(
        address=BrokerAddress.from_environment(os.environ),  # read anew: a mounted password may have changed
        connection_name=f"{_worker_name()} {settings.queue}",
        queue=settings.declaration,
        dead_letter_queue=settings.dead_letter_declaration,
        create=settings.create,
        prefetch_count=settings.concurrency,
    )
    return ConsumerLink(plan, epoch, on_delivery)


def _runner_settings(settings: Settings) -> RunnerSettings:
    return RunnerSettings(
        queue=settings.queue,
        dead_letter_queue=settings.dead_letter_queue,
        policy=RetryPolicy(max_attempts=settings.max_attempts, max_delay=settings.retry_max_delay),
        task_timeout=settings.task_timeout,
        worker=_worker_name(),
    )


def _worker_name() -> str:
    """In a pod the host's name is the pod's."""
    return socket.gethostname()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workqueue-worker",
        description="Work on the tasks of a durable RabbitMQ queue. The broker's address: AMQP_URL, AMQP_HOST or "
        "AMQP_SECRET_DIR.",
        epilog="Words after -- are a command that does each task: body on stdin, exit 0 done, 65 reject, others retry.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("run", help="work on tasks (the default)"), RUN_OPTIONS)
    return parser


_COMMANDS: dict[str, Callable[[Settings], int]] = {"run": run}


if __name__ == "__main__":
    sys.exit(main())
