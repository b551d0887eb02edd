"""The keys of SRTP (RFC 3711) as they are agreed: in memory only, never written anywhere, overwritten after use."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from enum import Enum


class SrtpSuite(Enum):
    """A crypto suite, in wire's order (from 1 on). The value is its name in SDP (RFC 4568 §6.2, RFC 6188,
    RFC 7714 §14.2)."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"

    __hash__ = object.__hash__  # by identity: Enum's own is computed in Python each time

    @property
    def key_length(self) -> int:
        """Octets of its master key and master salt together."""
        return _KEY_LENGTHS[self]


class SrtpMode(Enum):
    """What is agreed to with one side: plain RTP alone, SRTP where it is offered, or SRTP alone."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


_KEY_LENGTHS = {
    SrtpSuite.AES_CM_128_HMAC_SHA1_80: 16 + 14,
    SrtpSuite.AES_CM_128_HMAC_SHA1_32: 16 + 14,
    SrtpSuite.AES_256_CM_HMAC_SHA1_80: 32 + 14,
    SrtpSuite.AEAD_AES_128_GCM: 16 + 12,
}


class MasterKey:
    """A master key with its master salt. It shows itself to nobody; `wipe` overwrites it."""

    __slots__ = ("octets",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, octets: bytes | bytearray) -> None:
        self.octets = bytearray(octets)

    @classmethod
    def fresh(cls, suite: SrtpSuite) -> MasterKey:
        """A new one, from the system's random numbers."""
        return cls(secrets.token_bytes(suite.key_length))

    def wipe(self) -> None:
        """Overwrites it; it is equal to none from then on but those that were wiped."""
        self.octets[:] = bytes(len(self.octets))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterKey) and hmac.compare_digest(self.octets, other.octets)

    def __repr__(self) -> str:
        return "MasterKey(...)"


@dataclass(frozen=True, slots=True)
class Srtp:
    """How one stream is protected, both ways under one suite. `mki` is the master key identifier that the far side's
    packets carry, empty for none; ours carry none."""

    suite: SrtpSuite
    send: MasterKey
    receive: MasterKey
    mki: bytes = b""

    def same_send(self, other: Srtp | None) -> bool:
        """Whether what we send stays under the same key."""
        return other is not None and self.suite is other.suite and self.send == other.send

    def same_receive(self, other: Srtp | None) -> bool:
        """Whether what we receive stays under the same key."""
        return (
            other is not None and (self.suite, self.mki) == (other.suite, other.mki) and self.receive == other.receive
        )

    def wipe(self) -> None:
        """Overwrites both keys."""
        self.send.wipe()
        self.receive.wipe()
