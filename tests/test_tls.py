"""What TLS listeners show: by name, renewed while they listen, never the wrong thing."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pbxd.certificates import CertificateError, Identity, client_context, given
from pbxd.tls import Named, Shown
from tests.test_certificates import shake_hands

NOW = datetime.datetime.now(datetime.UTC)


def make(directory: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, subject: str) -> Identity:
    """A certificate for `subject` in `directory`."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for path, data in zip(
        paths,
        (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, *pem),
        ),
        strict=True,
    ):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(path)
    return given(*paths)


def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def seen(shown: Shown, name: str | None) -> str:
    """The common name of the certificate that a client which asks for `name` is shown."""
    near = shake_hands(shown.context, client_context(verify=False), name)
    der = near.getpeercert(binary_form=True)
    assert der is not None
    value = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(value)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    default = make(tmp_path, "default", elliptic(), "default.test")
    one = make(tmp_path, "one", elliptic(), "one.test")
    many = make(tmp_path, "many", elliptic(), "many.test")
    return Shown(
        default,
        [
            Named(("one.test", "ONE.example"), one.certificate, one.private_key),
            Named(("*.many.test",), many.certificate, many.private_key),
        ],
    )


@pytest.mark.parametrize(
    ("asked", "certificate"),
    [
        (None, "default.test"),
        ("unknown.test", "default.test"),
        ("one.test", "one.test"),
        ("One.Example", "one.test"),
        ("a.many.test", "many.test"),
        ("a.b.many.test", "default.test"),
        ("many.test", "default.test"),
    ],
)
def test_each_name_is_shown_its_certificate(shown: Shown, asked: str | None, certificate: str) -> None:
    assert seen(shown, asked) == certificate


def test_a_renewed_file_is_shown_from_then_on(shown: Shown, tmp_path: Path) -> None:
    assert not shown.watch()
    make(tmp_path, "default", elliptic(), "renewed.test")
    make(tmp_path, "one", elliptic(), "one-renewed.test")
    assert seen(shown, None) == "default.test"
    assert shown.watch()
    assert (seen(shown, None), seen(shown, "one.test")) == ("renewed.test", "one-renewed.test")
    assert (shown.reloads, shown.failures) == (1, 0)
    assert not shown.watch()


def test_the_first_to_expire_is_named(shown: Shown, tmp_path: Path) -> None:
    short = make(tmp_path, "short", elliptic(), "short.test")
    default = make(tmp_path, "long", elliptic(), "long.test")
    first = default.expires - datetime.timedelta(days=3)
    shown.take(
        dataclasses.replace(default, expires=first), [Named(("short.test",), short.certificate, short.private_key)]
    )
    assert shown.expires == first
    later = default.expires + datetime.timedelta(days=3)
    shown.take(
        dataclasses.replace(default, expires=later), [Named(("short.test",), short.certificate, short.private_key)]
    )
    assert shown.expires == short.expires


def test_another_kind_of_key_leaves_nothing_of_the_old_one(shown: Shown, tmp_path: Path) -> None:
    """One context would show the ECDSA certificate to clients that know both, for ever."""
    make(tmp_path, "default", rsa.generate_private_key(65537, 2048), "rsa.test")
    assert shown.watch()
    assert seen(shown, None) == "rsa.test"


def test_a_renewal_that_is_half_written_waits_for_its_other_half(shown: Shown, tmp_path: Path) -> None:
    key = (tmp_path / "default.key").read_bytes()
    make(tmp_path, "default", elliptic(), "renewed.test")
    whole = (tmp_path / "default.key").read_bytes()
    (tmp_path / "default.key").write_bytes(key)
    assert not shown.watch()
    assert seen(shown, None) == "default.test"
    assert shown.failures == 1
    assert not shown.watch()
    assert shown.failures == 1  # said once, not at every look
    (tmp_path / "default.key").write_bytes(whole)
    assert shown.watch()
    assert seen(shown, None) == "renewed.test"


def test_a_file_that_is_gone_changes_nothing(shown: Shown, tmp_path: Path) -> None:
    (tmp_path / "default.crt").unlink()
    assert not shown.watch()
    assert seen(shown, None) == "default.test"
    assert shown.failures == 1


def test_a_link_that_points_elsewhere_is_a_change(shown: Shown, tmp_path: Path) -> None:
    """certbot's live/ holds links."""
    live = tmp_path / "live"
    live.mkdir()
    first, second = make(tmp_path, "r1", elliptic(), "r1.test"), make(tmp_path, "r2", elliptic(), "r2.test")

    def point(at: Identity) -> None:
        for name, target in (("crt", at.certificate), ("key", at.private_key)):
            (live / "new").symlink_to(target)
            (live / "new").replace(live / name)

    point(first)
    shown.take(given(live / "crt", live / "key"))
    assert seen(shown, None) == "r1.test"
    point(second)
    assert shown.watch()
    assert seen(shown, None) == "r2.test"


def test_what_cannot_be_shown_is_refused_and_the_old_stays(shown: Shown, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="TLS cannot use"):
        shown.take(Identity(tmp_path / "none", tmp_path / "none", NOW))
    with pytest.raises(CertificateError, match="does not belong"):
        shown.take(
            given(tmp_path / "one.crt", tmp_path / "one.key"),
            [Named(("x",), tmp_path / "one.crt", tmp_path / "many.key")],
        )
    assert seen(shown, "one.test") == "one.test"
    assert shown.reloads == 0
