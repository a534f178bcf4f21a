"""TLS as a value, PEM texts with the peer always verified, and the context that they make.

A text that is no PEM is found when an address is parsed, because there the error can name its key.
"""

import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from workqueue_broker import private_keys
from workqueue_broker.errors import InvalidAddress

#: OpenSSL's codes of a failed verification (x509_vfy.h) -> what is wrong with the broker's certificate.
_NOT_VERIFIED = {
    9: "is not valid yet: look at the clocks of the broker and of this machine",
    10: "has expired: renew it at the broker",
    62: "is for another host: connect to a name that it has, or issue one with this name",
    64: "is for another host: connect to an address or name that it has, or issue one with this address",
}
_UNKNOWN_AUTHORITY = "is not of an authority that is known here: set its CA (key ca.crt, AMQP_CA_FILE)"
_NO_TLS_THERE = "this port does not speak TLS: write amqp://, or the port of RabbitMQ's TLS listener (5671 by default)"
_WANTS_A_CERTIFICATE = "the broker wants a client certificate: set it (keys tls.crt and tls.key)"
#: OpenSSL's reasons, in the words of Python's errors.
_REMEDIES = {
    "WRONG_VERSION_NUMBER": _NO_TLS_THERE,
    "RECORD_LAYER_FAILURE": _NO_TLS_THERE,
    "UNEXPECTED_EOF_WHILE_READING": _NO_TLS_THERE,
    "ALERT_CERTIFICATE_REQUIRED": _WANTS_A_CERTIFICATE,
    "ALERT_HANDSHAKE_FAILURE": _WANTS_A_CERTIFICATE,
    "ALERT_UNKNOWN_CA": "the broker does not know the authority of our client certificate (key tls.crt)",
    "ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired: renew it (keys tls.crt and tls.key)",
}
#: What is left of the alert of a broker that closes before we have read it: with TLS 1.3 our handshake is over by then.
_CLOSED_AFTER_HANDSHAKE = ("EOF occurred in violation of protocol", "Connection reset by peer", "Broken pipe")

#: What the ssl module calls a key exchange with Diffie-Hellman over whole numbers.
_DHE = "kx-dhe"


@dataclass(frozen=True)
class Tls:
    """TLS with the peer always verified. PEM texts, not file names."""

    #: Certificate authorities; None: the system's.
    ca: str | None = None
    #: The client's certificate chain, for mutual TLS.
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


def check(tls: Tls, names: Mapping[str, str]) -> None:
    """Raise InvalidAddress for a text that is no usable PEM; `names`: how errors name each of the keys."""
    for key, text in (("ca.crt", tls.ca), ("tls.crt", tls.certificate), ("tls.key", tls.key)):
        # Before OpenSSL sees it: the text itself sets how many rounds its key takes to open, up to hours of them.
        if text is not None and "ENCRYPTED" in text:
            raise InvalidAddress(f"{names[key]} is encrypted; give it unencrypted")
    for key, text in (("tls.crt", tls.certificate), ("tls.key", tls.key)):
        if text is not None and (why := private_keys.refusal(text)):
            raise InvalidAddress(f"{names[key]} {why}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        with _usable(names["ca.crt"], "certificates"):
            context.load_verify_locations(cadata=_ascii(tls.ca))
    with _usable(f"{names['tls.crt']}, {names['tls.key']}", "a certificate and its own key, unencrypted"):
        _load_client(context, tls)


def context_of(tls: Tls) -> ssl.SSLContext:
    """What to connect with; raises InvalidAddress."""
    with _usable("ca.crt, tls.crt or tls.key", "certificates and an unencrypted key"):
        context = ssl.create_default_context(cadata=_ascii(tls.ca) if tls.ca else None)
        # Not DHE: the broker chooses its numbers, and with 10,000 bits a handshake takes the CPU for 0.9 s.
        context.set_ciphers(":".join(one["name"] for one in context.get_ciphers() if one["kea"] != _DHE))
        _load_client(context, tls)
        return context


def management_context_of(tls: Tls) -> ssl.SSLContext:
    """The same for the management API, which may stand behind a certificate of the world's: those count, too."""
    context = context_of(tls)
    context.load_default_certs()
    return context


def certificate_fault(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with the broker's certificate, and the remedy."""
    return _NOT_VERIFIED.get(error.verify_code, _UNKNOWN_AUTHORITY)


def remedy(text: str, tls: Tls) -> str | None:
    """What to do about an error of TLS, from its text: the library often keeps no more of it."""
    known = next((remedy for reason, remedy in _REMEDIES.items() if reason in text), None)
    if known is None and tls.certificate is None and any(reason in text for reason in _CLOSED_AFTER_HANDSHAKE):
        return f"perhaps {_WANTS_A_CERTIFICATE}"
    return known


def _load_client(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.certificate and tls.key:
        # The ssl module reads keys from files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="utf-8") as chain:
            chain.write(f"{tls.key}\n{tls.certificate}\n")
            chain.flush()
            context.load_cert_chain(chain.name, password="")  # without one, OpenSSL asks the terminal for it


def _ascii(pem: str) -> str:
    """Without what the ssl module refuses: bundles of authorities have comments in their owners' languages."""
    return pem.encode("ascii", "ignore").decode()


@contextmanager
def _usable(names: str, what: str) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, TypeError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise InvalidAddress(f"{names}: no usable PEM text ({reason}); give {what}, in PEM") from None
    except OSError as error:
        text = f"cannot be handed to the ssl module in a temporary file: {error.strerror}; make /tmp writable"
        raise InvalidAddress(f"{names} {text}") from error
