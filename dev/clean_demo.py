"""Removes what the demo made, and only that; says what stays. Needs nothing but Python, kubectl and helm.

Run by `make clean-demo`, inside `dev/with_cluster.py --existing`, which never makes a cluster.
"""

import os
import sys

from dev.clusters import how_to_remove
from dev.kube import CommandFailed, Kube
from dev.operators import alone_in, demo_arguments, remove_definition


def main() -> int:
    namespace = demo_arguments(__doc__).namespace
    kube = Kube(os.environ["KUBE_CONTEXT"])
    try:
        with alone_in(kube, namespace, "the removal of the demo"):
            clean(kube, namespace)
    except CommandFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def clean(kube: Kube, namespace: str) -> None:
    if kube.exists("namespace", namespace):
        print(f"Removing the demo from {kube.context} …", flush=True)
        remove_releases(kube, namespace)
        kube.remove_namespace(namespace, "demo")
        print(f"Removed namespace {namespace} and all in it.")
    else:
        print(f"There is no namespace {namespace} in {kube.context}.")
    print(remove_definition(kube))  # also when an earlier run was interrupted before it
    print(f"The cluster stays. {how_to_remove(kube.context)}")


def remove_releases(kube: Kube, namespace: str) -> None:
    """The operator last, so that nothing grows again; both before the namespace, as releases have objects outside."""
    if kube.maker(namespace) != "demo":
        raise CommandFailed(f"namespace {namespace} was not made by the demo; it is left alone")
    for release in ("thumbnails", "workqueue-operator"):
        kube.helm("uninstall", release, "-n", namespace, "--ignore-not-found", "--wait", "--timeout", "180s")


if __name__ == "__main__":
    sys.exit(main())
