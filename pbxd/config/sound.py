"""Settings of sound in the packet: which codecs, and how ours works."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from media.plan import Codec
from pbxd.config.section import Count, Section, Switch


class CodecName(StrEnum):
    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"
    L16 = "L16"
    L16_WIDE = "L16/16000"


def _once(names: tuple[CodecName, ...]) -> tuple[CodecName, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{name.value} is named twice")
    return names


def codecs_named(names: Sequence[CodecName] | None) -> tuple[Codec, ...]:
    """The codecs of a list of the file; none for null."""
    return tuple(Codec(name.value) for name in names or ())


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
    ptime_ms: Count = Field(
        default=20, multiple_of=10, le=60, description="length of sound in one packet, as we ask for it"
    )
    opus: Opus = Field(default=Opus(), description="how our Opus works")
    jitter: Delay = Field(default=Delay(), description="how long sound in a room waits for packets that are late")
