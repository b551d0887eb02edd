"""Certificates: readable, fitting, not expired, for the right names. Keys of sound: told where nobody reads them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from pbxd.certificates import CertificateError, given, names_of
from pbxd.config import Config
from pbxd.config.sound import KeysOverPlain, SrtpPolicy
from pbxd.doctor.around import Surroundings
from pbxd.doctor.finding import Finding, Level

SOON = datetime.timedelta(days=21)
SHOWN = 5


def certificates(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Each certificate that the listeners show."""
    sip = config.sip
    if not (sip.tls or config.http.tls):
        yield Finding(
            "certificate", Level.NOTE, "nobody listens for TLS", 'sip.tls: ["0.0.0.0:5061"] if phones want it'
        )
        return
    if sip.certificate is not None and sip.private_key is not None:
        yield from _one(sip.certificate, sip.private_key, (), around)
    else:
        own = config.data_dir / "sip.crt"
        if own.exists():
            yield from _one(own, config.data_dir / "sip.key", (), around)
        yield Finding("certificate", Level.NOTE, "the certificate is self-signed: phones must not verify it",
                      "certbot certonly; then name its files in sip.certificate and sip.private_key")  # fmt: skip
    for one in sip.certificates:
        yield from _one(one.certificate, one.private_key, one.names, around)


def keys(config: Config, _around: Surroundings) -> Iterator[Finding]:
    """Who is to be secured, and whether signalling keeps the keys secret."""
    house = config.srtp.policy
    said = [(number, phone.srtp) for number, phone in config.phones.items()]
    said += [(name, trunk.srtp) for name, trunk in config.trunks.items()]
    names = [name for name, own in said if (own or house) is SrtpPolicy.REQUIRED]
    if not names and config.srtp.policy is not SrtpPolicy.REQUIRED:
        return
    whom = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    whom = whom or "all"
    if config.srtp.over_plain_signalling is KeysOverPlain.ALLOW:
        yield Finding("srtp", Level.WARNING, f"SRTP is required of {whom}, and its keys may travel unprotected",
                      "have the phones use TLS, and say srtp.over_plain_signalling: refuse")  # fmt: skip
    elif not config.sip.tls:
        yield Finding("srtp", Level.PROBLEM, f"SRTP is required of {whom} over TLS, and nobody listens for it",
                      'sip.tls: ["0.0.0.0:5061"]')  # fmt: skip
    else:
        yield Finding("srtp", Level.GOOD, f"SRTP is required of {whom}, its keys over TLS alone")


def _one(certificate: Path, private_key: Path, names: tuple[str, ...], around: Surroundings) -> Iterator[Finding]:
    try:
        identity = given(certificate, private_key)
        covered = names_of(identity)
    except CertificateError as error:
        yield Finding("certificate", Level.PROBLEM, str(error), "put the right PEM files there, readable for pbxd")
        return
    left = identity.expires - datetime.datetime.fromtimestamp(around.wall, datetime.UTC)
    day = identity.expires.date().isoformat()
    renew = f"renew {certificate} (certbot renew); pbxd takes the new file up by itself"
    if left <= datetime.timedelta():
        yield Finding("certificate", Level.PROBLEM, f"{certificate} has expired on {day}", renew)
    elif left < SOON:
        yield Finding("certificate", Level.WARNING, f"{certificate} expires on {day}, in {left.days} days", renew)
    else:
        yield Finding("certificate", Level.GOOD, f"{certificate} is good until {day}")
    if missing := [name for name in names if not _covers(name, covered)]:
        yield Finding("certificate", Level.WARNING, f"{certificate} is not for {', '.join(missing)}",
                      "take a certificate with these names, or change names in sip.certificates")  # fmt: skip


def _covers(name: str, covered: tuple[str, ...]) -> bool:
    """RFC 6125 §6.4.3: a wildcard stands for exactly one label."""
    return name in covered or f"*.{name.partition('.')[2]}" in covered
