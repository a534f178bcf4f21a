"""Which broker the WorkQueues use, and whether it answers before the first worker starts."""

import socket
from collections.abc import Mapping

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.environment import variable
from workqueue_broker.errors import BrokerError, BrokerUnavailable, InvalidAddress

from workqueue_operator.cluster.local.manifests import InvalidManifest, Manifests, spec_secret
from workqueue_operator.resource import Key

#: The broker of this machine, for WorkQueues whose Secret is in no file.
HERE = "amqp://guest:guest@127.0.0.1:5672/%2F"
_START_ONE = (
    "start one with --broker docker, or --broker installed (Debian: apt install rabbitmq-server; macOS: brew install "
    "rabbitmq), or name another one with --amqp-url"
)


def with_address(manifests: Manifests, amqp_url: str | None, management_uri: str | None) -> Manifests:
    """With the address given, else each Secret's own; a Secret that is in no file means the broker of this machine.

    Raises InvalidManifest.
    """
    try:
        if amqp_url:
            return manifests.with_broker(amqp_url, management_uri)
    except InvalidAddress as error:
        raise InvalidManifest(f"--amqp-url (AMQP_URL): {error}") from error
    missing = [key for key in map(spec_secret, manifests.specs.values()) if key not in manifests.secrets]
    return manifests.with_broker(HERE, None, missing) if missing else manifests


def override(flag: str | None, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The address in the place of the Secrets', and that of its management API: the flag, else the environment."""
    return flag or variable(environment, "AMQP_URL"), variable(environment, "AMQP_MANAGEMENT_URL")


def addresses(manifests: Manifests) -> Mapping[BrokerAddress, Key]:
    """Each broker with one of its Secrets; raises InvalidManifest."""
    found: dict[BrokerAddress, Key] = {}
    for spec in manifests.specs.values():
        secret = spec_secret(spec)
        data = {name: value.decode("utf-8", "replace") for name, value in manifests.secrets[secret].items()}
        try:
            found.setdefault(BrokerAddress.from_secret(data), secret)
        except InvalidAddress as error:
            raise InvalidManifest(f"Secret {secret}: {error}") from error
    return found


def problem(address: BrokerAddress, secret: Key) -> str | None:
    """Why the broker cannot be used, and what to do; None: it answers. Waits for some seconds."""
    for host, port in address.hosts:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return (
                f"Secret {secret}: the host {host} has no address here; a name of a Kubernetes Service has one in its "
                f"cluster alone: {_START_ONE}"
            )
    try:
        connect(address, ConnectionSettings("workqueue-operator local")).close()
    except BrokerUnavailable as error:
        return f"no RabbitMQ answers (Secret {secret}): {error}; {_START_ONE}"
    except BrokerError as error:
        return f"Secret {secret}: {error}"
    return None
