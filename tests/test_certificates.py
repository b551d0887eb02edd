"""The house's TLS identity: made once, kept, refused with a reason; and contexts that really shake hands."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pbxd.certificates import (
    CertificateError,
    Identity,
    client_context,
    fingerprint,
    given,
    self_signed,
    server_context,
    show,
)

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
TODAY = datetime.datetime.now(datetime.UTC)
NAMES = ["pbx.example.com", "192.0.2.7", "[2001:db8::7]", "0.0.0.0", "::", "not a name", "pbx.example.com."]


def load(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate.read_bytes())


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
    """Both ends in memory, to the end of the handshake; the client's end. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    unfinished = [near, far]
    for _ in range(10):
        for end in list(unfinished):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            unfinished.remove(end)
    assert not unfinished
    return near


def test_the_certificate_of_the_first_start(tmp_path: Path) -> None:
    identity = self_signed(tmp_path, NAMES, NOW)
    certificate = load(identity)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["pbx.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "2001:db8::7"]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert identity.expires == certificate.not_valid_after_utc
    assert 3650 <= (identity.expires - NOW).days <= 3653
    assert certificate.not_valid_before_utc < NOW
    assert stat.S_IMODE(identity.private_key.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sip.crt", "sip.key"]


def test_it_is_kept_until_it_expires(tmp_path: Path) -> None:
    first = fingerprint(self_signed(tmp_path, ["a.example"], NOW))
    assert fingerprint(self_signed(tmp_path, ["b.example"], NOW + datetime.timedelta(days=3000))) == first
    key = (tmp_path / "sip.key").read_bytes()
    later = NOW + datetime.timedelta(days=4000)
    renewed = self_signed(tmp_path, ["b.example"], later)
    assert fingerprint(renewed) != first
    assert renewed.expires > later
    assert (tmp_path / "sip.key").read_bytes() == key


def test_a_lost_certificate_is_made_again_for_the_same_key(tmp_path: Path) -> None:
    identity = self_signed(tmp_path, ["a.example"], NOW)
    key = identity.private_key.read_bytes()
    identity.certificate.unlink()
    again = self_signed(tmp_path, ["a.example"], NOW)
    assert again.private_key.read_bytes() == key
    assert given(again.certificate, again.private_key) == again


def test_a_fingerprint_reads_as_phones_show_it(tmp_path: Path) -> None:
    text = fingerprint(self_signed(tmp_path, [], NOW))
    assert len(text.split(":")) == 32
    assert text == text.upper()


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        protection = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda c, k: c.unlink(), "cannot read the certificate {c}: No such file or directory"),
        (lambda c, k: k.unlink(), "cannot read the private key {k}: No such file or directory"),
        (lambda c, k: c.write_text("hello"), "{c} holds no certificate in PEM format (-----BEGIN CERTIFICATE-----)"),
        (lambda c, k: k.write_text("hello"), "{k} holds no private key in PEM format (-----BEGIN PRIVATE KEY-----)"),
        (
            lambda c, k: k.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()))),
            "the private key {k} does not belong to the certificate {c}",
        ),
        (
            lambda c, k: k.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"secret")),
            "the private key {k} is encrypted: give one without a passphrase",
        ),
        (
            lambda c, k: c.write_bytes(b"x" * 2_000_000),
            "the certificate {c} is larger than 1048576 bytes: not a PEM file",
        ),
    ],
)
def test_an_identity_that_cannot_be_used_says_why(tmp_path: Path, spoil: object, reason: str) -> None:
    identity = self_signed(tmp_path, ["a.example"], NOW)
    assert callable(spoil)
    spoil(identity.certificate, identity.private_key)
    with pytest.raises(CertificateError) as caught:
        given(identity.certificate, identity.private_key)
    assert caught.value.message == reason.format(c=identity.certificate, k=identity.private_key)


def test_a_foreign_key_in_our_place_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sip.key"
    path.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    before = path.read_bytes()
    with pytest.raises(CertificateError, match="is not a key of ours"):
        self_signed(tmp_path, [], NOW)
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"cannot write the TLS certificate .*No such file"):
        self_signed(tmp_path / "missing", [], NOW)


def test_a_phone_that_checks_nothing_gets_tls_1_2_or_newer(tmp_path: Path) -> None:
    server = server_context(self_signed(tmp_path, ["a.example"], TODAY))
    assert shake_hands(server, client_context(verify=False), None).version() in {"TLSv1.2", "TLSv1.3"}
    old = client_context(verify=False)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake_hands(server, old, None)


def test_a_trunk_must_prove_its_name(tmp_path: Path) -> None:
    identity = self_signed(tmp_path, ["sip.provider.example", "192.0.2.9"], TODAY)
    server = server_context(identity)
    trusting = client_context(verify=True, authorities=identity.certificate)
    for name in ("sip.provider.example", "192.0.2.9"):
        assert shake_hands(server, trusting, name).getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, trusting, "other.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        shake_hands(server, client_context(verify=True), "sip.provider.example")


def test_authorities_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"cannot read the certificate authorities in .*nowhere"):
        client_context(verify=True, authorities=tmp_path / "nowhere")


def test_a_context_needs_files_that_fit(tmp_path: Path) -> None:
    identity = self_signed(tmp_path, [], NOW)
    identity.private_key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(CertificateError, match="TLS cannot use"):
        server_context(identity)


def test_a_renewed_certificate_is_shown_without_a_new_context(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = self_signed(tmp_path / "old", ["a.example"], TODAY)
    new = self_signed(tmp_path / "new", ["a.example"], TODAY)
    server = server_context(old)
    show(server, new)
    trusting = client_context(verify=True, authorities=new.certificate)
    assert shake_hands(server, trusting, "a.example").getpeercert()
    new.private_key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(CertificateError, match="TLS cannot use"):
        show(server, new)
    assert shake_hands(server, trusting, "a.example").getpeercert()
