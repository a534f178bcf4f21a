"""A Deployment as something to run here: its containers' commands, arguments and environment. Pure.

Images are not run. A container without a command of its own runs the installed worker, if its image is ours. What each
pod has of its own is filled in by launch.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workqueue_operator.cluster.kubernetes_values import selector_of
from workqueue_operator.cluster.local.image import Image, is_ours, repository_of
from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests
from workqueue_operator.cluster.local.pod_facts import knows_field
from workqueue_operator.resource import Key, WorkQueue

#: How the worker's image starts it, and its Python.
WORKER = ("-m", "workqueue_worker")
IMAGE_PYTHON = "/opt/workqueue/bin/python3"
#: Variables that say where the broker is; `--amqp-url` takes their place.
_BROKER_VARIABLES = ("AMQP_URL", "AMQP_HOST")


@dataclass(frozen=True)
class Surroundings:
    """What this machine gives to every container."""

    python: str
    #: PATH and the like; nothing else of our own environment reaches a container.
    environment: Mapping[str, str] = field(repr=False)
    #: By the image's name without tag and digest.
    images: Mapping[str, Image] = field(default_factory=dict)
    #: The broker's address in the place of what the manifests say; None: theirs.
    amqp_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FieldReference:
    """A value that each pod has its own of, such as metadata.name."""

    path: str


@dataclass(frozen=True)
class Container:
    """One program of a pod."""

    name: str
    #: Program and arguments, in which $(NAME) stands for a variable.
    command: Sequence[str]
    environment: Mapping[str, str | FieldReference] = field(repr=False)
    #: The working directory; None: ours.
    folder: Path | None
    #: The path of its readiness probe on the metrics port, and seconds between two probes; None: ready once it runs.
    ready_path: str | None
    ready_period_seconds: float


@dataclass(frozen=True)
class Workload:
    """A Deployment, as far as it is run here."""

    key: Key
    #: spec.replicas; None: left out.
    replicas: int | None
    selector: str
    grace_seconds: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    containers: Sequence[Container]
    #: By the path at which containers mount them: the files of Secrets and ConfigMaps.
    mounts: Mapping[str, Mapping[str, bytes]] = field(repr=False)
    #: What is not run here, one line each.
    notes: Sequence[str] = ()


def workload_of(workqueue: WorkQueue, manifests: Manifests, surroundings: Surroundings) -> Workload:
    """The Deployment of a WorkQueue; raises InvalidManifest when it cannot be run here."""
    key = workqueue.target
    return _Reader(key, workqueue.metrics_port, manifests, surroundings).read(manifests.deployments[key])


class _Reader:
    """Reads one Deployment's body."""

    def __init__(self, key: Key, metrics_port: int, manifests: Manifests, surroundings: Surroundings) -> None:
        self._key = key
        self._metrics_port = metrics_port
        self._manifests = manifests
        self._surroundings = surroundings

    def read(self, body: Mapping[str, Any]) -> Workload:
        spec = _map(body, "spec", self._at(""))
        template = _map(spec, "template", self._at("spec"))
        metadata, pod = _map(template, "metadata", self._at("spec.template")), self._pod(template)
        containers = _list(pod, "containers", self._at("spec.template.spec"))
        if not containers:
            raise InvalidManifest(f"{self._at('spec.template.spec.containers')} is missing: name a container to run")
        volumes = {str(one.get("name")): one for one in _list(pod, "volumes", self._at("spec.template.spec"))}
        return Workload(
            key=self._key,
            replicas=self._number(spec, "replicas", "spec", None),
            selector=selector_of(_map(spec, "selector", self._at("spec"))),
            grace_seconds=self._number(pod, "terminationGracePeriodSeconds", "spec.template.spec", 30) or 0,
            labels={str(name): str(value) for name, value in (metadata.get("labels") or {}).items()},
            annotations={str(name): str(value) for name, value in (metadata.get("annotations") or {}).items()},
            containers=[self._container(number, one) for number, one in enumerate(containers)],
            mounts=self._mounts(containers, volumes),
            notes=self._notes(pod, volumes),
        )

    def _pod(self, template: Mapping[str, Any]) -> Mapping[str, Any]:
        return _map(template, "spec", self._at("spec.template"))

    def _container(self, number: int, body: Mapping[str, Any]) -> Container:
        where = f"spec.template.spec.containers[{number}]"
        image = self._image(body)
        environment: dict[str, str | FieldReference] = dict(image.environment) if image else {}
        environment |= self._sources(body, where)
        for place, entry in enumerate(_list(body, "env", self._at(where))):
            value = self._value(entry, f"{where}.env[{place}]")
            if value is not None:
                environment[str(entry.get("name"))] = value
        if self._surroundings.amqp_url and any(name in environment for name in _BROKER_VARIABLES):
            environment["AMQP_URL"] = self._surroundings.amqp_url
        probe = self._probe(body)
        return Container(
            name=str(body.get("name", f"container-{number}")),
            command=self._command(body, where, image),
            environment=environment,
            folder=self._folder(body, where, image),
            ready_path=str(_map(probe, "httpGet", where).get("path", "/")) if probe else None,
            ready_period_seconds=float(probe.get("periodSeconds", 10)) if probe else 0.0,
        )

    def _image(self, body: Mapping[str, Any]) -> Image | None:
        return self._surroundings.images.get(repository_of(str(body.get("image", ""))))

    def _command(self, body: Mapping[str, Any], where: str, image: Image | None) -> Sequence[str]:
        program = [str(word) for word in _list(body, "command", self._at(where), of=str)]
        arguments = [str(word) for word in _list(body, "args", self._at(where), of=str)]
        python = self._surroundings.python
        if program:
            return [python if program[0] == IMAGE_PYTHON else program[0], *program[1:], *arguments]
        name = str(body.get("image", ""))
        if image or is_ours(repository_of(name)):
            return [python, *WORKER, *arguments]
        raise InvalidManifest(
            f"{self._at(where)} ({body.get('name')}) has the image {name or '(none)'} and no command. Images are not "
            f"run here: write its command, or, where it is made from the image of the worker, say what it holds: "
            f"--image {repository_of(name) or 'IMAGE'}=FOLDER, the folder of its Dockerfile"
        )

    def _folder(self, body: Mapping[str, Any], where: str, image: Image | None) -> Path | None:
        named = body.get("workingDir")
        if image or not named:
            return image.folder if image else None
        folder = Path(str(named))
        if not folder.is_dir():
            raise InvalidManifest(f"{self._at(where)}.workingDir is {named}, and there is no such folder here: make it")
        return folder

    def _sources(self, body: Mapping[str, Any], where: str) -> dict[str, str | FieldReference]:
        """The variables of envFrom."""
        found: dict[str, str | FieldReference] = {}
        for place, entry in enumerate(_list(body, "envFrom", self._at(where))):
            at = f"{where}.envFrom[{place}]"
            for kind, field_name in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
                if field_name in entry:
                    reference = _map(entry, field_name, self._at(at))
                    values = self._values(kind, reference, f"{at}.{field_name}") or {}
                    prefix = str(entry.get("prefix") or "")
                    found |= {f"{prefix}{name}": _text(value) for name, value in values.items()}
        return found

    def _value(self, entry: Mapping[str, Any], where: str) -> str | FieldReference | None:
        """None: an optional one that is missing."""
        origin = _map(entry, "valueFrom", self._at(where))
        if not origin:
            value = entry.get("value")
            if value is not None and not isinstance(value, str):
                raise InvalidManifest(f"{self._at(where)}.value is {value!r}, no text: put it into quotation marks")
            return value or ""
        for kind, field_name in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
            if field_name in origin:
                return self._keyed(kind, _map(origin, field_name, self._at(where)), f"{where}.valueFrom.{field_name}")
        path = _map(origin, "fieldRef", self._at(where)).get("fieldPath")
        if knows_field(path):
            return FieldReference(str(path))
        raise InvalidManifest(
            f"{self._at(where)} ({entry.get('name')}): valueFrom.{next(iter(origin))}{f' {path}' if path else ''} "
            "has no meaning here: write a value"
        )

    def _keyed(self, kind: str, reference: Mapping[str, Any], where: str) -> str | None:
        values, name = self._values(kind, reference, where), str(reference.get("key"))
        if values is not None and name in values:
            return _text(values[name])
        if reference.get("optional"):
            return None
        raise InvalidManifest(f"{self._at(where)}: {kind} {reference.get('name')} has no key {name}: add it")

    def _values(self, kind: str, reference: Mapping[str, Any], where: str) -> Mapping[str, bytes] | None:
        """What a Secret or ConfigMap holds; None: it is missing, and may be."""
        objects = self._manifests.secrets if kind == "Secret" else self._manifests.config_maps
        name = str(reference.get("name") or reference.get("secretName"))
        found = objects.get(Key(self._key.namespace, name))
        if found is None and not reference.get("optional"):
            raise InvalidManifest(f"{self._at(where)} names {kind} {name}, and no file has it: add its manifest")
        return found

    def _probe(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The readiness probe, if it asks the metrics port, the one port that is known here."""
        probe = _map(body, "readinessProbe", self._at("readinessProbe"))
        port = _map(probe, "httpGet", self._at("readinessProbe")).get("port")
        names = {one.get("name"): one.get("containerPort") for one in _list(body, "ports", self._at("ports"))}
        return probe if port is not None and names.get(port, port) == self._metrics_port else None

    def _mounts(self, containers: Sequence[Any], volumes: Mapping[str, Any]) -> Mapping[str, Mapping[str, bytes]]:
        found: dict[str, Mapping[str, bytes]] = {}
        for number, container in enumerate(containers):
            where = f"spec.template.spec.containers[{number}]"
            for mount in _list(container, "volumeMounts", self._at(where)):
                files = self._files(volumes.get(str(mount.get("name"))) or {})
                if files is not None:
                    found[str(mount.get("mountPath")).rstrip("/")] = files
        return found

    def _files(self, volume: Mapping[str, Any]) -> Mapping[str, bytes] | None:
        """None: the volume is of another kind."""
        where = f"spec.template.spec.volumes ({volume.get('name')})"
        for kind, field_name in (("Secret", "secret"), ("ConfigMap", "configMap")):
            if field_name in volume:
                reference = _map(volume, field_name, self._at(where))
                if reference.get("items"):
                    raise InvalidManifest(f"{self._at(where)}: items is not supported here: mount all keys")
                return self._values(kind, reference, where) or {}
        return None

    def _notes(self, pod: Mapping[str, Any], volumes: Mapping[str, Any]) -> list[str]:
        starting = [one.get("name") for one in _list(pod, "initContainers", self._at("initContainers"))]
        others = [name for name, one in volumes.items() if not {"secret", "configMap", "emptyDir"}.intersection(one)]
        return [
            *(f"{self._key.name}: the init container {name} is not run" for name in starting),
            *(f"{self._key.name}: the volume {name} is not mounted" for name in others),
        ]

    def _number(self, parent: Mapping[str, Any], name: str, where: str, default: int | None) -> int | None:
        value = parent.get(name, default)
        if value is not default and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InvalidManifest(f"{self._at(f'{where}.{name}')} is {value!r}: set a whole number of at least 0")
        return value

    def _at(self, where: str) -> str:
        return f"Deployment {self._key}: {where}".rstrip(": ")


def _map(parent: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = parent.get(name) or {}
    if not isinstance(value, Mapping):
        raise InvalidManifest(f"{where}: {name} must be an object with fields")
    return value


def _list(parent: Mapping[str, Any], name: str, where: str, *, of: type = dict) -> Sequence[Any]:
    value = parent.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, of) for one in value):
        kind = "objects with fields" if of is dict else "texts, in quotation marks where they are numbers"
        raise InvalidManifest(f"{where}: {name} must be a list of {kind}")
    return value


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
