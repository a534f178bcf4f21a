"""The test Prometheus itself: what the tests of alerts and dashboards build on."""

import socket
from pathlib import Path
from urllib.error import HTTPError

import pytest
from workqueue_operator.cluster.local.held_port import HeldPort

from dev.prometheus import Programs
from tests.support.prometheus_server import PrometheusServer, Promtool, running
from tests.support.waiting import wait_until

SCRAPE_ITSELF = {"job_name": "itself", "scrape_interval": "1s", "scrape_timeout": "1s"}


def test_it_scrapes_what_its_configuration_names(prometheus_programs: Programs, tmp_path: Path) -> None:
    page = HeldPort()
    target = {**SCRAPE_ITSELF, "static_configs": [{"targets": [f"127.0.0.1:{page.number}"]}]}
    with running(prometheus_programs, tmp_path, {"scrape_configs": [target]}) as server:
        (down,) = wait_until(lambda: server.query("up") or None, 30, "a scrape of a port that no program listens on")
        assert down["metric"]["job"] == "itself"
        assert down["value"][1] == "0"
        with pytest.raises(HTTPError):
            server.query("rate(")
    page.close()


def test_it_starts_on_another_port_when_its_own_is_taken(prometheus_programs: Programs, tmp_path: Path) -> None:
    server = PrometheusServer(prometheus_programs, tmp_path, {})
    try:
        with socket.create_server(("127.0.0.1", server.port)) as other:
            server.start()
            assert server.port != other.getsockname()[1]
            assert server.query("vector(1)")[0]["value"][1] == "1"
    finally:
        server.close()


def test_a_configuration_that_it_refuses_is_named(prometheus_programs: Programs, tmp_path: Path) -> None:
    server = PrometheusServer(prometheus_programs, tmp_path, {"scrape_config": []})
    with pytest.raises(RuntimeError, match="scrape_config not found"):
        server.start()
    server.close()


def test_promtool_finds_a_rule_that_does_not_parse(promtool: Promtool, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text('{"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "up == 0"}]}]}')
    assert promtool("check", "rules", rules).returncode == 0
    rules.write_text('{"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "up =="}]}]}')
    assert promtool("check", "rules", rules).returncode != 0
