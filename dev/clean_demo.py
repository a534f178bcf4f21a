"""Removes what the demo made, and only that; says what stays. Needs nothing but Python, kubectl and helm.

Run by `make clean-demo`, inside `dev/with_cluster.py --existing`, which never makes a cluster.
"""

import os
import sys

from clusters import how_to_remove
from kube import CommandFailed, Kube
from operators import DEMO_NAMESPACE, remove_definition


def main() -> int:
    kube = Kube(os.environ["KUBE_CONTEXT"])
    try:
        clean(kube)
    except CommandFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def clean(kube: Kube) -> None:
    if kube.exists("namespace", DEMO_NAMESPACE):
        print(f"Removing the demo from {kube.context} …", flush=True)
        remove_releases(kube)
        kube.remove_namespace(DEMO_NAMESPACE, "demo")
        print(f"Removed namespace {DEMO_NAMESPACE} and all in it.")
    else:
        print(f"There is no namespace {DEMO_NAMESPACE} in {kube.context}.")
    print(remove_definition(kube))  # also when an earlier run was interrupted before it
    print(f"The cluster stays. {how_to_remove(kube.context)}")


def remove_releases(kube: Kube) -> None:
    """The operator last, so that nothing grows again; both before the namespace, as releases have objects outside."""
    if kube.maker(DEMO_NAMESPACE) != "demo":
        raise CommandFailed(f"namespace {DEMO_NAMESPACE} was not made by the demo; it is left alone")
    for release in ("thumbnails", "workqueue-operator"):
        kube.helm("uninstall", release, "-n", DEMO_NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "180s")


if __name__ == "__main__":
    sys.exit(main())
