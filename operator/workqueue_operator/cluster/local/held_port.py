"""A TCP port that no other program can be given, for a server that starts on it later, ends and starts again."""

import random
import socket
import sys

#: Below the ports that the kernel gives to programs that ask for any.
PORTS = range(20000, 32000)


class HeldPort:
    """Held from now until close().

    The socket is bound alone and never listens. SO_REUSEADDR, set only afterwards, admits a listener that sets it too,
    as Erlang's servers and Python's do, while a second HeldPort and the kernel's own choice are refused. Elsewhere than
    on Linux such a socket may receive the listener's connections, so the port is only chosen there, and not held.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Raises OSError when no port is free."""
        self._socket = _bound(host)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def close(self) -> None:
        """Give it up."""
        self._socket.close()


def _bound(host: str) -> socket.socket:
    for port in random.sample(PORTS, len(PORTS)):
        made = socket.socket()
        try:
            made.bind((host, port))
        except OSError:
            made.close()
        else:
            return made
    raise OSError(f"{host} has no free port from {PORTS.start} to {PORTS.stop - 1}")
