"""`python3 dev/images.py [operator worker producer rabbitmq]`: images for the cluster that KUBE_CONTEXT names.

Prints JSON: for each name its repository and tag. A tag is a hash of what the image is built from, so what is already
there is neither built nor loaded again. Without KUBE_CONTEXT they go to the local cluster of dev/cluster.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LOCAL_CLUSTER = [sys.executable, str(CHECKOUT / "dev" / "cluster")]
LOCAL_CONTEXT = "workqueue-local"
LOCAL_REPOSITORY = "localhost/workqueue"
PARTS = ("operator", "worker", "producer")
SHARED_SOURCES = ("pyproject.toml", "requirements.lock", "README.md", ".dockerignore", "broker")
OFFICIAL_RABBITMQ = "docker.io/library/rabbitmq:4-management"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 dev/images.py", description=__doc__)
    parser.add_argument("name", nargs="*", default=[*PARTS, "rabbitmq"], metavar="NAME")
    names = parser.parse_args().name
    if unknown := set(names) - {*PARTS, "rabbitmq"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)} and rabbitmq")
    context = os.environ.get("KUBE_CONTEXT") or LOCAL_CONTEXT
    try:
        made = local_images(names) if context == LOCAL_CONTEXT else docker_images(names, context)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # the program that failed has told why
    print(json.dumps({name: dict(zip(("repository", "tag"), made[name].rsplit(":", 1), strict=True)) for name in made}))
    return 0


def local_images(names: Sequence[str]) -> dict[str, str]:
    parts = [name for name in names if name in PARTS]
    base = run([*LOCAL_CLUSTER, "base", "python"]) if parts else ""
    made = {name: f"{LOCAL_REPOSITORY}/{name}:{sources_hash(name, base)}" for name in parts}
    if made:
        run([*LOCAL_CLUSTER, "build", *(f"{name}/Dockerfile={image}" for name, image in made.items())])
    if "rabbitmq" in names:
        series = os.environ.get("RABBITMQ_SERIES", "4")
        made["rabbitmq"] = run([*LOCAL_CLUSTER, "base", f"rabbitmq-{series}"]).strip()
        run([*LOCAL_CLUSTER, "load", made["rabbitmq"]])
    return made


def docker_images(names: Sequence[str], context: str) -> dict[str, str]:
    if shutil.which("docker") is None:
        sys.exit("Error: building images for this cluster needs docker on the PATH")
    deliver = delivery(context)
    repository = os.environ.get("REGISTRY") or LOCAL_REPOSITORY
    made = {name: f"{repository}/{name}:{sources_hash(name)}" for name in names if name in PARTS}
    for name, image in made.items():
        if not succeeds(["docker", "image", "inspect", image]):
            run(["docker", "build", "--file", f"{name}/Dockerfile", "--tag", image, "."])
        run([*deliver, image])
    if "rabbitmq" in names:
        made["rabbitmq"] = OFFICIAL_RABBITMQ  # the cluster pulls it itself
    return made


def delivery(context: str) -> list[str]:
    """The command that brings an image from docker to the cluster's nodes."""
    if os.environ.get("REGISTRY"):
        return ["docker", "push"]
    if context.startswith("kind-"):
        return ["kind", "load", "docker-image", "--name", context.removeprefix("kind-")]
    if context.startswith("k3d-"):
        return ["k3d", "image", "import", "--cluster", context.removeprefix("k3d-")]
    if context == "minikube":
        return ["minikube", "image", "load"]
    sys.exit(f"Error: the nodes of {context} cannot see this machine's images: set REGISTRY to one that both reach")


def sources_hash(part: str, base: str = "") -> str:
    """`base`: what stands in for the base image that the Dockerfile names."""
    digest = hashlib.sha256(base.encode())
    for path in source_files(part):
        digest.update(f"{path.relative_to(CHECKOUT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def source_files(part: str) -> Iterator[Path]:
    for source in (*SHARED_SOURCES, part):
        path = CHECKOUT / source
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def run(command: Sequence[str]) -> str:
    """Run with progress on stderr; what it printed on stdout, if anything, is its result."""
    return subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True).stdout


def succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
