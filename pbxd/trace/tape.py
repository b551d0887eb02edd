"""The sound of what is watched, where it was asked for beforehand and policy allows it. It is kept in memory only."""

from __future__ import annotations

from typing import NamedTuple

from pbxd.trace.entries import Address

PACKET_COST = 150  # bytes that a packet takes beside its own, roughly


class Packet(NamedTuple):
    """One RTP packet, whole. `at` is monotonic."""

    at: float
    outward: bool
    local: Address
    remote: Address
    data: bytes


class Tape:
    """Packets up to `limit` bytes; what comes later is counted, not kept. `offset` as in a track."""

    __slots__ = ("limit", "missed", "offset", "packets", "size")

    def __init__(self, limit: int, offset: float) -> None:
        self.limit = limit
        self.offset = offset
        self.packets: list[Packet] = []
        self.size = 0
        self.missed = 0

    @property
    def full(self) -> bool:
        return self.missed > 0

    def add(self, packet: Packet) -> None:
        """Keeps it if there is room."""
        size = PACKET_COST + len(packet.data)
        if self.missed or self.size + size > self.limit:
            self.missed += 1
            return
        self.size += size
        self.packets.append(packet)


class Shelf:
    """The tapes: those that run, and those that ended a while ago, by the target they were made for."""

    def __init__(self) -> None:
        self._tapes: dict[str, Tape] = {}
        self._ended: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._tapes)

    def get(self, text: str) -> Tape | None:
        return self._tapes.get(text)

    def put(self, text: str, tape: Tape, most: int) -> bool:
        """A new one; the oldest that has ended makes way. False when `most` run."""
        self.drop(text)
        if len(self._tapes) >= most:
            oldest = next(iter(self._ended), None)
            if oldest is None:
                return False
            self.drop(oldest)
        self._tapes[text] = tape
        return True

    def end(self, text: str, now: float) -> None:
        """It runs no longer, but can be fetched for a while."""
        if text in self._tapes:
            self._ended.setdefault(text, now)

    def drop(self, text: str) -> None:
        self._tapes.pop(text, None)
        self._ended.pop(text, None)

    def sweep(self, before: float) -> None:
        """Forgets those that ended before then."""
        for text, ended in list(self._ended.items()):
            if ended <= before:
                self.drop(text)

    def clear(self) -> None:
        """Forgets all sound."""
        self._tapes.clear()
        self._ended.clear()
