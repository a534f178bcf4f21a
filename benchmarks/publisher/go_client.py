"""The Go contender, built once and kept in the user's cache; Go's own build cache makes a second build quick."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("go")


def build() -> Path:
    """The program; needs `go` on the path."""
    program = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workqueue" / "benchmark-publisher-go"
    print(f"building the Go client in {program} …", file=sys.stderr, flush=True)
    subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, check=True)
    return program


def versions() -> dict[str, str]:
    """The client's and the compiler's."""
    listed = ["go", "list", "-m", "-f", "{{.Version}}", "github.com/rabbitmq/amqp091-go"]
    return {"amqp091-go": _output(listed), "Go": _output(["go", "env", "GOVERSION"])}


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True).stdout.strip()
