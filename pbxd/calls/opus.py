"""What a side says of the Opus it wants to hear (RFC 7587 §6.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

MIN_BITRATE, MAX_BITRATE = 6_000, 510_000
MIN_RATE, MAX_RATE = 8_000, 48_000
MAX_PTIME_MS = 120


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """One fmtp. `max_bitrate` is in bit/s and `max_rate` in Hz, None where nothing was said; `fec` and `dtx` are
    wishes: in-band error correction is of use, silence need not be sent. `min_ptime_ms` is no word of the RFC's, but
    browsers say it."""

    max_bitrate: int | None = None
    max_rate: int | None = None
    fec: bool = False
    dtx: bool = False
    min_ptime_ms: int | None = None

    @classmethod
    def parse(cls, fmtp: str | None) -> Self:
        """Reads tolerantly: what is unknown, beyond its bounds or no number was not said."""
        said: dict[str, str] = {}
        for part in (fmtp or "").split(";"):
            name, _, value = part.partition("=")
            said.setdefault(name.strip().lower(), value.strip())
        return cls(
            max_bitrate=_number(said.get("maxaveragebitrate"), MIN_BITRATE, MAX_BITRATE),
            max_rate=_number(said.get("maxplaybackrate"), MIN_RATE, MAX_RATE),
            fec=said.get("useinbandfec") == "1",
            dtx=said.get("usedtx") == "1",
            min_ptime_ms=_number(said.get("minptime"), 3, MAX_PTIME_MS),
        )

    def __str__(self) -> str:
        said = [
            f"maxplaybackrate={self.max_rate}" if self.max_rate is not None else "",
            f"maxaveragebitrate={self.max_bitrate}" if self.max_bitrate is not None else "",
            f"useinbandfec={int(self.fec)}",
            f"usedtx={int(self.dtx)}",
        ]
        return ";".join(part for part in said if part)


def _number(text: str | None, least: int, most: int) -> int | None:
    if not text or len(text) > 9 or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if least <= number <= most else None
