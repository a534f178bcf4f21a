"""What `helm test` runs: the programs themselves, against a real server, and the pods that carry them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.helm import Helm, Manifest, Pick

CHARTS = Path(__file__).parents[2] / "charts"
OPERATOR = CHARTS / "workqueue-operator" / "files" / "check_operator.py"
WORKERS = CHARTS / "workqueue" / "files" / "check_workers.py"
BROKER = {"broker": {"secretName": "rabbitmq"}}


@contextmanager
def server(pages: dict[str, tuple[int, str]]) -> Iterator[int]:
    """The port of a server of these pages."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = pages.get(self.path, (404, "not here"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        made.server_close()


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program.read_text(), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_worker_that_answers_passes() -> None:
    with server({"/metrics": (200, "# HELP x\nworkqueue_tasks_in_progress 1.0\n")}) as port:
        done = run(WORKERS, "127.0.0.1", str(port))
    assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{port}: workqueue_tasks_in_progress 1.0\n")


def test_a_worker_without_the_gauge_or_without_an_answer_fails_and_says_so() -> None:
    with server({"/metrics": (200, "up 1\n")}) as port:
        done = run(WORKERS, "127.0.0.1", str(port))
    assert (done.returncode, done.stdout) == (1, f"127.0.0.1:{port}: there is no workqueue_tasks_in_progress\n")
    done = run(WORKERS, "127.0.0.1", str(port))
    assert done.returncode == 1
    assert "no answer" in done.stdout
    assert "NetworkPolicy" in done.stdout


def test_no_worker_is_no_failure_and_said() -> None:
    done = run(WORKERS, "no-such-host.invalid", "8000")
    assert (done.returncode, done.stdout) == (0, "no-such-host.invalid: no worker runs now, so none was asked\n")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """A service account's folder, whose authority is the only one that is trusted."""
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        [*make, *names, "-keyout", tmp_path / "key", "-out", tmp_path / "ca.crt"], check=True, capture_output=True
    )
    (tmp_path / "token").write_text("secret-token")
    return tmp_path


@contextmanager
def api_server(account: Path, namespaces: dict[str, int]) -> Iterator[dict[str, str]]:
    """HTTPS that answers lists of WorkQueues with the status of each path, to the token alone; its environment."""
    import ssl

    class Lists(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == "Bearer secret-token"
            status = namespaces.get(self.path.removesuffix("?limit=1"), 404) if known else 401
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"items": [{}]} if status == 200 else {"message": "no"}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "ca.crt", account / "key")
    made.socket = context.wrap_socket(made.socket, server_side=True)
    Thread(target=made.serve_forever, daemon=True).start()
    host = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(made.server_address[1])}
    try:
        yield {**host, "ACCOUNT_DIR": str(account)}
    finally:
        made.shutdown()
        made.server_close()


ALL = "/apis/workqueue.dev/v1alpha1/workqueues"
BLUE = "/apis/workqueue.dev/v1alpha1/namespaces/blue/workqueues"


@pytest.mark.parametrize(
    ("health", "lists", "namespaces", "code"),
    [
        (200, {ALL: 200}, (), 0),
        (200, {BLUE: 200}, ("blue",), 0),
        (200, {ALL: 403}, (), 1),
        (200, {BLUE: 200}, ("blue", "green"), 1),
        (503, {ALL: 200}, (), 1),
    ],
)
def test_the_operator_must_be_healthy_and_may_list(
    account: Path, health: int, lists: dict[str, int], namespaces: Sequence[str], code: int
) -> None:
    with server({"/healthz": (health, "ok")}) as port, api_server(account, lists) as environment:
        done = run(OPERATOR, "127.0.0.1", str(port), *namespaces, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert f"/healthz: {health}: ok" in done.stdout
    assert all(path in done.stdout for path in lists)


def test_an_operator_that_does_not_answer_fails_with_a_remedy(account: Path) -> None:
    with server({}) as port:
        pass
    with api_server(account, {ALL: 200}) as environment:
        done = run(OPERATOR, "127.0.0.1", str(port), **environment)
    assert done.returncode == 1
    assert "no answer" in done.stdout
    assert "NetworkPolicy" in done.stdout


def test_the_operators_pod_asks_its_service_by_its_own_account(helm: Helm, one: Pick) -> None:
    objects = helm.template("workqueue-operator", {"watchNamespaces": ["blue", "green"]}, tests=True)
    service, deployment, pod = (one(objects, kind) for kind in ("Service", "Deployment", "Pod"))
    (container,) = pod["spec"]["containers"]
    program, host, port, *namespaces = container["args"]
    assert container["command"] == ["python3", "-c"]
    assert program.strip() == OPERATOR.read_text().strip()
    assert (host, int(port)) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    assert namespaces == ["blue", "green"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert pod["spec"]["serviceAccountName"] == account


@pytest.mark.parametrize("values", [{"handler": "my_tasks:handle"}, {"command": ["convert", "-"]}])
def test_the_workers_pod_checks_what_a_worker_needs_and_asks_each_worker(
    helm: Helm, one: Pick, values: Manifest
) -> None:
    objects = helm.template(
        "workqueue", {**BROKER, **values, "metricsPort": 9000, "env": [{"name": "A", "value": "1"}]}, tests=True
    )
    service, deployment, pod = (one(objects, kind) for kind in ("Service", "Deployment", "Pod"))
    (worker,) = deployment["spec"]["template"]["spec"]["containers"]
    check, asking = pod["spec"]["containers"]
    assert check["args"] == ["check", *worker.get("args", [])]
    for part in ("image", "env", "volumeMounts", "securityContext", "resources"):
        assert check[part] == worker[part], part
    assert pod["spec"]["volumes"] == deployment["spec"]["template"]["spec"]["volumes"]
    program, host, port = asking["args"]
    assert program.strip() == WORKERS.read_text().strip()
    assert (host, port) == (f"{service['metadata']['name']}.demo.svc", "9000")
    assert host != pod["metadata"]["name"], "that is the test's own pod, by its /etc/hosts"
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["clusterIP"] == "None"
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("chart", "values"), [("workqueue-operator", {}), ("workqueue", BROKER)])
def test_what_a_test_makes_is_no_part_of_the_release_and_goes_when_it_passed(
    helm: Helm, chart: str, values: Manifest
) -> None:
    extra = [item for item in helm.template(chart, values, tests=True) if item not in helm.template(chart, values)]
    assert extra
    for item in extra:
        annotations = item["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert set(annotations["helm.sh/hook-delete-policy"].split(",")) == {"before-hook-creation", "hook-succeeded"}
        assert re.fullmatch(r"[a-z0-9-]{1,63}", item["metadata"]["name"])


def test_a_long_name_leaves_room_for_the_tests_objects(helm: Helm) -> None:
    """A Service's name has at most 63 characters, and a Pod's host name is cut there."""
    values = {**BROKER, "fullnameOverride": "a" * 56}
    names = {item["metadata"]["name"] for item in helm.template("workqueue", values, tests=True)}
    assert max(map(len, names)) <= 63
