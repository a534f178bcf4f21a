"""Grafana's library, and nothing but its import: here and nowhere else."""

import warnings

with warnings.catch_warnings():
    # It prefers the newer form of a dashboard, which grafana-operator and a Grafana below 13 cannot install.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as shared
    from grafana_foundation_sdk.builders import dashboard as built
    from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as models
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "Builder",
    "JSONEncoder",
    "PromQueryFormat",
    "built",
    "common",
    "heatmap",
    "models",
    "prometheus",
    "shared",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]
