"""What a Secret may hold: the user who writes one costs the other users neither memory nor time."""

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import InvalidAddress
from workqueue_broker.private_keys import refusal
from workqueue_broker.tls import Tls, context_of, management_context_of

MIB = 2**20


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


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


def der(tag: int, content: bytes) -> bytes:
    """One value, with a length of two bytes."""
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def number(octets: int) -> bytes:
    """A large odd number."""
    return der(2, b"\x00\xff" + b"\x5a" * (octets - 2) + b"\x01")


def private_key(algorithm: bytes, content: bytes) -> str:
    """A PKCS#8 key of this algorithm and its parameters."""
    return pem("PRIVATE KEY", der(0x30, b"\x02\x01\x00" + der(0x30, algorithm) + der(4, content)))


def pem(label: str, content: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(content).decode()}-----END {label}-----\n"


#: OpenSSL makes the public part as it reads the key: seconds for these 8 KiB, and minutes for twice as much.
DSA = private_key(b"\x06\x07\x2a\x86\x48\xce\x38\x04\x01" + der(0x30, number(2000) * 3), number(2000))
HEADERS = DSA.replace("KEY-----\nM", "KEY-----\nComment: none\n\nM", 1)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("key", ["tls.key", "tls.crt"])
@pytest.mark.parametrize(
    "text",
    [
        DSA,
        DSA.replace("\n", "\r\n"),
        HEADERS,
        DSA.replace("KEY-----\n", "KEY-----   \n", 1),
        DSA.replace("PRIVATE KEY", "DSA PRIVATE KEY"),
        "-----BEGIN DH PARAMETERS-----\nMIIB\n-----END DH PARAMETERS-----\n",
        DSA.replace("MII", "\u4efb", 1),
    ],
    ids=["pkcs8", "crlf", "headers", "spaces", "dsa", "dh", "no-base64"],
)
def test_a_key_of_a_kind_that_takes_long_to_read_is_refused_before_it_is_read(key: str, text: str) -> None:
    secret = {"uri": "amqps://r", "tls.key": "k", "tls.crt": "c", key: text}
    with pytest.raises(InvalidAddress, match=f"key {key} is of a kind that is not taken; give a key of RSA, EC, "):
        BrokerAddress.from_secret(secret)


RSA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"


def rsa(*octets: int) -> bytes:
    """The numbers of an RSA key, with so many bytes each."""
    return der(0x30, b"\x02\x01\x00" + b"".join(map(number, octets)))


#: The sizes of a key of 15,360 bits, of one whose exponent alone is that long, with which OpenSSL computes as well, and
#: of one of 4,096 bits.
LARGE = (1920, 4, 1920, 960, 960, 960, 960, 960)
LONG_EXPONENT = (256, 4, 1920, 128, 128, 128, 128, 128)
LARGEST = (512, 4, 512, 256, 256, 256, 256, 256)


@pytest.mark.parametrize("key", ["tls.key", "tls.crt"])
@pytest.mark.parametrize("sizes", [LARGE, LONG_EXPONENT], ids=["modulus", "exponent"])
@pytest.mark.parametrize("form", ["pkcs8", "rsa"])
def test_an_rsa_key_that_takes_long_to_sign_with_is_refused_before_it_is_used(
    key: str, sizes: tuple[int, ...], form: str
) -> None:
    text = private_key(RSA, rsa(*sizes)) if form == "pkcs8" else pem("RSA PRIVATE KEY", rsa(*sizes))
    secret = {"uri": "amqps://r", "tls.key": "k", "tls.crt": "c", key: text}
    with pytest.raises(InvalidAddress, match=f"key {key} is an RSA key of 15360 bits, .* give one of 4096 at most"):
        BrokerAddress.from_secret(secret)
    assert refusal(private_key(RSA, rsa(*LARGEST))) is None
    assert refusal(pem("RSA PRIVATE KEY", rsa(*LARGEST))) is None


@given(st.binary(max_size=60) | st.integers(0, 60).map(lambda size: rsa(*[129] * 8)[:size]))
def test_whatever_a_block_holds_is_refused_in_words_or_taken(content: bytes) -> None:
    for label in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        assert refusal(pem(label, content)) is not None
    assert refusal(pem("CERTIFICATE", content)) is None


def test_no_key_exchange_is_offered_whose_numbers_the_broker_chooses() -> None:
    """With 10,000 bits it takes the client's CPU for most of a second."""
    for context in (context_of(Tls()), management_context_of(Tls())):
        kinds = {one["kea"] for one in context.get_ciphers()}
        assert "kx-dhe" not in kinds
        assert "kx-ecdhe" in kinds


@pytest.mark.parametrize(
    "options",
    [
        ["RSA"],
        ["RSA-PSS"],
        ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["ED25519"],
        ["ED448"],
    ],
    ids=lambda options: options[0],
)
def test_keys_of_the_usual_kinds_are_taken(tmp_path: Path, options: list[str]) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    openssl("genpkey", "-algorithm", *options, "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-out", certificate, "-subj", "/CN=worker", "-days", "1")
    secret = {"uri": "amqps://r", "tls.key": key.read_text(), "tls.crt": certificate.read_text()}
    assert BrokerAddress.from_secret(secret).tls


@pytest.mark.parametrize("command", [["rsa", "-traditional"], ["ec"]], ids=["rsa", "ec"])
def test_keys_in_their_older_forms_are_taken(tmp_path: Path, command: list[str]) -> None:
    made, key, certificate = tmp_path / "made", tmp_path / "key", tmp_path / "certificate"
    options = ["RSA"] if command[0] == "rsa" else ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("genpkey", "-algorithm", *options, "-out", made)
    openssl(*command, "-in", made, "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-out", certificate, "-subj", "/CN=worker", "-days", "1")
    secret = {"uri": "amqps://r", "tls.key": key.read_text(), "tls.crt": certificate.read_text()}
    assert BrokerAddress.from_secret(secret).tls
