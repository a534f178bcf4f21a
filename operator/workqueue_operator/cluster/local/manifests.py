"""Manifests as kubectl takes them, as values: WorkQueues, Deployments, Secrets and ConfigMaps by their keys. Pure."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from workqueue_broker.address import BrokerAddress

from workqueue_operator.cluster.kubernetes_values import autoscaled_of
from workqueue_operator.resource import GROUP, KIND, InvalidSpec, Key, WorkQueue, parse

Body = Mapping[str, Any]
AUTOSCALER = "HorizontalPodAutoscaler"
#: What an object of each kind is put into.
_FIELDS = {KIND: "workqueues", "Deployment": "deployments", "Secret": "secrets", "ConfigMap": "config_maps"}
_GROUPS = {KIND: GROUP, "Deployment": "apps", "Secret": "", "ConfigMap": "", AUTOSCALER: "autoscaling"}


class InvalidManifest(ValueError):
    """A manifest that cannot be run here; the message names the object, the field and the remedy."""


@dataclass(frozen=True)
class Source:
    """A file, or standard input."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Manifests:
    """The objects of all files."""

    workqueues: Mapping[Key, Body] = field(default_factory=dict)
    deployments: Mapping[Key, Body] = field(default_factory=dict)
    #: The decoded keys of each.
    secrets: Mapping[Key, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    config_maps: Mapping[Key, Mapping[str, bytes]] = field(default_factory=dict)
    #: HorizontalPodAutoscalers by the Deployment that they would scale.
    autoscalers: Mapping[Key, str] = field(default_factory=dict)
    #: One line for each object that has no meaning here.
    skipped: Sequence[str] = ()

    @property
    def specs(self) -> Mapping[Key, WorkQueue]:
        """The parsed WorkQueues."""
        return {key: parse(body) for key, body in self.workqueues.items()}

    def with_broker(self, uri: str, management_uri: str | None, only: Sequence[Key] | None = None) -> "Manifests":
        """With this address in the Secret of each WorkQueue's broker, of those in `only` alone if that is given.

        Raises InvalidAddress. The parts of the address are keys too, as a container may read one of them.
        """
        address = BrokerAddress.from_uri(uri)
        host, port = address.hosts[0]
        parts = {"host": host, "port": str(port), "username": address.username, "password": address.password}
        values = {"uri": uri, **parts, "vhost": address.virtual_host}
        if management_uri:
            values["management_uri"] = management_uri
        secret = {name: value.encode() for name, value in values.items()}
        keys = {spec_secret(spec) for spec in self.specs.values()}
        return replace(self, secrets={**self.secrets, **{key: secret for key in keys if only is None or key in only}})


def spec_secret(workqueue: WorkQueue) -> Key:
    """The Secret of a WorkQueue's broker."""
    return Key(workqueue.key.namespace, workqueue.broker_secret)


def read(sources: Sequence[Source], namespace: str) -> Manifests:
    """The objects of all sources; `namespace` is that of objects without one. Raises InvalidManifest."""
    found: dict[str, dict[Key, Any]] = {name: {} for name in _FIELDS.values()}
    autoscalers: dict[Key, str] = {}
    skipped: list[str] = []
    for source in sources:
        for body in _objects(source):
            kind, key = str(body["kind"]), _key(body, namespace, source)
            known, name = _GROUPS.get(kind) == _group(body), _FIELDS.get(kind, "")
            if known and kind == AUTOSCALER:
                autoscalers |= _autoscaler(body, key)
            elif not known:
                skipped.append(f"{kind} {key.name} is skipped: it has no meaning without a cluster")
            elif key in found[name]:
                raise InvalidManifest(f"{source.name}: {kind} {key} is there a second time: remove one of the two")
            else:
                found[name][key] = _value(kind, body, key, source)
    if not found["workqueues"]:
        names = ", ".join(source.name for source in sources)
        raise InvalidManifest(f"{names}: no {KIND} ({GROUP}) in it: add one, as `helm template charts/workqueue` does")
    return _checked(Manifests(**found, autoscalers=autoscalers, skipped=skipped))


def _checked(manifests: Manifests) -> Manifests:
    """Without the Deployments that no WorkQueue scales; raises InvalidManifest for a WorkQueue that has none."""
    owners: dict[Key, Key] = {}
    for key, spec in manifests.specs.items():
        if spec.target not in manifests.deployments:
            raise InvalidManifest(
                f"{KIND} {key}: spec.scaleTargetRef.name is {spec.target.name}, and no file has the Deployment "
                f"{spec.target}: add its manifest"
            )
        if spec.target in owners:
            raise InvalidManifest(
                f"{KIND} {key}: spec.scaleTargetRef.name is {spec.target.name}, which {KIND} {owners[spec.target]} "
                "scales too: give each a Deployment of its own"
            )
        owners[spec.target] = key
    others = [key for key in manifests.deployments if key not in owners]
    return replace(
        manifests,
        deployments={key: body for key, body in manifests.deployments.items() if key in owners},
        skipped=[*manifests.skipped, *(f"Deployment {key.name} is skipped: no {KIND} scales it" for key in others)],
    )


def _objects(source: Source) -> Iterator[Body]:
    """Each document with a kind; the items of a List one by one."""
    try:
        documents = list(yaml.safe_load_all(source.text))
    except yaml.YAMLError as error:
        raise InvalidManifest(f"{source.name} is no YAML: {' '.join(str(error).split())}") from error
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        items = document.get("items") if isinstance(document, Mapping) and document.get("kind") == "List" else None
        for body in items if isinstance(items, list) else [document]:
            if not isinstance(body, Mapping) or not isinstance(body.get("kind"), str):
                raise InvalidManifest(f"{source.name}: document {number} is no manifest: it has no kind")
            yield body


def _key(body: Body, namespace: str, source: Source) -> Key:
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(name, str):
        raise InvalidManifest(f"{source.name}: {body['kind']}: metadata.name is missing: set it")
    return Key(str(metadata.get("namespace") or namespace), name)


def _group(body: Body) -> str:
    group, slash, _ = str(body.get("apiVersion", "")).rpartition("/")
    return group if slash else ""


def _value(kind: str, body: Body, key: Key, source: Source) -> Any:
    """A WorkQueue and a Deployment as their bodies with what the API server adds, the others as their decoded keys."""
    if kind in ("Secret", "ConfigMap"):
        return _data(kind, body, key, source)
    uid = f"{kind.lower()}-{key.namespace}-{key.name}"
    metadata = {**body["metadata"], "namespace": key.namespace, "name": key.name, "uid": uid, "generation": 1}
    whole = {**body, "metadata": metadata}
    if kind == KIND:
        try:
            parse(whole)
        except InvalidSpec as error:
            raise InvalidManifest(f"{source.name}: {KIND} {key}: {error}") from error
    return whole


def _autoscaler(body: Body, key: Key) -> Mapping[Key, str]:
    """By its Deployment; empty when it scales another kind."""
    try:
        found = autoscaled_of(body)
    except (KeyError, TypeError) as error:
        raise InvalidManifest(f"{AUTOSCALER} {key}: spec.scaleTargetRef has no kind and name: set them") from error
    return {Key(key.namespace, found[0]): found[1]} if found else {}


def _data(kind: str, body: Body, key: Key, source: Source) -> Mapping[str, bytes]:
    encoded, text = ("data", "stringData") if kind == "Secret" else ("binaryData", "data")
    where = f"{source.name}: {kind} {key}"
    decoded = {str(name): _decoded(value, f"{where}: {encoded}.{name}") for name, value in _map(body, encoded, where)}
    for name, value in _map(body, text, where):
        if not isinstance(value, str):
            raise InvalidManifest(f"{where}: {text}.{name} is no text: put it into quotation marks")
        decoded[str(name)] = value.encode()
    return decoded


def _map(body: Body, field_name: str, where: str) -> Iterator[tuple[Any, Any]]:
    value = body.get(field_name) or {}
    if not isinstance(value, Mapping):
        raise InvalidManifest(f"{where}: {field_name} must be an object with fields")
    yield from value.items()


def _decoded(value: object, where: str) -> bytes:
    try:
        return base64.b64decode("".join(str(value).split()), validate=True)
    except ValueError as error:
        raise InvalidManifest(f"{where} is not base64: encode it, or write the text under stringData") from error
