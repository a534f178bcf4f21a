"""`python3 -m dev.local_cluster up|down|status|env|base|build|load`: a one-node Kubernetes for tests and demo.

It is for machines without a cluster. With KUBE_CONTEXT nothing here runs.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dev.local_cluster.base_images import DEBIAN_IMAGES, ensure_debian_image, ensure_pause_image
from dev.local_cluster.console import ClusterError, say, step
from dev.local_cluster.debian import install_packages
from dev.local_cluster.image_building import Target, build
from dev.local_cluster.image_loading import load
from dev.local_cluster.leftovers import remove_leftovers
from dev.local_cluster.lifecycle import PROGRAMS, is_up, start_cluster
from dev.local_cluster.locks import locked
from dev.local_cluster.node_program import bin_folder, build_node_program
from dev.local_cluster.places import CHECKOUT, NAME, Places, places
from dev.local_cluster.processes import saved


def up(here: Places) -> None:
    install_packages()
    programs = build_node_program(here)
    ensure_pause_image(here)
    if is_up(here):
        say("The local cluster is already up.")
    else:
        with step("Starting the local cluster") as progress:
            start_cluster(here, programs, progress)
    print(here.kubeconfig)


def down(here: Places) -> None:
    with step("Stopping the local cluster"):
        remove_leftovers(here)


def status(here: Places) -> bool:
    alive = {process.name: process.pid for process in saved(here) if process.alive}
    for name in PROGRAMS:
        print(f"{name:24} {f'pid {alive[name]}' if name in alive else 'not running'}")
    ready = is_up(here)
    print(f"{'node':24} {'ready' if ready else 'not ready'}")
    print(f"{'kubeconfig':24} {here.kubeconfig}\n{'logs':24} {here.logs}\n{'cache':24} {here.cache}")
    return ready


def print_environment(here: Places) -> None:
    """For `eval "$(python3 -m dev.local_cluster env)"`: kubectl, helm and a kubeconfig of their own."""
    print(f'export PATH="{bin_folder(here)}:$PATH"')
    print(f'export KUBECONFIG="{here.kubeconfig}"')
    print(f'export KUBE_CONTEXT="{NAME}"')


def base(here: Places, names: list[str]) -> None:
    install_packages()
    for name in names:
        print(ensure_debian_image(here, DEBIAN_IMAGES[name]))


def build_and_load(here: Places, chosen: argparse.Namespace) -> None:
    pairs = [pair.partition("=") for pair in chosen.pair]
    for target, _, reference in pairs:  # also one that is loaded: another image may be built on it
        build(here, Target.read(target), reference, CHECKOUT / chosen.context, chosen.build_arg)
    load(here, [reference for _, _, reference in pairs])


@contextmanager
def alone(here: Places, command: str) -> Iterator[None]:
    """Two runs at once would undo each other's work, so the second waits."""
    if os.geteuid() != 0:
        raise ClusterError("the local cluster needs root: run this as root, or set KUBE_CONTEXT to a cluster you have")
    here.home.mkdir(parents=True, exist_ok=True)
    here.cache.mkdir(parents=True, exist_ok=True)
    with locked(here.lock, f"dev/local_cluster {command}"):
        shutil.rmtree(here.partial, ignore_errors=True)
        here.partial.mkdir()
        yield


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m dev.local_cluster", description="A one-node Kubernetes on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build what is missing, start the cluster, print the path of its kubeconfig")
    commands.add_parser("down", help="stop it and remove what runs; what was built and loaded stays for the next time")
    commands.add_parser("status", help="show what runs and where its logs are; exit 1 when it is not ready")
    commands.add_parser("env", help='print settings for a shell: eval "$(python3 -m dev.local_cluster env)"')
    bases = commands.add_parser("base", help="make base images if they are missing, print their names")
    bases.add_argument("name", nargs="+", choices=sorted(DEBIAN_IMAGES))
    building = commands.add_parser("build", help="build Dockerfiles if needed and load the images into the cluster")
    building.add_argument("pair", nargs="+", metavar="DOCKERFILE[:TARGET]=IMAGE")
    building.add_argument("--context", default=".", help="the folder that the Dockerfiles copy from; default: all")
    building.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    loading = commands.add_parser("load", help="load images from buildah's store into the cluster")
    loading.add_argument("reference", nargs="+")
    return parser.parse_args()


def main() -> int:
    chosen, here = arguments(), places()
    try:
        if chosen.command == "status":
            return 0 if status(here) else 1
        if chosen.command == "env":
            print_environment(here)
            return 0
        with alone(here, chosen.command):
            perform(here, chosen)
    except ClusterError as error:
        say(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted. Run it again to go on from here.")
        return 130
    return 0


def perform(here: Places, chosen: argparse.Namespace) -> None:
    match chosen.command:
        case "up":
            up(here)
        case "down":
            down(here)
        case "base":
            base(here, chosen.name)
        case "build":
            build_and_load(here, chosen)
        case "load":
            load(here, chosen.reference)


if __name__ == "__main__":
    sys.exit(main())
