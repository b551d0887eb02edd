"""What was seen of one call so far: a ring, bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pbxd.trace.entries import Entry, SipMessage, Sound

ENTRY_COST = 250  # bytes that an entry takes beside its text, roughly
MAX_DIALOGS = 64
MAX_SOUNDS = 16


class Track:
    """`first` is the number of the oldest entry still held, counted from 0: what is before it was pushed out.

    `names` are the ids it is found by: the call's and those of its dialogs. `offset` turns its times into seconds since
    the epoch: a clock that is set while a call is up does not tear its ladder apart.
    """

    __slots__ = ("ended_at", "entries", "first", "id", "names", "offset", "size", "sounds", "touched_at", "watchers")

    def __init__(self, name: str, offset: float, now: float) -> None:
        self.id = name
        self.names: list[str] = [name]
        self.offset = offset
        self.entries: deque[Entry] = deque()
        self.first = 0
        self.size = 0
        self.sounds: list[Sound] = []
        self.ended_at: float | None = None
        self.touched_at = now
        self.watchers: list[Callable[[], None]] = []

    @property
    def next(self) -> int:
        """The number of the entry that comes next."""
        return self.first + len(self.entries)

    def add(self, entry: Entry, limit: int) -> int:
        """Keeps an entry, and lets go of the oldest ones above `limit` bytes; by how many bytes it grew."""
        before = self.size
        self.entries.append(entry)
        self.size += weight(entry)
        self.touched_at = entry.at
        while self.size > limit and len(self.entries) > 1:
            self.size -= weight(self.entries.popleft())
            self.first += 1
        if self.watchers:
            self.wake()
        return self.size - before

    def wake(self) -> None:
        """Tells those who follow it, once."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()


def weight(entry: Entry) -> int:
    """About how many bytes of memory it takes."""
    if isinstance(entry, SipMessage):
        return ENTRY_COST + len(entry.data)
    return ENTRY_COST + len(entry.text)
