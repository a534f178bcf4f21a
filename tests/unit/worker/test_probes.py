"""The probes answer whatever other clients do, with one thread."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from workqueue_worker.assembly import _serve_probes
from workqueue_worker.health import Health, Readiness
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.probes import HEAD_BYTES, MOST_CONNECTIONS, ProbeServer
from workqueue_worker.settings import DEFAULT_METRICS_PORT, SettingsError

from tests.support.waiting import wait_until

SLOW_CLIENTS = 400


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[ProbeServer]:
    """Its deadline is far away: what makes room here is the bound alone."""
    server = ProbeServer(0, health, WorkerMetrics("orders"), request_seconds=1000)
    yield server
    server.close()


def get(server: ProbeServer, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def connect(server: ProbeServer, stack: ExitStack, data: bytes) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    client.sendall(data)
    return client


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_pages_say_what_is_so(server: ProbeServer, health: Health) -> None:
    assert get(server, "/healthz") == (200, "alive\n")
    assert get(server, "/readyz?verbose") == (503, "starting: not connected yet\n")
    health.readiness = Readiness(ready=True, text="consuming")
    health.hold("copy", "full")
    assert get(server, "/readyz") == (200, "consuming; holding a failed task: full\n")
    assert "workqueue_tasks_acked_total" in get(server, "/metrics")[1]
    assert get(server, "/elsewhere")[0] == 404
    assert get(server, "/healthz", "HEAD") == (200, "")
    assert get(server, "/healthz", "POST")[0] == 405


def test_an_ipv6_client_is_answered_too(server: ProbeServer) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with urllib.request.urlopen(f"http://[::1]:{server.port}/healthz", timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "data", [b"", b"GET /hea", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"], ids=["none", "part", "head"]
)
def test_hundreds_of_slow_clients_keep_no_other_from_an_answer_and_cost_no_threads(
    server: ProbeServer, data: bytes
) -> None:
    threads = threading.active_count()
    with ExitStack() as stack:
        clients = [connect(server, stack, data) for _ in range(SLOW_CLIENTS)]
        for path in ("/healthz", "/metrics"):
            assert get(server, path)[0] == 200
        # That of a handler's collectors and the one that waits for them come with the first page.
        assert threading.active_count() <= threads + 2
        for client in clients[: SLOW_CLIENTS - MOST_CONNECTIONS]:
            assert is_closed(client), "those that waited longest made room"


class SlowMetrics(WorkerMetrics):
    """Those of a handler whose collectors take until they are released; and how often they were read."""

    def __init__(self) -> None:
        super().__init__("orders")
        self.readings = 0
        self.reading = threading.Event()
        self.released = threading.Event()

    def of_the_handler(self) -> bytes:
        self.readings += 1
        self.reading.set()
        self.released.wait()
        return b"theirs 1\n"


@pytest.fixture
def slow_metrics() -> Iterator[SlowMetrics]:
    metrics = SlowMetrics()
    yield metrics
    metrics.released.set()


@pytest.fixture
def slow_server(health: Health, slow_metrics: SlowMetrics) -> Iterator[ProbeServer]:
    server = ProbeServer(0, health, slow_metrics, request_seconds=1000)
    yield server
    slow_metrics.released.set()
    server.close()


def test_a_page_that_waits_for_a_handlers_collectors_keeps_no_probe_from_its_answer(
    slow_server: ProbeServer, slow_metrics: SlowMetrics
) -> None:
    with ExitStack() as stack:
        client = connect(slow_server, stack, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert slow_metrics.reading.wait(30)
        assert get(slow_server, "/healthz") == (200, "alive\n")
        assert get(slow_server, "/readyz")[0] == 503
        slow_metrics.released.set()
        assert b"theirs 1" in client.makefile("rb").read()


def test_pages_that_are_asked_for_while_one_is_built_are_that_one_and_their_numbers_are_of_its_end(
    slow_server: ProbeServer, slow_metrics: SlowMetrics
) -> None:
    """The operator asks just before a scale-down: a page of before its question would call a busy worker idle."""
    with ExitStack() as stack:
        first = connect(slow_server, stack, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert slow_metrics.reading.wait(30)
        slow_metrics.in_progress.set(1)
        others = [connect(slow_server, stack, b"GET /metrics HTTP/1.1\r\n\r\n") for _ in range(20)]
        wait_until(lambda: len(slow_server._open) == 21, 30, "all have asked")
        get(slow_server, "/healthz")  # whose connection came later
        slow_metrics.released.set()
        for client in (first, *others):
            assert b'workqueue_tasks_in_progress{queue="orders"} 1.0' in client.makefile("rb").read()
        assert slow_metrics.readings == 1
        assert "theirs 1" in get(slow_server, "/metrics")[1]
        assert slow_metrics.readings == 2


def test_the_workers_own_numbers_are_there_when_a_handler_has_used_up_all_threads(health: Health) -> None:
    class NoThreads(WorkerMetrics):
        def of_the_handler(self) -> bytes:
            raise RuntimeError("can't start new thread")

    server = ProbeServer(0, health, NoThreads("orders"))
    assert "workqueue_tasks_in_progress" in get(server, "/metrics")[1]
    server.close()


def test_clients_that_do_not_read_their_answer_keep_no_other_from_one(server: ProbeServer) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS + 20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert get(server, "/healthz")[0] == 200


def test_a_request_has_a_deadline_as_a_whole_and_not_for_each_byte(health: Health) -> None:
    server = ProbeServer(0, health, WorkerMetrics("orders"), request_seconds=0.2)
    with ExitStack() as stack:
        client = connect(server, stack, b"GET /healthz HTTP/1.1\r\n")
        client.settimeout(0.02)

        def dripped() -> bool:
            client.sendall(b"X")
            try:
                return client.recv(1) == b""
            except TimeoutError:
                return False

        def ended() -> bool:
            try:
                return dripped()
            except OSError:
                return True

        wait_until(ended, 10, "the server has closed the connection, though bytes still came")
    server.close()


def test_a_head_without_an_end_is_closed(server: ProbeServer) -> None:
    with ExitStack() as stack:
        client = connect(server, stack, b"")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012
            while True:
                client.sendall(b"X" * HEAD_BYTES)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(server: ProbeServer, health: Health) -> None:
    with pytest.raises(SettingsError, match="in use; set another port, or 0 for any free one"):
        _serve_probes(server.port, health, WorkerMetrics("orders"))


def test_a_second_worker_on_one_machine_takes_a_free_port(health: Health) -> None:
    with ExitStack() as stack:
        with suppress(OSError):  # another program has it, which is as good
            stack.enter_context(socket.create_server(("", DEFAULT_METRICS_PORT)))
        server = _serve_probes(None, health, WorkerMetrics("orders"))
        assert server.port != DEFAULT_METRICS_PORT
        assert get(server, "/healthz")[0] == 200
        server.close()
