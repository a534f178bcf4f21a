"""`python3 -m dev.early_broker`: makes the RabbitMQ that the demo without a cluster will need, beside `make setup`.

On a machine without RabbitMQ both take most of a minute. It needs nothing but Python. What it prints is not kept: the
demo waits for what is still being made, shows that, and reports what cannot be made.
"""

import os
import shutil
import socket
import sys
from contextlib import closing, suppress

from dev.clusters import has_docker, is_at_hand
from tests.support.rabbitmq_versions import NotInstallable, ensure

#: RabbitMQ of the folder that is built where none is installed.
VERSION = "4.0"
PORT = 5672


def main() -> int:
    if is_needed():
        with suppress(NotInstallable):
            ensure(VERSION)
    return 0


def is_needed() -> bool:
    """Whether the demo will find no cluster, no address, no RabbitMQ and no docker."""
    if os.environ.get("AMQP_URL") or is_at_hand():
        return False
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/lib/rabbitmq/bin"))
    return not (shutil.which("rabbitmq-server", path=places) or has_docker() or _listens())


def _listens() -> bool:
    with closing(socket.socket()) as made:
        return made.connect_ex(("127.0.0.1", PORT)) == 0


if __name__ == "__main__":
    sys.exit(main())
