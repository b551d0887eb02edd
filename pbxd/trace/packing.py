"""A track as bytes for the store, and back: secrets masked, and so cheap that every call can afford it (20 µs).

    lengths: JSON, rows, texts (3 x uint32) | JSON: what there is once | times | kinds | lines | lengths of the texts |
    texts | headers of each sound

Numbers are little-endian. Texts are messages and notes, each with a line feed before it. Headers are turned on their
side, all first bytes of the records, then all second ones: they compress four times as well so, at a third of the cost.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from media.headers import RECORD
from media.wire import LegHeaders
from pbxd.trace.entries import Line, Row, Sound, entry_of
from pbxd.trace.masking import masked
from pbxd.trace.recording import LocalIp, Recording, true_address
from pbxd.trace.track import Track

_HEAD = struct.Struct("<3I")
_NO_LINE = 0xFFFF
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def pack(track: Track, local_ip: LocalIp) -> bytes:
    """All of it, masked."""
    ats, kinds, texts, lines = zip(*track.rows, strict=True) if track.rows else ((), (), (), ())
    known: dict[Line | None, int] = {None: _NO_LINE}
    numbers = [known[line] if line in known else known.setdefault(line, len(known) - 1) for line in lines]
    blob = masked(b"\n" + b"\n".join(texts))
    document = _dumps(
        [
            track.id,
            track.account_id,
            track.names,
            track.offset,
            track.began_at,
            track.ended_at,
            track.first,
            [(line[0], true_address(line[1], line[2], local_ip), line[2]) for line in known if line is not None],
            list(track.cut.items()),
            [_sound_out(sound, local_ip) for sound in track.sounds],
        ]
    ).encode("utf-8", "replace")
    count = len(ats)
    return b"".join(
        (
            _HEAD.pack(len(document), count, len(blob)),
            document,
            struct.pack(f"<{count}d{count}B{count}H{count}I", *ats, *kinds, *numbers, *map(len, texts)),
            blob,
            *(_turned(sound.headers.records) for sound in track.sounds),
        )
    )


def names_in(data: bytes) -> tuple[str, ...]:
    """The names of a packed track: what it is found by. Raises ValueError for anything else."""
    return tuple(_document(data)[2])


def unpack(data: bytes) -> Recording:
    """What `pack` made. Raises ValueError for anything else."""
    try:
        return _unpacked(data)
    except (struct.error, TypeError, IndexError) as error:
        raise ValueError(f"not a trace: {error}") from error


def _unpacked(data: bytes) -> Recording:
    call_id, account_id, names, offset, began_at, ended_at, first, places, cut, heard = _document(data)
    head, count, size = _HEAD.unpack_from(data)
    start = _HEAD.size + head
    columns = struct.Struct(f"<{count}d{count}B{count}H{count}I")
    values = columns.unpack_from(data, start)
    start += columns.size
    ats, kinds, numbers, lengths = (values[index * count : (index + 1) * count] for index in range(4))
    known: list[Line] = [(transport, tuple(local), tuple(remote)) for transport, local, remote in places]
    texts = _texts(data[start : start + size], lengths)
    rows: Iterator[Row] = (
        (at + offset, kind, text, None if number == _NO_LINE else known[number])
        for at, kind, text, number in zip(ats, kinds, texts, numbers, strict=True)
    )
    long = dict(cut)
    return Recording(
        id=call_id,
        account_id=account_id,
        names=tuple(names),
        started_at=(ats[0] if ats else began_at) + offset,
        ended_at=None if ended_at is None else ended_at + offset,
        first=first,
        offset=offset,
        entries=tuple(entry_of(row, long.get(number)) for number, row in enumerate(rows, first)),
        sounds=tuple(_sounds_in(data[start + size :], heard)),
    )


def _document(data: bytes) -> list[Any]:
    if len(data) < _HEAD.size:
        raise ValueError("not a trace: too short")
    document = json.loads(data[_HEAD.size : _HEAD.size + _HEAD.unpack_from(data)[0]])
    if not isinstance(document, list):
        raise ValueError("not a trace: no list")
    return document


def _texts(blob: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    if len(blob) != max(1, sum(lengths) + len(lengths)):
        raise ValueError("not a trace: texts are missing")
    texts, end = [], 0
    for length in lengths:
        texts.append(blob[end + 1 : end + 1 + length])
        end += 1 + length
    return texts


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
