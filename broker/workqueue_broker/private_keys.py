"""Which private keys are taken: those that OpenSSL reads, and signs a handshake with, in a time that is bounded.

A key is a tenant's text, and the operator's event loop waits while OpenSSL works with it.
"""

import base64
import re

#: Bits of an RSA key. With one of 15,360 the loop waits 0.2 s for each handshake, with this one milliseconds.
MOST_RSA_BITS = 4096

#: A PEM block: its label and its text. A label that has no end is a block too, so that none is overlooked.
_BLOCK = re.compile(r"-----BEGIN ([^\n]*)\n?([^-]*)")
#: What tls.crt and tls.key may hold. Not a DSA key: OpenSSL computes its public part as it reads it, which takes
#: minutes for a key of 16 KiB.
_RSA, _PKCS8 = "RSA PRIVATE KEY", "PRIVATE KEY"
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", _PKCS8, _RSA, "EC PRIVATE KEY", "EC PARAMETERS")
#: Object identifiers, as DER has them, of the algorithms that a PKCS#8 key may be of.
_RSA_ALGORITHMS = (
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",  # 1.2.840.113549.1.1.1
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a",  # and .10: PSS
)
_OTHER_ALGORITHMS = (
    b"\x2a\x86\x48\xce\x3d\x02\x01",  # 1.2.840.10045.2.1: EC
    b"\x2b\x65\x70",  # 1.3.101.112: Ed25519
    b"\x2b\x65\x71",  # 1.3.101.113: Ed448
)
_KINDS = "RSA, EC, Ed25519 or Ed448"
#: DER's tags.
_INTEGER, _OCTETS, _IDENTIFIER, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
#: After its version an RSA key has the modulus and seven other numbers (RFC 8017, A.1.2).
_RSA_NUMBERS = 8


def refusal(pem: str) -> str | None:
    """What is wrong with the keys in a PEM text, and the remedy; None: nothing. Certificates are not looked at."""
    return next(filter(None, (_refused(label, text) for label, text in _BLOCK.findall(pem))), None)


def _refused(label: str, text: str) -> str | None:
    name = label.strip().removesuffix("-----")
    bits = None
    if name in (_RSA, _PKCS8):
        try:
            key = base64.b64decode("".join(text.split()), validate=True)
            bits = _rsa_bits(key) if name == _RSA else _pkcs8_bits(key)
        except (ValueError, IndexError):  # no base64, or no such key
            name = ""
    if name not in _LABELS:
        return f"is of a kind that is not taken; give a key of {_KINDS}, in PEM"
    if bits is not None and bits > MOST_RSA_BITS:
        return f"is an RSA key of {bits} bits, which takes long to use: give one of {MOST_RSA_BITS} at most, or of EC"
    return None


def _pkcs8_bits(der: bytes) -> int | None:
    """The size of an RSA key in its PKCS#8 form (RFC 5208), None of another kind; ValueError for one not taken."""
    at, _ = _content(der, 0, _SEQUENCE)
    _, at = _content(der, at, _INTEGER)
    start, at = _content(der, at, _SEQUENCE)
    start, end = _content(der, start, _IDENTIFIER)
    if der[start:end] in _OTHER_ALGORITHMS:
        return None
    if der[start:end] not in _RSA_ALGORITHMS:
        raise ValueError("another algorithm")
    start, end = _content(der, at, _OCTETS)
    return _rsa_bits(der[start:end])


def _rsa_bits(der: bytes) -> int:
    """The size of the largest of the key's numbers: OpenSSL computes with each, whether they fit together or not."""
    at, end = _content(der, 0, _SEQUENCE)
    _, at = _content(der, at, _INTEGER)
    most = 0
    for _ in range(_RSA_NUMBERS):
        start, at = _content(der, at, _INTEGER)
        most = max(most, int.from_bytes(der[start:at], "big").bit_length())
    if at != end:
        raise ValueError("more primes than two")
    return most


def _content(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the value at this place begins and ends; it must have this tag, and a length of two bytes at most."""
    if der[at] != tag or der[at + 1] in (0x80, *range(0x83, 0x100)):
        raise ValueError("another value")
    start = at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)
    length = int.from_bytes(der[at + 2 : start], "big") if der[at + 1] & 0x80 else der[at + 1]
    if start + length > len(der):
        raise ValueError("it is cut short")
    return start, start + length
