"""From files to what is run: manifests, workloads, and the programs that this machine must have."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workqueue_operator.cluster.local.image import Image, environment_of_dockerfile, repository_of
from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests, Source, read
from workqueue_operator.cluster.local.workload import Surroundings, Workload, workload_of
from workqueue_operator.local import broker_check
from workqueue_operator.local.options import Options

#: Variables of ours that workers get too: those that every program of this user needs.
PASSED_ON = (
    *("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


@dataclass(frozen=True)
class Prepared:
    """What is run."""

    manifests: Manifests
    workloads: Sequence[Workload]
    surroundings: Surroundings

    @property
    def notes(self) -> list[str]:
        """One line for each thing that is not run."""
        return [*self.manifests.skipped, *(note for workload in self.workloads for note in workload.notes)]


def read_files(options: Options) -> Manifests:
    """The objects of all files; raises InvalidManifest."""
    return read([_source(name) for name in options.files], options.namespace)


def prepare(manifests: Manifests, options: Options, amqp_url: str | None, management_uri: str | None) -> Prepared:
    """With the broker's address, where the Secrets do not say it; raises InvalidManifest when it cannot be run here."""
    manifests = broker_check.with_address(manifests, amqp_url, management_uri)
    surroundings = _surroundings(options, amqp_url)
    workloads = [workload_of(spec, manifests, surroundings) for spec in manifests.specs.values()]
    for workload in workloads:
        _check_programs(workload, surroundings)
    return Prepared(manifests, workloads, surroundings)


def _source(name: str) -> Source:
    if name == "-":
        return Source("standard input", sys.stdin.read())
    try:
        return Source(name, Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifest(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _surroundings(options: Options, amqp_url: str | None) -> Surroundings:
    """The programs beside our Python come first, as in the worker's image."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    images = {repository_of(name): _image(folder) for name, folder in options.images.items()}
    return Surroundings(sys.executable, {**passed_on, "PATH": path, "PYTHONUNBUFFERED": "1"}, images, amqp_url)


def _image(folder: Path) -> Image:
    dockerfile = folder / "Dockerfile"
    text = dockerfile.read_text(encoding="utf-8", errors="replace") if dockerfile.is_file() else ""
    return Image(folder, environment_of_dockerfile(text))


def _check_programs(workload: Workload, surroundings: Surroundings) -> None:
    for number, container in enumerate(workload.containers):
        program = container.command[0]
        if "$(" not in program and not _is_there(program, surroundings.environment, container.folder):
            raise InvalidManifest(
                f"Deployment {workload.key}: spec.template.spec.containers[{number}] ({container.name}): this machine "
                f"has no program {program}: install it, or write another command"
            )


def _is_there(program: str, environment: Mapping[str, str], folder: Path | None) -> bool:
    path = str(folder / program) if folder and "/" in program else program
    return shutil.which(path, path=environment["PATH"]) is not None
