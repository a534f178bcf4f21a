"""The operator's entry: the command line, and the signals from the first moment.

workqueue-operator [run]                    scale all WorkQueues that are watched
workqueue-operator explain NAMESPACE/NAME   say why a WorkQueue has the workers it has
workqueue-operator local FILE…              run WorkQueues and their workers on this machine, without a cluster
workqueue-operator get                      list the WorkQueues of each `local` that runs, as `kubectl get wq` does
"""

import argparse
import os
import signal
import sys

from workqueue_operator import logs
from workqueue_operator.local.options import add_options, options_of
from workqueue_operator.resource import Key
from workqueue_operator.settings import InvalidSetting, Settings


def main() -> None:
    """Run a subcommand; exit 0 on a signal to stop, 1 on a failure, 2 on wrong usage."""
    # Process 1 of a container is not ended by a signal that it does not handle, and the imports below take seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    arguments = _parser().parse_args()
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidSetting as error:
        sys.exit(f"workqueue-operator: {error}")
    logs.configure(settings.log_format)
    if arguments.command in ("local", "get") or getattr(arguments, "local", False):
        sys.exit(_run_local(arguments, settings))
    try:
        from workqueue_operator import assembly
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("kopf", "kubernetes"):
            raise
        sys.exit(
            f"workqueue-operator: {error.name} is not installed, which a cluster needs: install the extra `operator`; "
            "without a cluster: `workqueue-operator local FILE…`, `workqueue-operator explain --local NAMESPACE/NAME`"
        )

    if arguments.command == "explain":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an interrupted answer is no success
        sys.exit(assembly.explain(arguments.workqueue, settings))
    assembly.run(settings)


def _run_local(arguments: argparse.Namespace, settings: Settings) -> int:
    """Without kopf and kubernetes, which need not be installed."""
    from workqueue_operator.local import command

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no start that is interrupted is a success
    if arguments.command == "explain":
        return command.explain(arguments.workqueue)
    if arguments.command == "get":
        return command.get()
    return command.run(options_of(arguments), settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workqueue-operator", description="Scales the workers of RabbitMQ queues.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="scale all WorkQueues that are watched (the default)")
    words = commands.add_parser("explain", help="say why a WorkQueue has the workers it has")
    words.add_argument("workqueue", metavar="NAMESPACE/NAME", type=_key)
    words.add_argument("--local", action="store_true", help="of a `workqueue-operator local` that runs")
    commands.add_parser("get", help="list the WorkQueues of each `local` that runs, as `kubectl get wq` does")
    add_options(commands.add_parser("local", help="run WorkQueues and their workers here, without a cluster"))
    return parser


def _key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    if not namespace or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAMESPACE/NAME")
    return Key(namespace, name)


if __name__ == "__main__":
    main()
