"""`workqueue-operator local`: from the command line to the end of the last worker."""

import asyncio
import logging
import os
from contextlib import suppress

from workqueue_broker import standard_streams

from workqueue_operator import web
from workqueue_operator.cluster.local.local_cluster import Hooks
from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests
from workqueue_operator.local import broker_check
from workqueue_operator.local.interruption import Interrupted, Interruption
from workqueue_operator.local.lines import WorkerOutput
from workqueue_operator.local.live_view import lines_or_view
from workqueue_operator.local.local_operator import LocalOperator
from workqueue_operator.local.options import Options
from workqueue_operator.local.own_broker import NoBroker, OwnBroker
from workqueue_operator.local.preparation import Prepared, prepare, read_files
from workqueue_operator.local.state_folder import StateFolder, Unusable, find_workqueue, workqueues
from workqueue_operator.resource import Key
from workqueue_operator.settings import Settings
from workqueue_operator.status import columns
from workqueue_operator.status import explain as explaining

#: A broker, port or folder cannot be used; a manifest cannot; Ctrl+C before the first worker.
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def run(options: Options, settings: Settings) -> int:
    """Run until a signal comes and the workers have finished; the exit code."""
    standard_streams.protect()  # a terminal that is closed must not keep the workers from finishing
    logging.getLogger().setLevel(logging.WARNING)  # each decision and Event is a line of its own
    try:
        asyncio.run(_run(options, settings))
    except InvalidManifest as error:
        return _complain(error, EXIT_USAGE)
    except (NoBroker, Unusable) as error:
        return _complain(error, EXIT_FAILED)
    except Interrupted:
        return EXIT_INTERRUPTED
    return 0


def explain(key: Key) -> int:
    """Print why a WorkQueue of a `local` that runs has the workers it has; the exit code."""
    try:
        body = find_workqueue(key)
    except Unusable as error:
        return _complain(error, EXIT_FAILED)
    if body is None:
        return _complain(Unusable(f"no `workqueue-operator local` of yours runs WorkQueue {key}"), EXIT_FAILED)
    standard_streams.say(explaining.explain(body))
    return 0


def get() -> int:
    """Print the WorkQueues of each `local` that runs, as `kubectl get wq` does; the exit code."""
    try:
        standard_streams.say(columns.table(workqueues()))
    except Unusable as error:
        return _complain(error, EXIT_FAILED)
    return 0


async def _run(options: Options, settings: Settings) -> None:
    interruption = Interruption()
    manifests = read_files(options)
    state = StateFolder()
    try:
        await _Run(options, settings, interruption, state).on_a_broker(manifests)
    finally:
        state.close()


class _Run:
    """One run: the broker, if it is our own, outlives the workers."""

    def __init__(self, options: Options, settings: Settings, interruption: Interruption, state: StateFolder) -> None:
        self._options = options
        self._settings = settings
        self._interruption = interruption
        self._state = state
        self._lines = lines_or_view()

    async def on_a_broker(self, manifests: Manifests) -> None:
        """With the broker of the options, the environment or the Secrets."""
        if self._options.broker is None:
            await self._prepared(manifests, *broker_check.override(self._options.amqp_url, os.environ))
            return
        broker = OwnBroker(self._options.broker, self._state.path)
        try:
            self._lines.say(f"RabbitMQ starts ({self._options.broker})")
            await self._interruption.unless_stopped(broker.start())
            self._lines.say(f"in other terminals: export AMQP_URL={broker.uri}")  # a guest's password, on loopback
            await self._prepared(manifests, broker.uri, broker.management_uri)
        finally:
            await broker.close()

    async def _prepared(self, manifests: Manifests, amqp_url: str | None, management_uri: str | None) -> None:
        prepared = prepare(manifests, self._options, amqp_url, management_uri)
        for note in prepared.notes:
            self._lines.say(note)
        for address, secret in broker_check.addresses(prepared.manifests).items():
            checking = asyncio.to_thread(broker_check.problem, address, secret)
            if trouble := await self._interruption.unless_stopped(checking):
                raise NoBroker(trouble)
            self._lines.say(f"broker: {address}")
        async with web.open_session() as session:
            await self._operate(prepared, session)

    async def _operate(self, prepared: Prepared, session: web.Session) -> None:
        hooks = Hooks(on_event=self._lines.event, on_pod=self._lines.pod)
        operator = LocalOperator(prepared, self._state.path, session, hooks)
        cluster, output = operator.cluster, WorkerOutput(self._state.path / "logs")
        hooks.on_status = lambda: self._state.write(cluster.bodies())
        following = asyncio.create_task(output.follow()) if self._options.logs else None
        showing = asyncio.create_task(self._lines.show(operator.board.rows))
        try:
            with suppress(Interrupted):
                await self._interruption.unless_stopped(operator.run(self._settings.metrics_port, self._serves))
        finally:
            self._interruption.hurry = cluster.hurry
            if pods := cluster.pods():
                self._lines.say(f"{len(pods)} workers finish their tasks; Ctrl+C again stops them")
            await cluster.drain()
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
            if following:
                following.cancel()
                output.look()

    def _serves(self, port: int) -> None:
        self._lines.say(f"metrics: http://127.0.0.1:{port}/metrics; workers' output: {self._state.path / 'logs'}")


def _complain(error: Exception, exit_code: int) -> int:
    standard_streams.complain(f"workqueue-operator: {error}")
    return exit_code
