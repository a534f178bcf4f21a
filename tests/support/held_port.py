"""A TCP port that no other program can be given, for a server that starts on it later, ends and starts again."""

import random
import socket
from contextlib import suppress
from pathlib import Path

#: Below the ports that the kernel gives to programs that ask for any.
PORTS = range(20000, 32000)


class HeldPort:
    """Held from now until close().

    The socket is bound alone and never listens. SO_REUSEADDR, set only afterwards, admits a listener that sets it too,
    as Erlang's servers and Python's do, while a second HeldPort and the kernel's own choice are refused.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Raises OSError when no port is free."""
        self._socket = _bound(host)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
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


def listens(port: int, pid: int | None = None) -> bool:
    """Whether a process listens on the port, on any address of this machine: that of `pid`, or any."""
    sockets = _listening_on(port)
    return bool(sockets if pid is None else sockets & _sockets_of(pid))


def _listening_on(port: int) -> set[str]:
    """The inodes, from the kernel's tables (proc_net_tcp(5)): address, state 0A, inode."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError):  # a machine without IPv6
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _sockets_of(pid: int) -> set[str]:
    found = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found
