"""One call as plain data: secrets masked, times of the wall clock, packed for the store."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from media.wire import LegHeaders
from pbxd.trace.entries import Address, Entry, Note, SipMessage, Sound, Topic
from pbxd.trace.masking import masked
from pbxd.trace.track import Track

FORMAT = 1
MAX_UNPACKED = 32 << 20
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - what sockets are bound to, to be replaced
LocalIp = Callable[[str], str]
"""The address of ours that packets to a peer leave from."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`first` is the number of the first entry: so many were pushed out before it. `offset` added to a monotonic time
    gives seconds since the epoch; entries have theirs already, sounds have not."""

    id: str
    names: tuple[str, ...]
    started_at: float
    ended_at: float | None
    first: int
    offset: float
    entries: tuple[Entry, ...]
    sounds: tuple[Sound, ...] = ()

    @classmethod
    def of(cls, track: Track, local_ip: LocalIp, sounds: tuple[Sound, ...] = ()) -> Recording:
        """A track as it is now; `sounds` are those of legs that are still up."""
        offset = track.offset
        entries = tuple(_settled(entry, offset, local_ip) for entry in track.entries)
        return cls(
            id=track.id,
            names=tuple(track.names),
            started_at=entries[0].at if entries else track.touched_at + offset,
            ended_at=None if track.ended_at is None else track.ended_at + offset,
            first=track.first,
            offset=offset,
            entries=entries,
            sounds=tuple(_with_ip(sound, local_ip) for sound in (*track.sounds, *sounds)),
        )

    def packed(self) -> bytes:
        """For the store. Takes a millisecond or so: not for the event loop."""
        document = {
            "format": FORMAT,
            "id": self.id,
            "names": self.names,
            "times": [self.started_at, self.ended_at, self.offset],
            "first": self.first,
            "entries": [_entry_out(entry) for entry in self.entries],
            "sounds": [
                [sound.local, sound.remote, base64.b64encode(sound.headers.records).decode(), sound.headers.newest]
                for sound in self.sounds
            ],
        }
        return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 3)

    @classmethod
    def unpacked(cls, data: bytes) -> Recording:
        """What `packed` made. Raises ValueError for anything else."""
        try:
            expander = zlib.decompressobj()
            document = json.loads(expander.decompress(data, MAX_UNPACKED))
            if document["format"] != FORMAT:
                raise ValueError(f"a trace of format {document['format']}")
            started_at, ended_at, offset = document["times"]
            return cls(
                id=document["id"],
                names=tuple(document["names"]),
                started_at=started_at,
                ended_at=ended_at,
                first=document["first"],
                offset=offset,
                entries=tuple(map(_entry_in, document["entries"])),
                sounds=tuple(map(_sound_in, document["sounds"])),
            )
        except (zlib.error, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a trace: {error}") from error


def _settled(entry: Entry, offset: float, local_ip: LocalIp) -> Entry:
    if isinstance(entry, Note):
        return entry._replace(at=entry.at + offset)
    local = _real(entry.local, entry.remote, local_ip)
    return entry._replace(at=entry.at + offset, local=local, data=masked(entry.data))


def _with_ip(sound: Sound, local_ip: LocalIp) -> Sound:
    return sound._replace(local=_real(sound.local, sound.remote, local_ip))


def _real(local: Address, remote: Address, local_ip: LocalIp) -> Address:
    return (local_ip(remote[0]), local[1]) if local[0] in _WILDCARDS else local


def _entry_out(entry: Entry) -> list[Any]:
    if isinstance(entry, Note):
        return [entry.at, entry.topic.value, entry.text]
    text = entry.data.decode("latin-1")  # every byte comes back as it was
    return [entry.at, entry.outward, entry.transport, entry.local, entry.remote, text, entry.length]


def _entry_in(row: list[Any]) -> Entry:
    if len(row) == 3:
        return Note(row[0], Topic(row[1]), row[2])
    at, outward, transport, local, remote, text, length = row
    return SipMessage(at, outward, transport, tuple(local), tuple(remote), text.encode("latin-1"), length)


def _sound_in(row: list[Any]) -> Sound:
    local, remote, records, newest = row
    return Sound(tuple(local), tuple(remote), LegHeaders(base64.b64decode(records), newest))
