"""Secrets that the house must be able to read again, such as its password at a provider, closed before they are stored.

Whoever has the store alone, a copy of the database, cannot read them: the key is made of the house's own secret, which
is a file beside it.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # octets (NIST SP 800-38D §8.2.2)


class Seal:
    """Closes and opens texts (AES-256-GCM, RFC 5116; the key by HKDF-SHA256, RFC 5869). `of` names what a text belongs
    to: it cannot be opened as anything else's."""

    def __init__(self, secret: bytes) -> None:
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"pbxd seal 1")
        self._cipher = AESGCM(kdf.derive(secret))

    @classmethod
    def fresh(cls) -> Self:
        """One that nobody has a second time: what it closed is lost with it."""
        return cls(secrets.token_bytes(32))

    def close(self, text: str, of: str) -> str:
        """The text as the store may have it."""
        nonce = secrets.token_bytes(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), of.encode())).decode()

    def open(self, closed: str, of: str) -> str | None:
        """The text; None where this house did not close it, or somebody has changed it."""
        try:
            data = b64decode(closed, validate=True)
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], of.encode()).decode()
        except (ValueError, InvalidTag):
            return None
