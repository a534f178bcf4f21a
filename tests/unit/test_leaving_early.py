"""Signals before the work begins: real processes, which end at once, in order, and with nothing in hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from workqueue_operator.cluster.local.held_port import HeldPort

from tests.support.fake_api import FakeApi
from tests.support.hostile_broker import Talk, until_gone, with_heartbeats
from tests.support.hostile_server import HostileServer
from tests.support.http_server import HttpServer
from tests.support.waiting import wait_until

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "ctrl-c"])
ROOT = Path(__file__).parents[2]
START_SECONDS = 40.0
END_SECONDS = 20.0


@contextmanager
def process(directory: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs in the directory, with its log in `log` there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "WORKER_"))}
    with (directory / "log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=directory, stdout=log, stderr=log, env=environment | variables
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def operator(directory: Path, api: HttpServer, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    kubeconfig = directory / "kubeconfig"
    cluster = {"name": "fake", "cluster": {"server": api.uri}}
    context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
    user = {"name": "fake", "user": {"token": "none"}}
    kubeconfig.write_text(
        json.dumps({"current-context": "fake", "clusters": [cluster], "contexts": [context], "users": [user]})
    )
    with closing(HeldPort()) as port:
        variables = {"KUBECONFIG": str(kubeconfig), "METRICS_PORT": str(port.number), **more}
        with process(directory, "workqueue_operator", **variables) as running:
            yield running


@SIGNALS
def test_an_operator_that_waits_for_the_definition_leaves_at_once(tmp_path: Path, number: signal.Signals) -> None:
    missing = (404, '{"message": "the server could not find the requested resource"}')
    with HttpServer(lambda _: missing) as api, operator(tmp_path, api) as running:
        wait_until(lambda: api.asked or None, START_SECONDS, f"it asks for WorkQueues; see {tmp_path}/log")
        running.send_signal(number)
        assert running.wait(END_SECONDS) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@SIGNALS
def test_an_operator_whose_watch_runs_leaves_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with HttpServer(FakeApi()) as api, operator(tmp_path, api, WATCH_NAMESPACES="team") as running:
        wait_until(lambda: any("watch=true" in path for path in api.asked), START_SECONDS, "kopf watches")
        running.send_signal(number)
        assert running.wait(END_SECONDS) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_an_operator_whose_watch_fails_goes_on_and_watches_again(tmp_path: Path) -> None:
    """WorkQueues are listed, but the API server's kinds, which kopf looks for, are not in its answer."""
    log, nothing = tmp_path / "log", json.dumps({"metadata": {}, "items": []})
    with HttpServer(nothing) as api, operator(tmp_path, api) as running:
        again = "watch of the cluster: the loop failed 2 times in a row"
        wait_until(lambda: again in log.read_text(), START_SECONDS, "the watch was tried again")
        running.send_signal(signal.SIGTERM)
        assert running.wait(END_SECONDS) == 0
    assert "KeyError: 'versions'" in log.read_text() or "KeyError: 'groups'" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("talk", [until_gone, with_heartbeats], ids=["says nothing", "answers no declaration"])
def test_an_operator_whose_broker_hangs_leaves_in_order(tmp_path: Path, talk: Talk) -> None:
    """Within its pod's grace period: no thread waits for a broker, and none is joined at the end."""
    with HostileServer(talk) as broker, (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "tests.support.attacked_process", str(broker.port)]
        with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as running:
            try:
                wait_until(lambda: broker.open or None, START_SECONDS, f"it is connected; see {tmp_path}/log")
                running.send_signal(signal.SIGTERM)
                assert running.wait(END_SECONDS) == 0
            finally:
                running.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()


IMPORTING = """
from pathlib import Path
import time
Path("importing").touch()
while not Path("release").exists():
    time.sleep(0.02)
def handle(body, task):
    pass
"""
#: A module that lets nothing through, not even the end of the process.
GREEDY = """
from pathlib import Path
import time
try:
    Path("importing").touch()
    while True:
        time.sleep(0.02)
except BaseException:
    pass
def handle(body, task):
    pass
"""


@SIGNALS
@pytest.mark.parametrize("module", [IMPORTING, GREEDY], ids=["slow", "greedy"])
def test_a_worker_whose_handler_is_still_imported_leaves_at_once(
    tmp_path: Path, number: signal.Signals, module: str
) -> None:
    (tmp_path / "slow_import.py").write_text(module)
    command = ("workqueue_worker", "run", "--handler", "slow_import:handle", "--metrics-port", "0")
    with process(tmp_path, *command, AMQP_URL="amqp://127.0.0.1:1/") as running:
        wait_until((tmp_path / "importing").exists, START_SECONDS, "the handler's module is being imported")
        running.send_signal(number)
        assert running.wait(END_SECONDS) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "consuming" not in log


def test_an_interrupted_check_is_no_success(tmp_path: Path) -> None:
    """Only a worker leaves in order when it is asked to; the other commands have not done what they were asked."""
    (tmp_path / "slow_import.py").write_text(IMPORTING)
    with process(tmp_path, "workqueue_worker", "check", "--handler", "slow_import:handle") as running:
        wait_until((tmp_path / "importing").exists, START_SECONDS, "the handler's module is being imported")
        running.send_signal(signal.SIGTERM)
        assert running.wait(END_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize("program", ["workqueue_worker", "workqueue_producer"])
@pytest.mark.parametrize(
    "variables",
    [
        {"AMQP_URL": "amqp://user:topsecret\u2048@h/"},
        {"AMQP_HOST": "a..b", "AMQP_PASSWORD": "topsecret"},
        {"AMQP_CA_FILE": "log", "AMQP_HOST": "h", "AMQP_PORT": "5671", "AMQP_PASSWORD": "topsecret"},
    ],
    ids=["uri", "host", "ca"],
)
def test_an_address_that_cannot_be_used_is_said_in_a_line_without_its_password(
    tmp_path: Path, program: str, variables: dict[str, str]
) -> None:
    with process(tmp_path, program, **variables) as running:
        assert running.wait(START_SECONDS) == 2
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert next(iter(variables)) in said
    assert "topsecret" not in said
