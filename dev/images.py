"""`python3 -m dev.images [operator worker producer rabbitmq prometheus …]`: images for the cluster of KUBE_CONTEXT.

Prints JSON: for each name its repository and tag. A tag is a hash of what the image is built from, so what is already
there is neither built nor loaded again. Without KUBE_CONTEXT they go to the cluster of dev/local_cluster. Every folder
of examples/ with a Dockerfile is an image too, FROM the worker's, as an application team builds its own.
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
LOCAL_CLUSTER = [sys.executable, "-m", "dev.local_cluster"]
LOCAL_CONTEXT = "workqueue-local"
LOCAL_REPOSITORY = "localhost/workqueue"
PARTS = ("operator", "worker", "producer")
EXAMPLES = tuple(sorted(path.parent.name for path in CHECKOUT.glob("examples/*/Dockerfile")))
#: What an image holds beside its own part and the shared code.
MORE_SOURCES = {"worker": ("producer",)}
SHARED_SOURCES = (
    *("Dockerfile", ".dockerignore", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "NOTICE"),
    "broker",
)
#: Of other projects: the cluster pulls the official ones, and the local one gets Debian's.
OFFICIAL = {
    "rabbitmq": "docker.io/library/rabbitmq:4-management",
    "prometheus": "docker.io/prom/prometheus:v3.14.0",
}


class NoDelivery(Exception):
    """An image cannot get to the cluster's nodes; the message says what to set."""


def main() -> int:
    known = (*PARTS, *OFFICIAL, *EXAMPLES)
    parser = argparse.ArgumentParser(prog="python3 -m dev.images", description=__doc__)
    parser.add_argument("name", nargs="*", default=known, metavar="NAME")
    names = parser.parse_args().name
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    context = os.environ.get("KUBE_CONTEXT") or LOCAL_CONTEXT
    try:
        made = local_images(names) if context == LOCAL_CONTEXT else docker_images(names, context)
    except NoDelivery as problem:
        sys.exit(f"Error: {problem}")
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # the program that failed has printed why
    asked = {name: image.rsplit(":", 1) for name, image in made.items() if name in names}
    print(json.dumps({name: {"repository": repository, "tag": tag} for name, (repository, tag) in asked.items()}))
    return 0


def parts_of(names: Sequence[str]) -> list[str]:
    """The parts to build: also the worker, when an example is built on it."""
    on_worker = any(name in EXAMPLES for name in names)
    return [part for part in PARTS if part in names or (part == "worker" and on_worker)]


def local_images(names: Sequence[str]) -> dict[str, str]:
    parts = parts_of(names)
    base = run([*LOCAL_CLUSTER, "base", "python"]) if parts else ""
    made = {name: f"{LOCAL_REPOSITORY}/{name}:{sources_hash(name, base)}" for name in parts}
    if made:
        run([*LOCAL_CLUSTER, "build", *(f"Dockerfile:{name}={image}" for name, image in made.items())])
    for name in (name for name in names if name in EXAMPLES):
        made[name] = f"{LOCAL_REPOSITORY}/{name}:{example_hash(name, made['worker'])}"
        from_worker = ["--context", f"examples/{name}", "--build-arg", f"WORKER_IMAGE={made['worker']}"]
        run([*LOCAL_CLUSTER, "build", *from_worker, f"examples/{name}/Dockerfile={made[name]}"])
    series = os.environ.get("RABBITMQ_SERIES", "4")
    for name, base in (("rabbitmq", f"rabbitmq-{series}"), ("prometheus", "prometheus")):
        if name in names:
            made[name] = run([*LOCAL_CLUSTER, "base", base]).strip()
            run([*LOCAL_CLUSTER, "load", made[name]])
    return made


def docker_images(names: Sequence[str], context: str) -> dict[str, str]:
    registry = os.environ.get("REGISTRY", "")
    deliver = delivery(context, registry)
    if shutil.which("docker") is None:
        raise NoDelivery("building images for this cluster needs docker on the PATH")
    repository = registry or LOCAL_REPOSITORY
    made = {name: f"{repository}/{name}:{sources_hash(name)}" for name in parts_of(names)}
    for name, image in made.items():
        docker_image(image, deliver, "--target", name, ".")
    for name in (name for name in names if name in EXAMPLES):
        made[name] = f"{repository}/{name}:{example_hash(name, made['worker'])}"
        docker_image(made[name], deliver, "--build-arg", f"WORKER_IMAGE={made['worker']}", f"examples/{name}")
    return made | {name: image for name, image in OFFICIAL.items() if name in names}


def docker_image(image: str, deliver: Sequence[str], *options: str) -> None:
    """Built if it is missing, and brought to the nodes."""
    if not succeeds(["docker", "image", "inspect", image]):
        run(["docker", "build", "--tag", image, *options])
    run([*deliver, image])


def delivery(context: str, registry: str) -> list[str]:
    """The command that brings an image from docker to the cluster's nodes; `registry`: empty when there is none."""
    if registry:
        return ["docker", "push"]
    if context.startswith("kind-"):
        return ["kind", "load", "docker-image", "--name", context.removeprefix("kind-")]
    if context.startswith("k3d-"):
        return ["k3d", "image", "import", "--cluster", context.removeprefix("k3d-")]
    if context == "minikube":
        return ["minikube", "image", "load"]
    raise NoDelivery(f"the nodes of {context} cannot see this machine's images: set REGISTRY to one that both reach")


def sources_hash(part: str, base: str = "") -> str:
    """`part`: a target of the Dockerfile. `base`: what stands in for the base image that it names."""
    return files_hash(base, (*SHARED_SOURCES, part, *MORE_SOURCES.get(part, ())))


def example_hash(example: str, worker_image: str) -> str:
    """`worker_image`: what it is built on, whose own name is a hash."""
    return files_hash(worker_image, (f"examples/{example}",))


def files_hash(base: str, sources: Sequence[str]) -> str:
    digest = hashlib.sha256(base.encode())
    for path in source_files(sources):
        digest.update(f"{path.relative_to(CHECKOUT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def source_files(sources: Sequence[str]) -> Iterator[Path]:
    for source in sources:
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
