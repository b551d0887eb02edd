"""What is written down of a call.

On the call path it is a row: a head of a few bytes, and the bytes of a message that are there anyway. Nothing else is
kept, nothing that the garbage collector would look at. Who reads a trace gets entries. Times are monotonic seconds in a
row, seconds since the epoch in a recording.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from media.headers import LegHeaders

Address = tuple[str, int]
Line = tuple[str, Address, Address]
"""A transport, our address, theirs."""

# A line feed, the kind, when, the number of a message's line, how long its text is, how long it was, a line feed: so
# that each text is a line of its own whatever was before it
HEAD = struct.Struct("<cBdHIIc")
LINE_FEED = b"\n"
INWARD, OUTWARD = 0, 1  # kinds of messages; a note's kind is its topic
MAX_LINES = 1 << 16


class Topic(IntEnum):
    """What a note is about; the number is its rows' kind."""

    STATE = 2
    DECISION = 3
    MEDIA = 4
    QUALITY = 5
    COMMAND = 6  # of a call flow
    OUTCOME = 7  # what came of it
    ERROR = 8

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


def entries_of(rows: bytes, lines: Sequence[Line], offset: float = 0.0) -> Iterator[Entry]:
    """The rows for reading, `offset` added to their times. Raises ValueError where they are no rows."""
    at = 0
    while at < len(rows):
        try:
            _, kind, when, number, size, length, _ = HEAD.unpack_from(rows, at)
            at += HEAD.size
            text = rows[at : at + size]
            at += size
            if kind <= OUTWARD:
                transport, local, remote = lines[number]
                yield SipMessage(when + offset, kind == OUTWARD, transport, local, remote, text, length)
            else:
                yield Note(when + offset, Topic(kind), text.decode("utf-8", "replace"))
        except (struct.error, IndexError) as error:
            raise ValueError(f"not a trace: {error}") from error
    if at > len(rows):
        raise ValueError("not a trace: a text is missing")
