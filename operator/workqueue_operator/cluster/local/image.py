"""What is known of a container's image, as none is run here: whether it is our worker's, and its Dockerfile. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """What `--image NAME=FOLDER` says that an image holds: our worker, and the files of a folder."""

    folder: Path
    #: The ENV lines of its Dockerfile.
    environment: Mapping[str, str] = field(default_factory=dict)


def repository_of(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def is_ours(repository: str) -> bool:
    """Whether it is the worker's image, as our charts and releases name it."""
    return repository.rsplit("/", maxsplit=1)[-1] == "workqueue-worker" or repository.split("/")[-2:] == [
        "workqueue",
        "worker",
    ]


def environment_of_dockerfile(text: str) -> Mapping[str, str]:
    """The variables of its ENV lines, of the form NAME=VALUE."""
    found: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "ENV":
            found |= {
                name: value for name, equals, value in (one.partition("=") for one in shlex.split(rest)) if equals
            }
    return found
