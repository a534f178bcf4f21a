"""What a Secret may hold: whoever writes one costs the others neither memory nor time."""

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import InvalidAddress

MIB = 2**20


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({"host": "a," * (MIB // 2)}, "key host has more than 4096 bytes"),
        ({"host": ",".join(["rabbitmq"] * 33)}, "key host has more than 32 hosts"),
        ({"uri": "amqp://" + ",".join(["r"] * 10_000)}, "key uri has more than 32 hosts"),
        ({"host": "a." * 130}, "key host has a host name of more than 253 bytes"),
        ({"host": "\u4efb" * 100}, "key host has a host name of more than 253 bytes"),
        ({"uri": "amqp://" + "a." * MIB}, "key uri has more than 32768 bytes"),
        ({"host": "r", "username": "u" * MIB}, "key username has more than 4096 bytes"),
        ({"host": "r", "password": "p" * MIB}, "key password has more than 32768 bytes"),
        ({"host": "r", "ca.crt": "c" * MIB}, r"key ca\.crt has more than 524288 bytes"),
        (
            {"host": "r", "management_uri": "http://" + "a." * 130},
            "key management_uri has a host name of more than 253",
        ),
    ],
)
def test_more_than_anybody_needs_is_refused_by_its_key(secret: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidAddress, match=words) as caught:
        BrokerAddress.from_secret(secret)
    assert len(str(caught.value)) < 200
    assert "ppp" not in str(caught.value)


def test_as_many_hosts_as_a_cluster_may_have_are_taken_and_named_shortly() -> None:
    address = BrokerAddress.from_secret({"host": ",".join(f"rabbit-{number}" for number in range(32))})
    assert len(address.hosts) == 32
    assert str(address) == "amqp://guest@rabbit-0:5672,rabbit-1:5672,rabbit-2:5672,…/%2F"


#: An encrypted PKCS#8 key names its own count of PBKDF2 rounds; what it holds may be garbage.
ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize("key", ["tls.key", "tls.crt", "ca.crt"])
def test_a_key_that_says_how_long_it_takes_to_open_is_refused_before_it_is_opened(key: str) -> None:
    secret = {"uri": "amqps://r", "tls.key": "k", "tls.crt": "c", key: f"# mine\n{ENCRYPTED}"}
    with pytest.raises(InvalidAddress, match=f"key {key} is encrypted; give it unencrypted"):
        BrokerAddress.from_secret(secret)


def test_the_older_form_of_an_encrypted_key_is_refused_too() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nMIIB\n"
    with pytest.raises(InvalidAddress, match=r"key tls\.key is encrypted"):
        BrokerAddress.from_secret({"uri": "amqps://r", "tls.crt": "c", "tls.key": text})
