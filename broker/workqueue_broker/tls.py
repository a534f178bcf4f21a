"""TLS as a value, PEM texts with the peer always verified, and the context that they make.

A text that is no PEM is found when an address is parsed, as that is where a person can be told which key it came from.
"""

import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from workqueue_broker.errors import InvalidAddress


@dataclass(frozen=True)
class Tls:
    """TLS with the peer always verified. PEM texts, not file names."""

    #: Certificate authorities; None: the system's.
    ca: str | None = None
    #: The client's certificate chain, for mutual TLS.
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


def check(tls: Tls, names: Mapping[str, str]) -> None:
    """Raise InvalidAddress for a text that is no usable PEM; `names` says what a person calls each of the keys."""
    for key, text in (("ca.crt", tls.ca), ("tls.crt", tls.certificate), ("tls.key", tls.key)):
        # Before OpenSSL sees it: the text itself says how many rounds its key takes to open, up to hours of them.
        if text is not None and "ENCRYPTED" in text:
            raise InvalidAddress(f"{names[key]} is encrypted; give it unencrypted")
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
        _load_client(context, tls)
        return context


def management_context_of(tls: Tls) -> ssl.SSLContext:
    """The same for the management API, which may stand behind a certificate of the world's: those count, too."""
    context = context_of(tls)
    context.load_default_certs()
    return context


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
