"""Prometheus and Grafana beside the demo: applies examples/monitoring with the chart's alerts, says where they are.

Run by `make demo-grafana`, inside dev/with_cluster.py. The dashboards are those that the demo's operator brought. All
of it lies in the demo's namespace and goes with it. The local cluster reaches no registry, so it has no Grafana.
"""

import os
import sys
from typing import Any

import yaml
from rich.console import Console

from dev.clusters import LOCAL_CONTEXT
from dev.kube import CHECKOUT, CommandFailed, Kube, image_name, images
from dev.operators import DEMO_NAMESPACE, demo_arguments
from dev.progress import working

EXAMPLE = CHECKOUT / "examples" / "monitoring"
#: Port by name of the Service; Grafana comes last, as its image is the one that may take long.
PORTS = {"prometheus": 9090, "grafana": 3000}
READY_SECONDS = 300

console = Console()


def main() -> int:
    namespace = demo_arguments(__doc__).namespace
    kube = Kube(os.environ["KUBE_CONTEXT"])
    try:
        install(kube, namespace)
    except CommandFailed as error:
        console.print("[red]Error:[/] ", end="")
        console.print(str(error), markup=False, highlight=False)
        return 1
    print_addresses(kube, namespace)
    return 0


def install(kube: Kube, namespace: str) -> None:
    if not kube.exists("namespace", namespace) or kube.maker(namespace) != "demo":
        raise CommandFailed(f"there is no demo in {kube.context}: run `make demo-cluster` first")
    kube.apply(rules(kube, namespace))
    for name in programs(kube):
        with working(console, f"Starting {name}"):
            kube.apply(*manifest(name, namespace))
            deployment = f"deployment/{name}"
            kube.kubectl("rollout", "status", deployment, "-n", namespace, f"--timeout={READY_SECONDS}s")


def programs(kube: Kube) -> list[str]:
    """Those that the cluster can have."""
    return [name for name in PORTS if name != "grafana" or kube.context != LOCAL_CONTEXT]


def rules(kube: Kube, namespace: str) -> dict[str, Any]:
    """The alerts of the operator's chart for a Prometheus that no Prometheus operator looks after."""
    chart = CHECKOUT / "charts" / "workqueue-operator"
    settings = ("--set", "prometheusRule.enabled=true", "--show-only", "templates/prometheus-rule.yaml")
    rendered = yaml.safe_load(kube.helm("template", "workqueue-operator", str(chart), *settings))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "workqueue-rules", "namespace": namespace},
        "data": {"workqueue.yaml": yaml.safe_dump(rendered["spec"])},
    }


def manifest(name: str, namespace: str) -> list[dict[str, Any]]:
    """The objects of the example in this namespace; of images that dev/images.py provides, its own."""
    text = (EXAMPLE / f"{name}.yaml").read_text().replace(DEMO_NAMESPACE, namespace)
    objects = [dict(one) for one in yaml.safe_load_all(text)]
    if name in images():
        for one in objects:
            if one["kind"] == "Deployment":
                (container,) = one["spec"]["template"]["spec"]["containers"]
                container["image"] = image_name(name)
    return objects


def print_addresses(kube: Kube, namespace: str) -> None:
    if kube.context == LOCAL_CONTEXT:
        console.print("The local cluster reaches no registry, so there is no Grafana in it: Prometheus alone.")
        console.print('  eval "$(python3 -m dev.local_cluster env)"', highlight=False)
    for name in programs(kube):
        forward = f"kubectl --context {kube.context} port-forward -n {namespace} service/{name} {PORTS[name]}"
        console.print(f"  {forward}", highlight=False, soft_wrap=True)
        console.print(f"    then http://localhost:{PORTS[name]}", highlight=False)
    console.print(
        f"Alerts: http://localhost:{PORTS['prometheus']}/alerts; what to do: docs/runbooks.md.", highlight=False
    )
    console.print("`make demo-cluster` once more gives them something to show.")


if __name__ == "__main__":
    sys.exit(main())
