"""What a Secret, a URI or the environment may say: an address, or an InvalidAddress that names the key, no secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.credentials import ExternalCredentials, PlainCredentials
from workqueue_broker.address import SECRET_KEYS, BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect, connection_parameters
from workqueue_broker.errors import BrokerError, InvalidAddress

from tests.support.tls_front import Authority, Certificate

HOST = {"host": "127.0.0.1", "port": "1"}
#: Secrets that no broker can be reached with, and the key that a person must change.
BAD_SECRETS = {
    "ca that is no PEM": ({**HOST, "ca.crt": "not a pem"}, "ca.crt"),
    "ca in DER, as the API gives its bytes": ({**HOST, "ca.crt": "0\ufffd\ufffd0\ufffd"}, "ca.crt"),
    "ca with letters beyond ASCII": ({**HOST, "ca.crt": "Zertifikät"}, "ca.crt"),
    "client certificate that is no PEM": ({**HOST, "port": "5671", "tls.crt": "a", "tls.key": "b"}, "tls.crt"),
    "client key beyond ASCII": ({**HOST, "port": "5671", "tls.crt": "ä", "tls.key": "ö"}, "tls.key"),
    "host with an empty label": ({"host": "a..b"}, "host"),
    "host with a label that is too long": ({"host": "x" * 64}, "host"),
    "host with a NUL": ({"host": "a\0b"}, "host"),
    "host of two words": ({"host": "my broker"}, "host"),
    "port of five thousand digits": ({"host": "a", "port": "1" * 5000}, "port"),
    "vhost that is too long": ({"host": "a", "vhost": "ä" * 128}, "vhost"),
    "uri with a bare bracket": ({"uri": "amqp://user:topsecret@[::1/"}, "uri"),
    "uri with a bracket in the password": ({"uri": "amqp://user:top[secret@h/"}, "uri"),
    "uri with an odd letter in the password": ({"uri": "amqp://user:topsecret\u2048@h/"}, "uri"),
    "uri with a slash in the password": ({"uri": "amqp://user:12/topsecret@h/v"}, "uri"),
    "uri with a question mark in the password": ({"uri": "amqp://user:12?topsecret=1@h/v"}, "uri"),
    "uri with a hash in the password": ({"uri": "amqp://user:12#topsecret@h/v"}, "uri"),
    "uri with an unknown option": ({"uri": "amqp://h/v?topsecret=1"}, "uri"),
    "uri with a heartbeat that does not fit": ({"uri": "amqp://h/v?heartbeat=65536"}, "uri"),
    "connection_string with a bad host": ({"connection_string": "amqp://user:topsecret@a..b/"}, "connection_string"),
    "management_uri with a bare bracket": ({**HOST, "management_uri": "http://u:topsecret@[::1"}, "management_uri"),
    "management_uri with an impossible port": ({**HOST, "management_uri": "http://h:99999"}, "management_uri"),
    "management_uri with a bad host": ({**HOST, "management_uri": "http://a..b"}, "management_uri"),
    "management_uri with a slash in the password": (
        {**HOST, "management_uri": "http://u:12/topsecret@h"},
        "management_uri",
    ),
}


def texts_of(error: BaseException | None) -> str:
    """All that a log could have of it: its words, and those of what it came from."""
    return f"{error} {texts_of(error.__cause__ or error.__context__)}" if error else ""


@pytest.mark.parametrize("secret", BAD_SECRETS)
def test_a_bad_secret_is_an_invalid_address_that_names_the_key(secret: str) -> None:
    data, key = BAD_SECRETS[secret]
    with pytest.raises(InvalidAddress) as caught:
        BrokerAddress.from_secret({"password": "topsecret", **data})
    assert f"key {key}" in str(caught.value)
    assert "topsecret" not in texts_of(caught.value)


@given(
    st.dictionaries(
        st.sampled_from(SECRET_KEYS),
        st.one_of(
            st.text(max_size=80),
            st.text("[]@:/?#%. \u2048ä,0123456789abc", max_size=30).map(lambda text: f"amqps://{text}"),
            st.text("[]@:/?#%. \u2048ä,0123456789abc", max_size=30).map(lambda text: f"http://{text}"),
        ),
    )
)
def test_whatever_a_secret_says_is_an_address_or_an_invalid_one(data: dict[str, str]) -> None:
    try:
        address = BrokerAddress.from_secret(data)
    except InvalidAddress:
        return
    assert str(address)


def test_a_bundle_of_authorities_may_have_comments_in_any_language(tmp_path: Path) -> None:
    pem = Authority(tmp_path / "authority").certificate.read_text()
    address = BrokerAddress.from_secret({**HOST, "ca.crt": f"# Főtanúsítvány\n{pem}"})
    assert connection_parameters(address, ConnectionSettings("test"))


def test_an_encrypted_client_key_is_an_error_and_no_question_on_the_terminal(tmp_path: Path) -> None:
    key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----"
    certificate = Authority(tmp_path / "authority").certificate.read_text()
    with pytest.raises(InvalidAddress, match=r"tls\.key.*unencrypted"):
        BrokerAddress.from_secret({**HOST, "tls.crt": certificate, "tls.key": key})


def test_a_password_that_is_no_text_is_said_by_the_name_of_its_variable() -> None:
    with pytest.raises(InvalidAddress, match="AMQP_PASSWORD is not UTF-8") as caught:
        BrokerAddress.from_environment({"AMQP_HOST": "h", "AMQP_PASSWORD": "topsecret\udcff"})
    assert "topsecret" not in texts_of(caught.value)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_value_that_the_library_refuses_is_an_invalid_address_too(host: str) -> None:
    """A caller that builds an address by hand gets past the parser."""
    address = BrokerAddress(hosts=((host, 1),), password="topsecret\udcff")
    with pytest.raises(BrokerError) as caught:
        connect(address, ConnectionSettings("test"))
    assert isinstance(caught.value, InvalidAddress)
    assert "topsecret" not in texts_of(caught.value)


@pytest.fixture
def certified(tmp_path: Path) -> dict[str, str]:
    """A Secret's keys for mutual TLS."""
    authority = Authority(tmp_path / "authority")
    mine: Certificate = authority.issue("worker", "DNS:worker")
    return {
        "ca.crt": authority.certificate.read_text(),
        "tls.crt": mine.certificate.read_text(),
        "tls.key": mine.key.read_text(),
    }


@pytest.mark.parametrize(
    ("login", "kind"),
    [
        ({"host": "h"}, ExternalCredentials),
        ({"host": "h", "username": "certified"}, ExternalCredentials),
        ({"host": "h", "username": "guest", "password": "guest"}, PlainCredentials),
        ({"uri": "amqps://h/"}, ExternalCredentials),
        ({"uri": "amqps://certified@h/"}, ExternalCredentials),
        ({"uri": "amqps://guest:guest@h/"}, PlainCredentials),
    ],
)
def test_a_client_certificate_is_the_login_when_no_password_was_given(
    certified: dict[str, str], login: dict[str, str], kind: type
) -> None:
    (parameters,) = connection_parameters(BrokerAddress.from_secret({**certified, **login}), ConnectionSettings("test"))
    assert isinstance(parameters.credentials, kind)


def test_a_client_certificate_alone_turns_tls_on(certified: dict[str, str]) -> None:
    mine = {key: certified[key] for key in ("tls.crt", "tls.key")}
    address = BrokerAddress.from_secret({"host": "h", **mine})
    assert address.hosts == (("h", 5671),)
    assert address.tls


@pytest.mark.parametrize("keys", [{"ca.crt"}, {"tls.crt", "tls.key"}])
def test_tls_that_the_address_would_not_use_is_an_error(certified: dict[str, str], keys: set[str]) -> None:
    given = {key: certified[key] for key in keys}
    with pytest.raises(InvalidAddress, match=r"would be used without TLS: write amqps://, or take key \S+ out"):
        BrokerAddress.from_secret({"uri": "amqp://guest:guest@h/", **given})


def test_an_authority_may_be_for_the_management_api_alone(certified: dict[str, str]) -> None:
    uris = {"uri": "amqp://guest:guest@h/", "management_uri": "https://h:15671"}
    address = BrokerAddress.from_secret({**uris, "ca.crt": certified["ca.crt"]})
    assert address.tls is None
    assert address.management_tls.ca == certified["ca.crt"].strip()
