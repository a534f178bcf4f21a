"""Which TCP ports are listened on, by the kernel's own tables (proc_net_tcp(5)), and whether by a given process."""

from contextlib import suppress
from pathlib import Path


def listens(port: int, pid: int | None = None) -> bool:
    """Whether a process listens on the port, on any address of this machine: that of `pid`, or any."""
    sockets = _listening_on(port)
    return bool(sockets if pid is None else sockets & _sockets_of(pid))


def _listening_on(port: int) -> set[str]:
    """The inodes of the listening sockets: field 1 is the address, field 3 the state 0A, field 9 the inode."""
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
