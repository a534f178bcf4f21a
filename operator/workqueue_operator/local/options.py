"""The command line of `workqueue-operator local`."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: How a broker of our own is started.
BROKERS = ("docker", "installed")


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    #: "-" is standard input.
    files: tuple[str, ...]
    #: The namespace of objects without one.
    namespace: str
    #: The broker's address in the place of what the Secrets say; None: theirs.
    amqp_url: str | None = field(default=None, repr=False)
    #: One of BROKERS; None: no broker of our own.
    broker: str | None = None
    #: Folders by the name of the image that holds them.
    images: Mapping[str, Path] = field(default_factory=dict)
    #: Print the workers' output too.
    logs: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags of the subcommand."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="manifests; - is standard input")
    parser.add_argument(
        *("-n", "--namespace"), default="default", help="of objects whose manifest has none (default: default)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--amqp-url", metavar="URI", help="the broker, in the place of what the Secrets say (default: AMQP_URL)"
    )
    where.add_argument("--broker", choices=BROKERS, help="start a RabbitMQ, and remove it at the end")
    parser.add_argument(
        "--image",
        dest="images",
        action="append",
        type=_image,
        default=[],
        metavar="NAME=FOLDER",
        help="the image NAME is made from the worker's and this folder, in which its Dockerfile is; may be given again",
    )
    parser.add_argument("--logs", action="store_true", help="print the workers' output too")


def options_of(arguments: argparse.Namespace) -> Options:
    """What was parsed."""
    return Options(
        files=tuple(arguments.files),
        namespace=arguments.namespace,
        amqp_url=arguments.amqp_url,
        broker=arguments.broker,
        images=dict(arguments.images),
        logs=arguments.logs,
    )


def _image(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=FOLDER")
    if not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {folder!r}")
    return name, Path(folder).absolute()
