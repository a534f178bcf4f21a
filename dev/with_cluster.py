"""`python dev/with_cluster.py [--kind NAME] -- COMMAND …`: run a command with a cluster that has our images.

The cluster is the one that KUBE_CONTEXT names, never silently kubectl's current one. Without KUBE_CONTEXT it is kind
where docker and kind are there, else the local one-node cluster of dev/cluster.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LOCAL_CLUSTER = [sys.executable, str(CHECKOUT / "dev" / "cluster")]
LOCAL_CONTEXT = "workqueue-local"
KIND_NAME = "workqueue"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python dev/with_cluster.py", description=__doc__)
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="the program and its arguments, after --")
    command = parser.parse_args().command
    try:
        environment = {**os.environ, **cluster_environment()}
        images = subprocess.run(
            [sys.executable, str(CHECKOUT / "dev" / "images.py")], env=environment, stdout=subprocess.PIPE, check=True
        ).stdout.decode()
    except subprocess.CalledProcessError as error:
        return error.returncode  # the program that failed has told why
    return subprocess.run(command, env={**environment, "WORKQUEUE_IMAGES": images}, check=False).returncode


def cluster_environment() -> dict[str, str]:
    """KUBE_CONTEXT, and for the local cluster KUBECONFIG and PATH too; brings up what it may bring up."""
    context = os.environ.get("KUBE_CONTEXT")
    if context and context != LOCAL_CONTEXT:
        return {"KUBE_CONTEXT": context}
    if not context and has_kind():
        return {"KUBE_CONTEXT": kind_cluster()}
    subprocess.run([*LOCAL_CLUSTER, "up"], stdout=subprocess.DEVNULL, check=True)
    told = subprocess.run([*LOCAL_CLUSTER, "env"], stdout=subprocess.PIPE, text=True, check=True).stdout
    values = dict(re.findall(r'^export (\w+)="(.*)"$', told, re.MULTILINE))
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in values.items()}


def has_kind() -> bool:
    """kind is there, and a docker engine that answers."""
    if not shutil.which("kind") or not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def kind_cluster() -> str:
    clusters = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=True).stdout.split()
    if KIND_NAME not in clusters:
        subprocess.run(["kind", "create", "cluster", "--name", KIND_NAME], check=True)
    return f"kind-{KIND_NAME}"


if __name__ == "__main__":
    sys.exit(main())
