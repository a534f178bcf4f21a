"""What a real Prometheus answers to Grafana's questions; it scrapes a run on the cluster as the charts' monitors do.

It scrapes the pods through the API server, as a pod's address may be out of reach from here.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.dashboards.model import Dashboard, Kind, Panel, Query
from dev.dashboards.queries import filled
from dev.kube import Proxy
from dev.prometheus import Programs
from tests.support.http_server import HttpServer
from tests.support.prometheus_server import PrometheusServer, running

#: Seconds between two scrapes, and between two points of a query over time.
SCRAPE_SECONDS = 2
STEP_SECONDS = 2
#: Grafana takes four scrapes for a rate; here more, as a busy machine leaves some out.
RATE_SECONDS = 16

Series = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """The pods of a namespace whose page of metrics is scraped, and its port."""

    namespace: str
    port: int


@contextmanager
def scraped(programs: Programs, directory: Path, proxy: Proxy, pages: Mapping[str, Page]) -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes these pages, by job, for as long as the block lasts."""
    interval = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    with HttpServer(lambda path: targets(proxy, pages[path.strip("/")])) as discovery:
        jobs = [
            {
                "job_name": name,
                "honor_labels": name == "operator",  # as by its ServiceMonitor
                "http_sd_configs": [{"url": f"{discovery.uri}/{name}", "refresh_interval": "1s"}],
            }
            for name in pages
        ]
        with running(programs, directory, {"global": interval, "scrape_configs": jobs}) as server:
            yield server


def targets(proxy: Proxy, page: Page) -> tuple[int, str]:
    """Status and text of an answer to Prometheus: the pods that run. Debian's build cannot ask an API server itself."""
    pods = proxy.items(f"/api/v1/namespaces/{page.namespace}/pods")
    if pods is None:
        return 503, ""  # it goes on with those that it knows
    return 200, json.dumps([target(proxy, page, pod) for pod in pods if pod["status"]["phase"] == "Running"])


def target(proxy: Proxy, page: Page, pod: dict[str, Any]) -> dict[str, Any]:
    """A pod with the labels that a monitor gives it."""
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{page.namespace}/pods/{name}:{page.port}/proxy/metrics"
    instance = f"{pod['status']['podIP']}:{page.port}"
    labels = {"__metrics_path__": path, "instance": instance, "namespace": page.namespace, "pod": name}
    return {"targets": [proxy.address.removeprefix("http://")], "labels": labels}


@dataclass
class Asking:
    """Grafana's questions: each query with the variables of a choice, over the time since the start."""

    server: PrometheusServer
    #: What is chosen above the dashboards, by variable.
    chosen: Mapping[str, str]
    started: float

    def expr(self, query: str) -> str:
        """The query as Grafana would send it for this time and these scrapes."""
        seconds = max(1, math.ceil(time.time() - self.started))
        windows = {"__rate_interval": f"{RATE_SECONDS}s", "__range": f"{seconds}s", "__interval": f"{STEP_SECONDS}s"}
        return filled(query, {**windows, **self.chosen})

    def panel(self, panel: Panel, query: Query) -> list[Series]:
        """The series with a number that the panel would show; raises HTTPError for a query that does not answer."""
        if panel.kind in (Kind.STAT, Kind.TABLE):
            series = [{**one, "values": [one["value"]]} for one in self.server.query(self.expr(query.expr))]
        else:
            series = self.over_time(query.expr)
        return [one for one in series if any(value != "NaN" for _, value in one["values"])]

    def over_time(self, query: str) -> list[Series]:
        """The series since the start."""
        span = {"start": self.started, "end": time.time(), "step": STEP_SECONDS}
        found: list[Series] = self.server.api("query_range", query=self.expr(query), **span)["result"]
        return found

    def labels(self, metric: str) -> list[dict[str, str]]:
        """Those of each series of a metric since the start."""
        span = {"start": self.started, "end": time.time()}
        found: list[dict[str, str]] = self.server.api("series", **{"match[]": metric}, **span)
        return found

    def empty(self, dashboard: Dashboard) -> set[str]:
        """The queries without data that always have some."""
        return {
            f"{dashboard.title}, {panel.title}: {query.expr}"
            for panel in dashboard.panels()
            for query in panel.needed()
            if not self.panel(panel, query)
        }
