"""Passwords for phones: made here, shown once, kept as HA1 only."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Self

from pbxd.sip.digest import ha1

PASSWORD_LENGTH = 16
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else: 16 of these are 79 bits


def make_password() -> str:
    """A random password that is easy to type on a desk phone."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


@dataclass(frozen=True, slots=True)
class Hashes:
    """HA1 for each digest algorithm, in hexadecimal (RFC 7616 §3.4.2, RFC 8760)."""

    md5: str
    sha256: str

    @classmethod
    def of(cls, username: str, realm: str, password: str) -> Self:
        return cls(ha1(username, realm, password, "MD5"), ha1(username, realm, password, "SHA-256"))


def made_up(secret: bytes, username: str, algorithm: str) -> str:
    """The HA1 of a user who does not exist: always the same, so that nobody learns who does."""
    digest = hmac.digest(secret, f"{algorithm}:{username}".encode(errors="replace"), "sha256").hex()
    return digest[:32] if algorithm == "MD5" else digest


def credentials(username: str, realm: str, domain: str, password: str) -> dict[str, Any]:
    """The columns of a device that logs in as `username`, or as `username@domain` (HA1b)."""
    short, long = Hashes.of(username, realm, password), Hashes.of(f"{username}@{domain}", realm, password)
    return {
        "realm": realm,
        "domain": domain,
        "ha1_md5": short.md5,
        "ha1_sha256": short.sha256,
        "ha1b_md5": long.md5,
        "ha1b_sha256": long.sha256,
    }
