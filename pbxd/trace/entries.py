"""What is written down of a call.

On the call path it is a row: a plain tuple that refers to what is there anyway, and costs next to nothing. Who reads a
trace gets entries. Times are monotonic seconds in a row, seconds since the epoch in a recording.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from media.wire import LegHeaders

Address = tuple[str, int]
Line = tuple[str, Address, Address]
"""A transport, our address, theirs."""

Row = tuple[float, int, bytes, Line | None]
"""When, what kind (INWARD, OUTWARD or a topic's number), the message or the note's UTF-8, and a message's line. Plain
tuples of plain things: the garbage collector soon stops looking at them."""

INWARD, OUTWARD = 0, 1


class Topic(IntEnum):
    """What a note is about; the number is its rows' kind."""

    STATE = 2
    DECISION = 3
    MEDIA = 4

    @property
    def word(self) -> str:
        """For people."""
        return self.name.lower()


class SipMessage(NamedTuple):
    """One message on its way in or out. `data` may be cut, `length` is how long it was."""

    at: float
    outward: bool
    transport: str
    local: Address
    remote: Address
    data: bytes
    length: int


class Note(NamedTuple):
    """Something that was decided, or that came to pass, in words."""

    at: float
    topic: Topic
    text: str


class Sound(NamedTuple):
    """The RTP of one leg: the ends of its line and the headers of its last packets."""

    local: Address
    remote: Address
    headers: LegHeaders


Entry = SipMessage | Note


def entry_of(row: Row, length: int | None = None) -> Entry:
    """A row for reading; `length` of a message that was cut."""
    at, kind, data, line = row
    if line is None:
        return Note(at, Topic(kind), data.decode("utf-8", "replace"))
    return SipMessage(at, kind == OUTWARD, *line, data, len(data) if length is None else length)
