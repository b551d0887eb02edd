"""What is written down of a call. Times are monotonic seconds in a track, seconds since the epoch in a recording."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from media.wire import LegHeaders

Address = tuple[str, int]


class Topic(Enum):
    """What a note is about."""

    STATE = "state"
    DECISION = "decision"
    MEDIA = "media"


class SipMessage(NamedTuple):
    """One message on its way in or out. `data` may be cut, `length` is how long it was. Named tuples are made three
    times as fast as frozen dataclasses, and these are made on the call path."""

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
