"""Definitions of the Prometheus operator's kinds, for the tests of the charts: a pinned Go module in Go's own cache.

Go's proxy serves what the project published, and Go keeps it, so that later runs need no network. Nothing of it is
copied into this repository.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

MODULE = "github.com/prometheus-operator/prometheus-operator"
VERSION = "v0.93.1"
#: Go's checksum of the module's files, as it would stand in a go.sum.
SUM = "h1:4Juk8v93RdG1DSGD/mGp+SeQKPmnlLIj2iq3blLZgFY="
DOWNLOAD_SECONDS = 240


class NoDefinitions(Exception):
    """They cannot be had here; the message names the remedy."""


def prometheus_operator() -> Path:
    """The folder of its definitions, one file a kind, such as monitoring.coreos.com_podmonitors.yaml."""
    if shutil.which("go") is None:
        raise NoDefinitions(f"the definitions of {MODULE} are a Go module: install Go")
    found = _download()
    if found.get("Sum") != SUM:
        reason = found.get("Error") or f"its checksum is {found.get('Sum')} and not {SUM}"
        raise NoDefinitions(f"{MODULE}@{VERSION} cannot be used: {reason}")
    return Path(found["Dir"]) / "example" / "prometheus-operator-crd"


def _download() -> dict[str, str]:
    """What `go mod download` says of the module; outside of a module, so that no go.mod is read or written."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise NoDefinitions(f"{MODULE}@{VERSION} did not come within {DOWNLOAD_SECONDS} s") from error
    try:
        answer: dict[str, str] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise NoDefinitions(f"{MODULE}@{VERSION} cannot be used: {done.stderr.strip()}") from error
    return answer
