"""Starts the cluster in the order in which its programs need each other, and reports whether it runs.

Rule: every wait is for a fact (a health answer, a ready node) with a deadline; one that passes names the log to read.
"""

import json
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dev.local_cluster import control_plane
from dev.local_cluster.base_images import ensure_pause_image
from dev.local_cluster.console import ClusterError, Step, tail, until
from dev.local_cluster.containerd import kubernetes_configuration
from dev.local_cluster.control_plane import Command
from dev.local_cluster.identities import Identities, create_identities, write_kubeconfig
from dev.local_cluster.image_loading import load
from dev.local_cluster.image_store import answers as containerd_answers
from dev.local_cluster.image_store import open_store
from dev.local_cluster.leftovers import remove_leftovers
from dev.local_cluster.network import create_bridge, rule_families, write_pod_network
from dev.local_cluster.node_program import bin_folder
from dev.local_cluster.places import NAME, Places
from dev.local_cluster.ports import Ports, choose_ports, save_ports, saved_ports
from dev.local_cluster.processes import Started, check_alive, saved, start
from dev.local_cluster.programs import run

READY_SECONDS = 120.0
PROGRAMS = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)


@dataclass(frozen=True)
class Launch:
    """What every part of one start needs."""

    places: Places
    programs: Path
    ports: Ports
    identities: Identities
    progress: Step


def is_up(places: Places) -> bool:
    """All programs run and the node is ready."""
    alive = {process.name for process in saved(places) if process.alive}
    return alive >= set(PROGRAMS) and answers(f"{saved_ports(places).api_url}/readyz") and node_ready(places)


def start_cluster(places: Places, programs: Path, progress: Step) -> None:
    progress.show("clearing what is left of an earlier one")
    remove_leftovers(places)
    if rule_families():
        raise ClusterError("another kube-proxy has its rules on this machine: set KUBE_CONTEXT to the cluster it is of")
    folder = places.home / f"start-{int(time.time())}"
    folder.mkdir(parents=True)
    places.current.symlink_to(folder.name)
    create_bridge()
    ports = choose_ports()
    save_ports(places, ports)
    launch = Launch(places, programs, ports, create_identities(folder / "identities", ports.api_url), progress)
    begin(launch, "etcd", control_plane.etcd(places, ports), healthy=lambda: answers(f"{ports.etcd_url}/health"))
    start_containerd(launch)
    start_api(launch)
    start_node(launch)


def start_containerd(launch: Launch) -> None:
    places, pause_image = launch.places, ensure_pause_image(launch.places)
    open_store(places)
    pod_network = places.current.resolve() / "pod-network"
    write_pod_network(pod_network, places.current / "pod-addresses")
    config = places.current / "containerd.toml"
    config.write_text(kubernetes_configuration(places, pause_image=pause_image, pod_network=pod_network))
    begin(launch, "containerd", ["containerd", "--config", config], healthy=lambda: containerd_answers(places))
    load(places, [pause_image])


def start_api(launch: Launch) -> None:
    command = control_plane.apiserver(launch.programs, launch.identities, launch.ports)
    begin(launch, "kube-apiserver", command, healthy=lambda: answers(f"{launch.ports.api_url}/readyz"))
    write_kubeconfig(launch.identities, "admin", launch.places.kubeconfig)


def start_node(launch: Launch) -> None:
    """These need only the API server, so they start together and are waited for afterwards."""
    places, programs, ports, made = launch.places, launch.programs, launch.ports, launch.identities
    commands: Mapping[str, Command] = {
        "kube-controller-manager": control_plane.controller_manager(programs, made, ports),
        "kube-scheduler": control_plane.scheduler(programs, made, ports),
        "kubelet": control_plane.kubelet(programs, made, places, ports),
        "kube-proxy": control_plane.proxy(programs, made, places, ports),
        "coredns": control_plane.coredns(programs, made, places, ports),
    }
    started = {name: start(places, name, command) for name, command in commands.items()}
    for name, process in started.items():
        wait(launch, process, healthy=partial(answers, health_url(name, ports)))
    wait(launch, started["kubelet"], healthy=lambda: node_ready(places))
    wait(launch, started["kube-controller-manager"], healthy=lambda: accounts_ready(places))


def begin(launch: Launch, name: str, command: Command, *, healthy: Callable[[], bool]) -> None:
    wait(launch, start(launch.places, name, command), healthy=healthy)


def wait(launch: Launch, process: Started, *, healthy: Callable[[], bool]) -> None:
    log = launch.places.logs / f"{process.name}.log"

    def check() -> None:
        launch.progress.show(f"waiting for {process.name}")
        check_alive(launch.places, process)

    until(
        healthy,
        seconds=READY_SECONDS,
        check=check,
        otherwise=lambda: f"{process.name} was not ready after {READY_SECONDS:.0f} s. Its log is {log}:\n{tail(log)}",
    )


def health_url(name: str, ports: Ports) -> str:
    scheme = "https" if name in ("kube-controller-manager", "kube-scheduler") else "http"
    return f"{scheme}://127.0.0.1:{ports.health(name)}/{'ready' if name == 'coredns' else 'healthz'}"


def answers(url: str) -> bool:
    """Whether a program says that it is well. Its certificate does not matter for that."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    try:
        with opener.open(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def kubectl(places: Places, *words: str) -> str:
    return run([bin_folder(places) / "kubectl", f"--kubeconfig={places.kubeconfig}", "--request-timeout=5s", *words])


def node_ready(places: Places) -> bool:
    try:
        node = json.loads(kubectl(places, "get", "node", NAME, "--output=json"))
    except ClusterError:
        return False
    conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def accounts_ready(places: Places) -> bool:
    """Pods are refused until their namespace has its default service account."""
    try:
        kubectl(places, "get", "serviceaccount", "default", "--namespace=default")
    except ClusterError:
        return False
    return True
