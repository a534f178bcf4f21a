"""Run by `helm test`: each worker that runs answers at its metrics port how many tasks it has in progress.

Arguments: a host name that stands for all workers, and their port. No worker is no failure: an empty queue has none.
"""

import socket
import sys
from http.client import HTTPConnection, HTTPException

GAUGE = "workqueue_tasks_in_progress"
TIMEOUT_SECONDS = 10


def main(host, port):
    workers = addresses(host, int(port))
    if not workers:
        print(f"{host}: no worker runs now, so none was asked")
    answered = [answers(worker, int(port)) for worker in workers]
    return 0 if all(answered) else 1


def addresses(host, port):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise


def answers(worker, port):
    try:
        connection = HTTPConnection(worker, port, timeout=TIMEOUT_SECONDS)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        print(f"{worker}:{port}: no answer: {error!r}. Does a NetworkPolicy let the operator connect to workers?")
        return False
    lines = [line for line in page.splitlines() if line.startswith(GAUGE)]
    print(f"{worker}:{port}: {lines[0] if lines else 'there is no ' + GAUGE}")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
