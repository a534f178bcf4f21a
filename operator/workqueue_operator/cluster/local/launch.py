"""One container of one pod as the operating system runs it: every variable, path and port filled in. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workqueue_operator.cluster.local.pod_facts import PodFacts
from workqueue_operator.cluster.local.workload import Container, FieldReference, Surroundings

#: The variable and the flag with which our worker's metrics port is set. Each pod has another one here.
PORT_VARIABLE, PORT_FLAG = "METRICS_PORT", "--metrics-port"
_REFERENCE = re.compile(r"\$(?:\$|\(([^()$\s]*)\))")


@dataclass(frozen=True)
class Launch:
    """What the operating system is given."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None


def launch(container: Container, pod: PodFacts, surroundings: Surroundings) -> Launch:
    """One container's program, with every variable and path of this pod."""
    own = {PORT_VARIABLE: str(pod.metrics_port), "HOSTNAME": pod.name}
    environment = {**surroundings.environment, **own}
    defined = dict(own)  # of a container's variables alone, as in a cluster
    for name, value in container.environment.items():
        if name != PORT_VARIABLE:
            text = pod.field(value.path) if isinstance(value, FieldReference) else _filled(value, defined)
            environment[name] = defined[name] = _moved(text, pod.mounts)
    words = [_moved(_filled(word, defined), pod.mounts) for word in container.command]
    return Launch(_with_port(words, pod.metrics_port), environment, container.folder)


def _filled(text: str, defined: Mapping[str, str]) -> str:
    """With the values of $(NAME); $$ is a $, and a name that is not defined stays, as in a cluster."""
    return _REFERENCE.sub(lambda it: "$" if it[0] == "$$" else defined.get(it[1], it[0]), text)


def _moved(text: str, mounts: Mapping[str, Path]) -> str:
    """A path in a mounted Secret or ConfigMap, where that is here."""
    for path, folder in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            return f"{folder}{text.removeprefix(path)}"
    return text


def _with_port(words: Sequence[str], port: int) -> list[str]:
    """Our worker's flag comes before its variable; after `--` it is another program's."""
    end = words.index("--") if "--" in words else len(words)
    own = list(words[:end])
    for place, word in enumerate(own):
        if word == PORT_FLAG and place + 1 < len(own):
            own[place + 1] = str(port)
        elif word.startswith(f"{PORT_FLAG}="):
            own[place] = f"{PORT_FLAG}={port}"
    return [*own, *words[end:]]
