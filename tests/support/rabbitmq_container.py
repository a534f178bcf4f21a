"""The node of a test's RabbitMQ as a container of docker's official image, for a machine without Debian's package.

Nothing of this machine is mounted into it, so that the engine may be anywhere that publishes ports on our loopback.
A watcher of its own removes the container with its data when we end, however we do.
"""

import io
import socket
import subprocess
import tarfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.rabbitmq_node import CALL_SECONDS, STOP_SECONDS, VARIABLES, Ports
from tests.support.waiting import wait_until

START_SECONDS = 120.0
#: Every container of the tests has it: docker ps --all --filter label=workqueue-tests
LABEL = "workqueue-tests"
_DISTRIBUTION_PORT = 25672
#: erl_call takes hundredths of a second and rabbitmqctl half a second, but not every image has erl_call on the PATH.
_EVALUATE = f"""
call=$(command -v erl_call || ls /opt/erlang/lib/erlang/bin/erl_call \
  /opt/erlang/lib/erlang/lib/erl_interface-*/bin/erl_call 2> /dev/null | head -n 1)
if [ -n "$call" ]; then
  exec "$call" -address localhost:{_DISTRIBUTION_PORT} -c "$(cat "$HOME/.erlang.cookie")" -e
fi
value=$(rabbitmqctl --quiet eval "$(cat)") && printf '{{ok, %s}}' "$value"
"""
#: Its input ends with our end, or when it is closed.
_WATCHER = 'cat > /dev/null; docker rm --force --volumes "$0" > /dev/null 2>&1'


class Container:
    """One container, kept while the broker is down; `files` of the directory are copied into it at their own paths."""

    #: Inside; the ports are published on one address of this machine alone.
    listen = "0.0.0.0"

    def __init__(self, directory: Path, image: str, publish: str) -> None:
        """`publish`: the address of this machine that its ports are published on."""
        self._directory, self._image, self._publish = directory, image, publish
        self._name = ""
        self._watcher: subprocess.Popen[bytes] | None = None
        self._files: Mapping[str, str] = {}
        self._ports: Ports
        self._failure = ""

    @property
    def is_running(self) -> bool:
        return bool(self._watcher) and _said("inspect", "--format", "{{.State.Running}}", self._name).strip() == "true"

    @property
    def place(self) -> str:
        return self._name

    def configure(self, ports: Ports, files: Mapping[str, str]) -> None:
        self._ports, self._files = ports, files
        self._directory.mkdir(parents=True, exist_ok=True)

    def comes_up(self) -> bool:
        if self._watcher is None:
            self._create()
        self._failure = ""
        try:
            _said("start", self._name)
        except RuntimeError as error:  # such as a port that another program has
            self._failure = str(error)
            return False
        what = f"RabbitMQ of {self._image} answers, see docker logs {self._name}"
        wait_until(lambda: self._answers() or not self.is_running, START_SECONDS, what)
        return self.is_running

    def has_lost_a_port(self) -> bool:
        return "address already in use" in self._failure or "port is already allocated" in self._failure

    def stop(self) -> None:
        if self.is_running:
            _said("stop", "-t", f"{STOP_SECONDS:.0f}", self._name)  # --time is deprecated, --timeout is new

    def kill(self) -> None:
        _said("kill", self._name)

    def freeze(self) -> None:
        _said("pause", self._name)

    def thaw(self) -> None:
        if _said("inspect", "--format", "{{.State.Paused}}", self._name).strip() == "true":
            _said("unpause", self._name)

    def end(self) -> None:
        if self._watcher and self._watcher.stdin:
            self._watcher.stdin.close()
            self._watcher.wait(STOP_SECONDS)
        self._watcher = None

    def ctl(self, *arguments: str) -> str:
        return _said("exec", self._name, "rabbitmqctl", "--quiet", *arguments)

    def evaluate(self, erlang: str) -> str:
        return _said("exec", "--interactive", self._name, "sh", "-c", _EVALUATE, given=f"{erlang}.\n".encode())

    def output(self) -> str:
        return self._failure or self.log()

    def log(self) -> str:
        return _said("logs", self._name)

    def _create(self) -> None:
        self._name = f"{LABEL}-{uuid.uuid4().hex[:12]}"
        # Before the container: what is killed between the two leaves nothing.
        self._watcher = subprocess.Popen(
            ["sh", "-c", _WATCHER, self._name], stdin=subprocess.PIPE, start_new_session=True
        )
        _said(*create_command(self._name, self._image, self._publish, self._ports))
        _said("cp", "-", f"{self._name}:/", given=_archive(self._directory, self._files))

    def _answers(self) -> bool:
        """Whether the broker itself does: docker accepts connections for it before it listens."""
        with suppress(OSError), socket.create_connection((self._publish, self._ports.amqp), 5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if connection.recv(1):
                return _answers_http(f"http://{self._publish}:{self._ports.management}/")
        return False


def create_command(name: str, image: str, publish: str, ports: Ports) -> list[str]:
    """docker's arguments for a container with the ports that are ours, inside as outside."""
    published = (f"{publish}:{port}:{port}" for port in (ports.amqp, ports.management, ports.tls))
    variables = {**VARIABLES, "RABBITMQ_DIST_PORT": str(_DISTRIBUTION_PORT)}
    return [
        *("create", "--name", name, "--label", LABEL),
        *(word for one in published for word in ("--publish", one)),
        *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
        image,
    ]


def _archive(directory: Path, files: Mapping[str, str]) -> bytes:
    """The configuration for where the image looks for it, and the directory's files; all are readable there."""
    contents = {f"etc/rabbitmq/{name}": text.encode() for name, text in files.items()}
    contents |= {str(path).lstrip("/"): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _answers_http(uri: str) -> bool:
    try:
        urllib.request.urlopen(uri, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _said(*arguments: str, given: bytes = b"") -> str:
    """What docker prints; raises RuntimeError with its words when it fails."""
    done = subprocess.run(["docker", *arguments], input=given, capture_output=True, timeout=CALL_SECONDS, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments[:2])}: {output}{done.stderr.decode(errors='replace')}")
    return output
