"""A track as bytes for the store, and back: secrets masked, and so cheap that every call can afford it (20 µs).

    lengths: JSON, rows (2 x uint32) | JSON: what there is once | rows as they are | headers of each sound

Numbers are little-endian. Headers are turned on their side, all first bytes of the records, then all second ones: they
compress four times as well so, at a third of the cost.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from media.headers import RECORD, LegHeaders
from pbxd.trace.entries import Line, Sound, entries_of
from pbxd.trace.masking import masked
from pbxd.trace.recording import LocalIp, Recording, true_address
from pbxd.trace.track import Track

_HEAD = struct.Struct("<2I")
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def pack(track: Track, local_ip: LocalIp) -> bytes:
    """All of it, masked."""
    rows = masked(b"".join(track.rows))
    document = _dumps(
        [
            track.id,
            track.account_id,
            track.names,
            track.offset,
            track.began_at,
            track.ended_at,
            track.first,
            [(line[0], true_address(line[1], line[2], local_ip), line[2]) for line in track.lines],
            [_sound_out(sound, local_ip) for sound in track.sounds],
        ]
    ).encode("utf-8", "replace")
    headers = [_turned(sound.headers.records) for sound in track.sounds]
    return b"".join((_HEAD.pack(len(document), len(rows)), document, rows, *headers))


def names_in(data: bytes) -> tuple[str, ...]:
    """The names of a packed track: what it is found by. Raises ValueError for anything else."""
    return tuple(_document(data)[2])


def unpack(data: bytes) -> Recording:
    """What `pack` made. Raises ValueError for anything else."""
    try:
        return _unpacked(data)
    except (struct.error, TypeError) as error:
        raise ValueError(f"not a trace: {error}") from error


def _unpacked(data: bytes) -> Recording:
    call_id, account_id, names, offset, began_at, ended_at, first, places, heard = _document(data)
    start, size = _HEAD.unpack_from(data)
    start += _HEAD.size
    rows = data[start : start + size]
    if len(rows) != size:
        raise ValueError("not a trace: rows are missing")
    lines: list[Line] = [(transport, tuple(local), tuple(remote)) for transport, local, remote in places]
    entries = tuple(entries_of(rows, lines, offset))
    return Recording(
        id=call_id,
        account_id=account_id,
        names=tuple(names),
        started_at=entries[0].at if entries else began_at + offset,
        ended_at=None if ended_at is None else ended_at + offset,
        first=first,
        offset=offset,
        entries=entries,
        sounds=tuple(_sounds_in(data[start + size :], heard)),
    )


def _document(data: bytes) -> list[Any]:
    if len(data) < _HEAD.size:
        raise ValueError("not a trace: too short")
    document = json.loads(data[_HEAD.size : _HEAD.size + _HEAD.unpack_from(data)[0]])
    if not isinstance(document, list):
        raise ValueError("not a trace: no list")
    return document


def _sound_out(sound: Sound, local_ip: LocalIp) -> list[Any]:
    local = true_address(sound.local, sound.remote, local_ip)
    return [local, sound.remote, len(sound.headers.records), sound.headers.newest]


def _sounds_in(data: bytes, heard: list[Any]) -> Iterator[Sound]:
    start = 0
    for local, remote, size, newest in heard:
        records = _turned_back(data[start : start + size])
        if len(records) != size:
            raise ValueError("not a trace: sound is missing")
        yield Sound(tuple(local), tuple(remote), LegHeaders(records, newest))
        start += size


def _turned(records: bytes) -> bytes:
    return b"".join(records[offset :: RECORD.size] for offset in range(RECORD.size))


def _turned_back(columns: bytes) -> bytes:
    count = len(columns) // RECORD.size
    return b"".join(columns[offset::count] for offset in range(count))
