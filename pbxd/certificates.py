"""TLS identities: the self-signed certificate of the first start, certificates given by the operator, SSL contexts.

Phones meet the server certificate on the SIP TLS port; the client contexts are for trunks and for phones we call.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pbxd.errors import HouseError

_LIFETIME = datetime.timedelta(days=3652)
_BACKDATED = datetime.timedelta(days=1)  # a phone's clock may be behind ours
_MAX_FILE_BYTES = 1 << 20
_MAX_NAMES = 64
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*"
)


class CertificateError(HouseError):
    """A certificate or key that cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain and its private key, both PEM files that fit each other; `expires` is in UTC."""

    certificate: Path
    private_key: Path
    expires: datetime.datetime


def self_signed(directory: Path, names: Iterable[str], now: datetime.datetime) -> Identity:
    """The house's own identity in `directory`: `sip.crt` and `sip.key` (ECDSA P-256, mode 0600), made when they are
    not there or have expired, else as they are, because phones may have pinned them.

    `names` are host names and IP literals for the SubjectAltName (RFC 5922 §7.1 looks nowhere else); what is neither
    is left out. `now` is aware, in UTC. Raises CertificateError.
    """
    certificate_path, key_path = directory / "sip.crt", directory / "sip.key"
    if certificate_path.exists() and key_path.exists():
        identity = given(certificate_path, key_path)
        if now < identity.expires:
            return identity
    try:
        key = _own_key(key_path)
        certificate = _sign(key, names, now)
        _write_new(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise CertificateError(f"cannot write the TLS certificate {certificate_path}: {error.strerror}") from error
    return Identity(certificate_path, key_path, certificate.not_valid_after_utc)


def given(certificate: Path, private_key: Path) -> Identity:
    """The identity the operator gave, checked: PEM, readable, a key that is not encrypted and belongs to the
    certificate. An expired one is not refused here: `Identity.expires` tells. Raises CertificateError."""
    leaf = _read_certificate(certificate)
    key = _read_key(private_key)
    if _public_bytes(key.public_key()) != _public_bytes(leaf.public_key()):
        raise CertificateError(f"the private key {private_key} does not belong to the certificate {certificate}")
    return Identity(certificate, private_key, leaf.not_valid_after_utc)


def server_context(identity: Identity) -> ssl.SSLContext:
    """What our TLS listeners use: TLS 1.2 or newer, no certificate asked of phones. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    show(context, identity)
    return context


def show(context: ssl.SSLContext, identity: Identity) -> None:
    """Show `identity` to whoever connects from now on; connections that are up are not touched, so that a renewed
    certificate needs no restart. Raises CertificateError, and then nothing has changed."""
    try:
        context.load_cert_chain(identity.certificate, identity.private_key)
    except OSError as error:
        raise CertificateError(f"TLS cannot use {identity.certificate} with {identity.private_key}: {error}") from error


def client_context(*, verify: bool, authorities: Path | None = None) -> ssl.SSLContext:
    """What our own TLS connections use. With `verify` the peer must prove the name that was asked for (RFC 5922),
    to `authorities` (a PEM file) or to the system's. Without it any peer is taken. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if authorities is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cafile=authorities)
    except OSError as error:
        raise CertificateError(f"cannot read the certificate authorities in {authorities}: {error}") from error
    return context


def fingerprint(identity: Identity) -> str:
    """SHA-256 of the certificate as phones show it: `AB:CD:…`. Raises CertificateError."""
    return _read_certificate(identity.certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def names_of(identity: Identity) -> tuple[str, ...]:
    """The host names and addresses the certificate is for, in lower case. Raises CertificateError."""
    certificate = _read_certificate(identity.certificate)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except ValueError as error:
        raise CertificateError(f"{identity.certificate} holds names that cannot be read: {error}") from error
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Phones drop the TCP connection without close_notify; SIP has its own framing, so nothing can be cut off unseen.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF


def _own_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        key = _read_key(path)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
        raise CertificateError(f"{path} is not a key of ours: move it away, or name it as sip.private_key")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_new(path, pem, 0o600)
    return key


def _sign(key: ec.EllipticCurvePrivateKey, names: Iterable[str], now: datetime.datetime) -> x509.Certificate:
    subjects = _subjects(names)
    common_name = str(subjects[0].value)[:64] if subjects else "pbxd"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if subjects:
        builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
    return builder.sign(key, hashes.SHA256())


def _subjects(names: Iterable[str]) -> list[x509.DNSName | x509.IPAddress]:
    subjects: dict[str, x509.DNSName | x509.IPAddress] = {}
    for name in names:
        text = name.strip("[]").rstrip(".").lower()
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            if _HOST_NAME.fullmatch(text):
                subjects.setdefault(text, x509.DNSName(text))
            continue
        if not address.is_unspecified and not getattr(address, "scope_id", None):
            subjects.setdefault(str(address), x509.IPAddress(address))
    return list(subjects.values())[:_MAX_NAMES]


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write and rename, so that a crash leaves either the old file or the whole new one."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise CertificateError(f"the {what} {path} is larger than {_MAX_FILE_BYTES} bytes: not a PEM file")
    return data


def _read_certificate(path: Path) -> x509.Certificate:
    data = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate in PEM format (-----BEGIN CERTIFICATE-----)") from error


def _read_key(path: Path) -> PrivateKeyTypes:
    data = _read(path, "private key")
    try:
        return serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise CertificateError(f"the private key {path} is encrypted: give one without a passphrase") from error
    except ValueError as error:
        raise CertificateError(f"{path} holds no private key in PEM format (-----BEGIN PRIVATE KEY-----)") from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
