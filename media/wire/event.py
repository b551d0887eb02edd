"""What wire has to tell."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from media.wire._wire import ffi

DTMF: Final = "0123456789*#ABCD"


class MediaEventKind(Enum):
    """What wire has to tell about a leg, or (PLAYED, STREAM_LOW) about a room."""

    LATCHED = 0
    RELATCHED = 1
    FIRST_PACKET = 2
    SILENT = 3
    RESUMED = 4
    DTMF = 5
    TALKING = 6
    PLAYED = 7
    STREAM_LOW = 8
    SRTP_FAILED = 9


class Played(Enum):
    """Why a player is gone."""

    WHOLE = 0
    STOPPED = 1
    LEG_GONE = 2
    ROOM_GONE = 3


class LegEvent(NamedTuple):
    """One event of a leg. `digit` and `duration_ms` belong to DTMF, `talking` to TALKING; `address` is the leg's source
    if it has one. SRTP_FAILED: `packets` in a row could not be opened, `plain` when they look like RTP unprotected."""

    leg: tuple[int, int]
    kind: MediaEventKind
    at: float
    address: tuple[str, int] | None
    digit: str
    duration_ms: int
    talking: bool = False
    packets: int = 0
    plain: bool = False


class RoomEvent(NamedTuple):
    """One event of a room: player `player` is gone, or its stream runs low. `played_ms` belongs to PLAYED."""

    room: tuple[int, int]
    kind: MediaEventKind
    at: float
    player: int
    why: Played | None
    played_ms: int


def event_of(record: Any) -> LegEvent | RoomEvent:
    """A wire_event in Python's words."""
    kind = MediaEventKind(record.kind)
    owner, at = (record.leg, record.generation), record.at * 1e-9
    if kind is MediaEventKind.PLAYED:
        return RoomEvent(owner, kind, at, record.a, Played(record.b), record.c)
    if kind is MediaEventKind.STREAM_LOW:
        return RoomEvent(owner, kind, at, record.a, None, 0)
    is_digit = kind is MediaEventKind.DTMF and record.a < len(DTMF)
    ip = ffi.string(record.ip).decode()
    return LegEvent(
        leg=owner,
        kind=kind,
        at=at,
        address=(ip, record.port) if ip else None,
        digit=DTMF[record.a] if is_digit else "",
        duration_ms=record.b,
        talking=kind is MediaEventKind.TALKING and bool(record.a),
        packets=record.a if kind is MediaEventKind.SRTP_FAILED else 0,
        plain=kind is MediaEventKind.SRTP_FAILED and bool(record.b),
    )
