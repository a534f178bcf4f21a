"""The dashboards that the operator's chart installs: what they show, as values, and the JSON that Grafana reads.

`fleet`, `one_queue`, `operator_process` and `worker_pods` say what is shown. `names` knows the metrics that the code
exports, `queries` reads PromQL, `checks` holds one against the other, and `grafana` writes JSON.
"""
