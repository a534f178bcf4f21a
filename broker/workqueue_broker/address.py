"""Where a broker is and which login to use: parsed once, from a URI, the environment or a Secret's keys.

Everything here is a value; nothing connects. No password is ever part of a repr or an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from workqueue_broker import tls as tls_texts
from workqueue_broker import uri_parts
from workqueue_broker.environment import variable, without_line_end
from workqueue_broker.errors import InvalidAddress
from workqueue_broker.tls import Tls

AMQP_PORT = 5672
AMQPS_PORT = 5671

#: Keys of a broker Secret; those of RabbitMQ's cluster operator are among them.
SECRET_KEYS = (
    *("uri", "connection_string", "host", "port", "username", "password", "vhost"),
    *("ca.crt", "tls.crt", "tls.key", "management_uri"),
)

_ENVIRONMENT_OF_KEY = {
    "uri": "AMQP_URL",
    "host": "AMQP_HOST",
    "port": "AMQP_PORT",
    "username": "AMQP_USERNAME",
    "password": "AMQP_PASSWORD",
    "vhost": "AMQP_VHOST",
    "management_uri": "AMQP_MANAGEMENT_URL",
}
_FILE_OF_KEY = {
    "password": "AMQP_PASSWORD_FILE",
    "ca.crt": "AMQP_CA_FILE",
    "tls.crt": "AMQP_CERT_FILE",
    "tls.key": "AMQP_KEY_FILE",
}

#: Keys whose values may begin or end with a space.
_WITH_SPACES = ("username", "password", "vhost")

#: Bytes that a key may have, far more than any needs: a password may be a token, and ca.crt all
#: authorities that a system knows. A Secret may have a MiB, and its writer must not cost other tenants their time.
_MOST_BYTES = dict.fromkeys(SECRET_KEYS, 4096) | {
    **dict.fromkeys(("uri", "connection_string", "password", "management_uri"), 32 * 1024),
    "ca.crt": 512 * 1024,
    "tls.crt": 64 * 1024,
    "tls.key": 16 * 1024,
}


@dataclass(frozen=True)
class BrokerAddress:
    """One RabbitMQ (or the nodes of one cluster), virtual host and credential."""

    #: (name, port) of each node; at least one.
    hosts: tuple[tuple[str, int], ...] = (("localhost", AMQP_PORT),)
    username: str = "guest"
    password: str = field(default="guest", repr=False)
    #: False: no password was given, and guest's stands in. With a client certificate that is then the whole login.
    password_given: bool = True
    virtual_host: str = "/"
    tls: Tls | None = None
    #: Seconds between heartbeats; None: what the broker proposes. No part of the login: it makes no other address.
    heartbeat: int | None = field(default=None, compare=False)
    #: Base address of the management API, without credentials; None: not known.
    management_uri: str | None = None
    #: Credentials for the management API, where they differ from the ones above.
    management_login: tuple[str, str] | None = field(default=None, repr=False)
    #: For a management API with https.
    management_tls: Tls = field(default_factory=Tls)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Many WorkQueues share an address, which is looked up by its hash at each reading."""
        parts = (self.hosts, self.username, self.password, self.password_given, self.virtual_host, self.tls)
        management = (self.management_uri, self.management_login, self.management_tls)
        object.__setattr__(self, "_hash", hash((parts, management)))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{quote(self.username, safe='')}@{self.place}"

    @property
    def place(self) -> str:
        """Nodes and virtual host without the login, such as `rabbitmq:5672/%2F`; of many nodes the first three."""
        hosts = ",".join(uri_parts.host_and_port(host, port) for host, port in self.hosts[:3])
        hosts += ",…" if len(self.hosts) > 3 else ""
        return f"{hosts}/{quote(self.virtual_host, safe='')}"

    def login_of_management(self) -> tuple[str, str]:
        """User and password for the management API; raises InvalidAddress.

        Those of AMQP are for its own hosts: the owner of another host must not learn them.
        """
        if self.management_login:
            return self.management_login
        host = urlsplit(self.management_uri or "").hostname or ""
        if host not in {name.lower() for name, _ in self.hosts}:
            raise InvalidAddress(
                f"management_uri (AMQP_MANAGEMENT_URL) is at {host}, which is no host of {self}, so this login is not "
                f"sent there: write one for it into management_uri, as in http://user:password@{host}:15672"
            )
        return self.username, self.password

    @classmethod
    def from_uri(cls, uri: str) -> "BrokerAddress":
        """Parse amqp(s)://user:password@host[:port][,host…]/vhost[?heartbeat=seconds]; raises InvalidAddress."""
        return _from_uri(uri, field_name="uri")

    @classmethod
    def from_secret(cls, data: Mapping[str, str]) -> "BrokerAddress":
        """Parse the decoded keys of a broker Secret; raises InvalidAddress that names the key."""
        values = {key: data[key] for key in SECRET_KEYS if _trimmed(key, data.get(key, ""))}
        return _from_values(values, {key: f"key {key}" for key in SECRET_KEYS})

    @classmethod
    def from_secret_directory(cls, directory: Path) -> "BrokerAddress":
        """Parse a Secret that is mounted as a directory, one file a key; raises InvalidAddress."""
        if not directory.is_dir():
            raise InvalidAddress(f"AMQP_SECRET_DIR {directory} is not a directory; mount the broker's Secret there")
        return cls.from_secret({key: _read(directory / key) for key in SECRET_KEYS if (directory / key).is_file()})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "BrokerAddress":
        """Parse AMQP_SECRET_DIR, or AMQP_URL, or AMQP_HOST and its companions; localhost and guest without any."""
        directory = variable(environment, "AMQP_SECRET_DIR")
        if directory:
            return cls.from_secret_directory(Path(directory))
        names = dict(_ENVIRONMENT_OF_KEY)
        values = {key: value for key, name in names.items() if (value := variable(environment, name))}
        for key, name in _FILE_OF_KEY.items():
            path = variable(environment, name)
            if path:
                values[key] = _read(Path(path), name)
                names[key] = name
        return _from_values(values or {"host": "localhost"}, names)


def _from_values(given: Mapping[str, str], names: Mapping[str, str]) -> BrokerAddress:
    """Build from the keys of a Secret; `names`: how errors name each key."""
    values = {key: _trimmed(key, text) for key, text in given.items()}
    for key, value in values.items():
        if not _is_text(value):  # of the environment, whose bytes may be anything
            raise InvalidAddress(f"{names[key]} is not UTF-8 text")
        if len(value.encode()) > _MOST_BYTES[key]:
            raise InvalidAddress(f"{names[key]} has more than {_MOST_BYTES[key]} bytes; that is no {key}")
    uri_key = next((key for key in ("uri", "connection_string") if key in values), None)
    if uri_key:
        address = _from_uri(values[uri_key], field_name=names[uri_key])
    elif "host" in values:
        address = _from_parts(values, names)
    else:
        wanted = ", ".join(names[key] for key in ("uri", "host"))
        raise InvalidAddress(f"no broker address: none of {wanted} is set; give a URI, or host, username and password")
    return _with_management(_with_tls(address, values, names), values, names)


def _trimmed(key: str, text: str) -> str:
    """Without the end of a line, as files have one; a space may be part of a login or a vhost, and of nothing else."""
    return without_line_end(text) if key in _WITH_SPACES else text.strip()


def _from_parts(values: Mapping[str, str], names: Mapping[str, str]) -> BrokerAddress:
    port = uri_parts.port(values["port"], names["port"]) if "port" in values else None
    tls = Tls() if port == AMQPS_PORT or "ca.crt" in values or "tls.crt" in values else None
    default_port = port or (AMQPS_PORT if tls else AMQP_PORT)
    return BrokerAddress(
        hosts=uri_parts.hosts(values["host"], default_port, names["host"]),
        username=values.get("username", "guest"),
        password=values.get("password", "guest"),
        password_given="password" in values,
        virtual_host=uri_parts.virtual_host(values.get("vhost", "/"), names["vhost"]),
        tls=tls,
    )


def _from_uri(uri: str, *, field_name: str) -> BrokerAddress:
    parts = uri_parts.split(uri, field_name)
    if parts.scheme not in ("amqp", "amqps"):
        raise InvalidAddress(f"{field_name} must start with amqp:// or amqps://")
    login, _, nodes = parts.netloc.rpartition("@")
    username, colon, password = login.partition(":")
    tls = Tls() if parts.scheme == "amqps" else None
    return BrokerAddress(
        hosts=uri_parts.hosts(nodes or "localhost", AMQPS_PORT if tls else AMQP_PORT, field_name),
        username=unquote(username) or "guest",
        password=unquote(password) if login else "guest",
        password_given=bool(colon),
        virtual_host=uri_parts.virtual_host_of_path(parts.path, field_name),
        tls=tls,
        heartbeat=uri_parts.heartbeat(parts.query, field_name),
    )


def _with_tls(address: BrokerAddress, values: Mapping[str, str], names: Mapping[str, str]) -> BrokerAddress:
    given = [key for key in ("ca.crt", "tls.crt", "tls.key") if key in values]
    if not given:
        return address
    names = _FILE_OF_KEY | dict(names)
    if ("tls.crt" in values) != ("tls.key" in values):
        missing = "tls.key" if "tls.crt" in values else "tls.crt"
        raise InvalidAddress(f"{names[missing]} is missing; a client certificate needs its key")
    if address.tls is None and not values.get("management_uri", "").lower().startswith("https:"):
        raise InvalidAddress(
            f"{names[given[0]]} is given, but the address begins with amqp:// and would be used without TLS: "
            f"write amqps://, or take {names[given[0]]} out"
        )
    tls = Tls(ca=values.get("ca.crt"), certificate=values.get("tls.crt"), key=values.get("tls.key"))
    tls_texts.check(tls, names)
    return replace(address, tls=address.tls and tls, management_tls=tls)


def _with_management(address: BrokerAddress, values: Mapping[str, str], names: Mapping[str, str]) -> BrokerAddress:
    uri = values.get("management_uri")
    if uri is None:
        return address
    field_name = names["management_uri"]
    parts = uri_parts.split(uri, field_name)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidAddress(f"{field_name} must be an address such as http://rabbitmq:15672")
    login, _, node = parts.netloc.rpartition("@")
    uri_parts.host(node, 0, field_name)
    username, _, password = login.partition(":")
    return replace(
        address,
        management_uri=f"{parts.scheme}://{node}{parts.path.rstrip('/')}",
        management_login=(unquote(username), unquote(password)) if login else None,
    )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(path: Path, name: str | None = None) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InvalidAddress(f"{name or path.name}: cannot read {path}: {reason}") from error
