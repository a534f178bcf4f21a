"""`python3 -m dev.rabbitmq install NAMESPACE` and `… secret NAMESPACE FROM`: a RabbitMQ for tests and the demo.

Rule: only on the context that KUBE_CONTEXT names, never on kubectl's current one. The password is made here and shown
nowhere.
"""

import argparse
import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from dev.clusters import LOCAL_CONTEXT, local_environment

MANIFEST = Path(__file__).parent / "rabbitmq.yaml"
DEFAULT_IMAGE = "docker.io/library/rabbitmq:4-management"
USERNAME = "workqueue"
READY_SECONDS = 300


def main() -> int:
    chosen = arguments()
    context = os.environ.get("KUBE_CONTEXT")
    if not context:
        sys.stderr.write(f"Error: set KUBE_CONTEXT to the cluster's context; the local cluster's is {LOCAL_CONTEXT}\n")
        return 2
    if context == LOCAL_CONTEXT:
        os.environ.update(local_environment())
    try:
        if chosen.command == "install":
            install(chosen.namespace, chosen.image)
        else:
            copy_secret(chosen.namespace, chosen.source)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # kubectl has printed why
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m dev.rabbitmq", description="A RabbitMQ for tests and the demo.")
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="RabbitMQ and the Secret `rabbitmq` in a namespace; wait for it")
    installing.add_argument("namespace")
    installing.add_argument("--image", default=DEFAULT_IMAGE, help=f"default: {DEFAULT_IMAGE}")
    copying = commands.add_parser("secret", help="give another namespace a copy of the Secret")
    copying.add_argument("namespace")
    copying.add_argument("source", help="the namespace that RabbitMQ is in")
    return parser.parse_args()


def install(namespace: str, image: str) -> None:
    if not kubectl("get", "secret", "rabbitmq", "--namespace", namespace, "--ignore-not-found", "--output=name"):
        apply(namespace, json.dumps(new_secret(namespace)))
    apply(namespace, MANIFEST.read_text().replace(f"image: {DEFAULT_IMAGE}", f"image: {image}"))
    sys.stderr.write(f"Waiting for RabbitMQ in namespace {namespace} …\n")
    kubectl("rollout", "status", "statefulset/rabbitmq", "--namespace", namespace, f"--timeout={READY_SECONDS}s")


def new_secret(namespace: str) -> dict[str, object]:
    """The keys of the Secret that RabbitMQ's cluster operator makes, so that nothing here is a special case."""
    password = secrets.token_urlsafe(24)
    host = f"rabbitmq.{namespace}.svc"
    values = {
        "host": host,
        "port": "5672",
        "username": USERNAME,
        "password": password,
        "vhost": "/",
        "management_uri": f"http://{host}:15672",
        "default_user.conf": f"default_user = {USERNAME}\ndefault_pass = {password}\n",
    }
    return secret({key: base64.b64encode(value.encode()).decode() for key, value in values.items()})


def copy_secret(namespace: str, source: str) -> None:
    found = json.loads(kubectl("get", "secret", "rabbitmq", "--namespace", source, "--output=json"))
    wanted = {key: value for key, value in found["data"].items() if key != "default_user.conf"}
    apply(namespace, json.dumps(secret(wanted)))


def secret(data: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq"}, "data": data}


def apply(namespace: str, document: str) -> None:
    """Server-side, so that no annotation holds a copy of the Secret."""
    kubectl("apply", "--server-side", "--namespace", namespace, "--filename=-", stdin=document)


def kubectl(*words: str, stdin: str | None = None) -> str:
    command = ["kubectl", "--context", os.environ["KUBE_CONTEXT"], *words]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
