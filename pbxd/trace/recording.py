"""One call as plain data: secrets masked, times of the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pbxd.trace.entries import Address, Entry, Note, Sound
from pbxd.trace.masking import masked
from pbxd.trace.track import Track

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - what sockets are bound to, to be replaced
LocalIp = Callable[[str], str]
"""The address of ours that packets to a peer leave from."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`first` is the number of the first entry: so many were pushed out before it. `offset` added to a monotonic time
    gives seconds since the epoch; entries have theirs already, sounds have not."""

    id: str
    account_id: str
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
        return cls(
            id=track.id,
            account_id=track.account_id,
            names=tuple(track.names),
            started_at=track.started_at + offset,
            ended_at=None if track.ended_at is None else track.ended_at + offset,
            first=track.first,
            offset=offset,
            entries=tuple(_settled(entry, offset, local_ip) for entry in track.entries),
            sounds=tuple(
                sound._replace(local=true_address(sound.local, sound.remote, local_ip))
                for sound in (*track.sounds, *sounds)
            ),
        )


def _settled(entry: Entry, offset: float, local_ip: LocalIp) -> Entry:
    if isinstance(entry, Note):
        return entry._replace(at=entry.at + offset)
    local = true_address(entry.local, entry.remote, local_ip)
    return entry._replace(at=entry.at + offset, local=local, data=masked(entry.data))


def true_address(local: Address, remote: Address, local_ip: LocalIp) -> Address:
    """Our address as the peer sees it, where the socket is bound to all of ours."""
    return (local_ip(remote[0]), local[1]) if local[0] in _WILDCARDS else local
