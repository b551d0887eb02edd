"""The headers of a leg's last RTP packets, as wire keeps them (media/wire/headers.h), made readable."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

RECORD = struct.Struct("=IB11s")
TICK_NS = 1 << 15
_TICKS = 1 << 28
_FIRST_BYTE = b"\x80"  # version 2; CSRCs, extension and padding are not kept


class LegHeaders(NamedTuple):
    """Headers of RTP packets as wire keeps them, oldest first (see media.headers), and when the newest was, in ns."""

    records: bytes
    newest: int


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """One packet: when (monotonic seconds), whether we sent it, its 12 bytes of header, the length of its payload."""

    at: float
    outward: bool
    header: bytes
    payload: int


def rtp_headers(kept: LegHeaders) -> list[RtpHeader]:
    """All of them, oldest first. The ticks of a record are counted back from the record after it: gaps of more than two
    hours look shorter than they are."""
    return list(_backwards(kept))[::-1]


def _backwards(kept: LegHeaders) -> Iterator[RtpHeader]:
    records = list(RECORD.iter_unpack(kept.records))
    ticks = kept.newest // TICK_NS
    for ticks_length, way_length, rest in reversed(records):
        ticks -= (ticks - (ticks_length >> 4)) % _TICKS
        length = (ticks_length & 15) << 7 | way_length & 127
        yield RtpHeader(ticks * TICK_NS * 1e-9, bool(way_length & 128), _FIRST_BYTE + rest, length)
