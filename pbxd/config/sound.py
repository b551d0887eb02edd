"""Settings of sound in the packet: which codecs, and how ours works."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from media.keys import SrtpMode, SrtpSuite
from media.plan import Codec
from pbxd.config.section import Count, Section, Switch

Named = TypeVar("Named", bound=StrEnum)


class CodecName(StrEnum):
    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"
    L16 = "L16"
    L16_WIDE = "L16/16000"


class SrtpPolicy(StrEnum):
    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class SuiteName(StrEnum):
    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"


class KeysOverPlain(StrEnum):
    ALLOW = "allow"
    REFUSE = "refuse"


def _once(names: tuple[Named, ...]) -> tuple[Named, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{name.value} is named twice")
    return names


def codecs_named(names: Sequence[CodecName] | None) -> tuple[Codec, ...]:
    """The codecs of a list of the file; none for null."""
    return tuple(Codec(name.value) for name in names or ())


def srtp_mode(policy: SrtpPolicy | None) -> SrtpMode | None:
    """What a word of the file means; None for null."""
    return None if policy is None else SrtpMode(policy.value)


def suites_named(names: Sequence[SuiteName]) -> tuple[SrtpSuite, ...]:
    """The crypto suites of a list of the file."""
    return tuple(SrtpSuite(name.value) for name in names)


OwnSrtp = SrtpPolicy | None
Millis = Annotated[int, Field(strict=True, ge=20, le=1000)]
OwnCodecs = Annotated[tuple[CodecName, ...], Field(min_length=1, max_length=8), AfterValidator(_once)] | None


class Opus(Section):
    complexity: Annotated[int, Field(strict=True, ge=0, le=10)] = Field(
        default=5, description="how hard our encoder tries; each step costs CPU"
    )
    bitrate: Annotated[int, Field(strict=True, ge=6_000, le=128_000)] = Field(
        default=24_000, description="bit/s that our encoder makes, at most"
    )
    fec: Switch = Field(default=True, description="packets carry a rough copy of the one before, for when that is lost")
    dtx: Switch = Field(default=False, description="silence is not sent")


class Delay(Section):
    """The least, the most and the first delay of a jitter buffer."""

    min_ms: Millis = Field(default=20, description="never less")
    max_ms: Millis = Field(default=400, description="never more; what comes later is lost")
    start_ms: Millis = Field(default=40, description="until the network is known")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min_ms <= self.start_ms <= self.max_ms:
            raise ValueError("min_ms, start_ms and max_ms are not in this order")
        return self


class Codecs(Section):
    allow: tuple[CodecName, ...] = Field(
        default=(CodecName.PCMU, CodecName.PCMA, CodecName.G722, CodecName.OPUS),
        min_length=1,
        max_length=8,
        description="codecs in order of preference",
    )
    ptime_ms: Annotated[Count, Field(le=60)] = Field(
        default=20, multiple_of=10, description="length of sound in one packet, as we ask for it"
    )
    opus: Opus = Field(default=Opus(), description="how our Opus works")
    jitter: Delay = Field(default=Delay(), description="how long sound in a room waits for packets that are late")


class Srtp(Section):
    policy: SrtpPolicy = Field(
        default=SrtpPolicy.OPTIONAL, description="off, optional (who offers it gets it) or required"
    )
    suites: Annotated[tuple[SuiteName, ...], AfterValidator(_once)] = Field(
        default=(
            SuiteName.AES_CM_128_HMAC_SHA1_80,
            SuiteName.AEAD_AES_128_GCM,
            SuiteName.AES_256_CM_HMAC_SHA1_80,
            SuiteName.AES_CM_128_HMAC_SHA1_32,
        ),
        min_length=1,
        max_length=4,
        description="crypto suites in the order they are offered",
    )
    over_plain_signalling: KeysOverPlain = Field(
        default=KeysOverPlain.ALLOW, description="whether keys may be told where signalling is not TLS"
    )
