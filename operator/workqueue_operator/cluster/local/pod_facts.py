"""What a container may ask of its pod: by the paths of fieldRef, and where its mounted files are. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PodFacts:
    """One pod."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    metrics_port: int
    #: The folders with the files of the mounts, by the path of each.
    mounts: Mapping[str, Path]

    def field(self, path: str) -> str:
        """The value at a path that knows_field() knows; empty for a label or an annotation that is not there."""
        if found := _LABEL.fullmatch(path):
            return (self.labels if found[1] == "labels" else self.annotations).get(found[2], "")
        return _FIELDS[path](self)


_LABEL = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_FIELDS: Mapping[str, Callable[[PodFacts], str]] = {
    "metadata.name": lambda pod: pod.name,
    "metadata.namespace": lambda pod: pod.namespace,
    "metadata.uid": lambda pod: pod.uid,
    "spec.nodeName": lambda _: "localhost",
    "spec.serviceAccountName": lambda _: "default",
    "status.hostIP": lambda _: "127.0.0.1",
    "status.podIP": lambda _: "127.0.0.1",
}


def knows_field(path: object) -> bool:
    """Whether the path has a meaning here."""
    text = str(path)  # a manifest may have anything there
    return text in _FIELDS or bool(_LABEL.fullmatch(text))
