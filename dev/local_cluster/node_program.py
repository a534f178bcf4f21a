"""Builds the one Go program that is Kubernetes, kubectl, helm and CoreDNS, and keeps it in the cache.

Rule: built once for each state of its sources and each Go version; a half-built one never counts.
`up` calls it; `bin_folder` is what tests and the demo put on their PATH.
"""

import hashlib
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from dev.local_cluster.console import ClusterError, Step, step
from dev.local_cluster.places import CHECKOUT, Places
from dev.local_cluster.programs import run, run_long

SOURCES = CHECKOUT / "dev" / "local_cluster" / "nodebinary"
PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kubectl",
    "helm",
)
BUILD_ENV = {"CGO_ENABLED": "0"}


def bin_folder(places: Places) -> Path:
    """Where the program and a link for each of its names are, built or not."""
    key = hashlib.sha256(go_version().encode())
    for name in ("main.go", "go.mod", "go.sum"):
        key.update((SOURCES / name).read_bytes())
    return places.cache / f"node-{key.hexdigest()[:16]}"


def go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError("the local cluster is built with Go: install Go 1.26 or newer and put it on the PATH")
    return run(["go", "env", "GOVERSION"]).strip()


def build_node_program(places: Places) -> Path:
    folder = bin_folder(places)
    if not (folder / "kubelet").exists():
        building = places.partial / folder.name
        building.mkdir(parents=True)
        compile_into(building, places.cache / "logs" / "go-build.log")
        building.rename(folder)
    return folder


def compile_into(folder: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    with step("Fetching the Go modules of Kubernetes") as progress:
        run_long(["go", "mod", "download", "-x"], log=log, progress=progress, cwd=SOURCES, detail=lambda: fetched(log))
    with step("Building Kubernetes (once, 7 to 12 min on 2 cores)") as progress:
        log.write_bytes(b"")
        total = packages_to_compile()
        command: list[str | Path] = ["go", "build", "-v", *build_flags(), "-o", folder / "nodebinary", "."]
        detail = partial(compiled, log, total, progress)
        run_long(command, log=log, progress=progress, cwd=SOURCES, env=BUILD_ENV, detail=detail)
    for name in PROGRAMS:
        (folder / name).symlink_to("nodebinary")


def build_flags() -> list[str]:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamp = "k8s.io/component-base/version"
    settings = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X {stamp}.{name}={value}" for name, value in settings.items())
    return ["-trimpath", "-ldflags", f"-s -w {stamps}"]


def kubernetes_version() -> str:
    for line in (SOURCES / "go.mod").read_text().splitlines():
        words = line.split()
        if words[:1] == ["k8s.io/kubernetes"]:
            return words[1]
    raise ClusterError(f"{SOURCES / 'go.mod'} does not require k8s.io/kubernetes")


def packages_to_compile() -> int:
    """How many packages Go's own build cache lacks."""
    listing = subprocess.run(
        ["go", "list", "-deps", *build_flags(), "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", "."],
        cwd=SOURCES,
        env={**os.environ, **BUILD_ENV},
        capture_output=True,
        text=True,
        check=False,
    )
    return len(listing.stdout.split())


def fetched(log: Path) -> str:
    total = (SOURCES / "go.mod").read_text().count("// indirect") + 7
    return f"{log.read_text(errors='replace').count('.zip: 200')} of about {total} modules"


def compiled(log: Path, total: int, progress: Step) -> str:
    done = len(log.read_text(errors="replace").splitlines())
    if done >= total:
        return f"all {total} packages compiled, linking"
    if done < 50:
        return f"{done} of {total} packages"
    left = progress.seconds * (total - done) / done
    return f"{done} of {total} packages, about {max(1, round(left / 60))} min left"
