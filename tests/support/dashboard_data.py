"""What a real Prometheus answers to Grafana's questions; it scrapes a run on the cluster as the charts' monitors do.

It finds the pods by the API server and scrapes them through it, as a pod's address may be out of reach from here.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.model import Dashboard, Kind, Panel, Query
from dashboards.queries import filled
from prometheus_server import PrometheusServer

#: Seconds between two scrapes, and between two points of a query over time.
SCRAPE_SECONDS = 1
STEP_SECONDS = 2
#: Grafana takes four scrapes for a rate; here more, as a busy machine leaves some out.
RATE_SECONDS = 10

Series = dict[str, Any]


def configuration(proxy: str, ports: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """`proxy`: host:port of a kubectl proxy; `ports`: by job the namespace and port of its pods."""
    jobs = [_job(proxy, name, namespace, port) for name, (namespace, port) in ports.items()]
    interval = f"{SCRAPE_SECONDS}s"
    return {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": jobs}


def _job(proxy: str, name: str, namespace: str, port: int) -> dict[str, Any]:
    pod = "/api/v1/namespaces/$1/pods/$2:$3/proxy/metrics"
    found = [f"__meta_kubernetes_{label}" for label in ("namespace", "pod_name", "pod_container_port_number")]
    return {
        "job_name": name,
        "honor_labels": name == "operator",  # as its ServiceMonitor: its metrics have the namespace of their WorkQueue
        "kubernetes_sd_configs": [
            {"role": "pod", "api_server": f"http://{proxy}", "namespaces": {"names": [namespace]}}
        ],
        "relabel_configs": [
            {"action": "keep", "source_labels": found[2:], "regex": str(port)},
            {"action": "keep", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running"},
            {"source_labels": found, "regex": "(.+);(.+);(.+)", "replacement": pod, "target_label": "__metrics_path__"},
            {"source_labels": ["__address__"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": proxy},
            {"source_labels": found[:1], "target_label": "namespace"},
            {"source_labels": found[1:2], "target_label": "pod"},
        ],
    }


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
