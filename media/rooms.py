"""Rooms: sessions that hear each other, what is played to them, and copies of what is heard.

A transcoded call is a room of two, a prompt a room of one, a recorded call a room with taps, a conference a room of
many. Everything is mixed in wire; here is what is told to it, and who is told when something has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from media.wire import Leg, MediaEventKind, Played, RoomEvent, Wire
from media.wire.rooms import (
    EVERYBODY,
    FOREVER,
    TICK_MS,
    Clip,
    Detection,
    Membership,
    Play,
    StreamRing,
    TapFrame,
    TapKind,
    TapRing,
)

__all__ = [
    "EVERYBODY",
    "FOREVER",
    "TICK_MS",
    "Clip",
    "Detection",
    "Member",
    "Membership",
    "Play",
    "Playback",
    "Played",
    "Room",
    "Stream",
    "Tap",
    "TapFrame",
    "TapKind",
]

DIGIT_MS: Final = 100


class Member(Protocol):
    """What a room needs of a session."""

    closed: bool

    @property
    def leg(self) -> Leg:
        """The leg of wire."""

    @property
    def room(self) -> Room | None:
        """The room it is in."""

    def entered(self, room: Room) -> None:
        """Called when it is in `room`."""

    def left(self) -> None:
        """Called when it is in no room any more, and idle."""


class Playback:
    """Something that is being played, until `ended` says why it is not any more. `played_ms` is how much was heard."""

    __slots__ = ("_done", "_room", "ended", "number", "played_ms")

    def __init__(self, room: Room, number: int, done: Callable[[Playback], None] | None) -> None:
        self._room = room
        self._done = done
        self.number = number
        self.ended: Played | None = None
        self.played_ms = 0

    def stop(self, fade_ms: int = TICK_MS) -> None:
        """Ends it, falling silent within `fade_ms`. `done` is called when it has; stopping again does nothing."""
        if self.ended is None:
            self._room.wire.rooms.stop(self._room.handle, self.number, fade_ms)

    def set_gain(self, decibels: float, fade_ms: int = 0) -> None:
        """Makes it louder or quieter within `fade_ms`."""
        if self.ended is None:
            self._room.wire.rooms.gain(self._room.handle, self.number, decibels, fade_ms)

    def end(self, why: Played, played_ms: int) -> None:
        """Called by the room."""
        self.ended, self.played_ms = why, played_ms
        if self._done is not None:
            self._done(self)


class Stream(Playback):
    """Sound that is written while it plays; `low` is called whenever less than its `low_ms` are left."""

    __slots__ = ("_low", "ring")

    def __init__(
        self,
        room: Room,
        number: int,
        ring: StreamRing,
        done: Callable[[Playback], None] | None,
        low: Callable[[Stream], None] | None,
    ) -> None:
        super().__init__(room, number, done)
        self.ring = ring
        self._low = low

    def write(self, pcm: bytes) -> int:
        """Adds samples; returns how many bytes found room. From any thread, one at a time."""
        return self.ring.write(pcm)

    def finish(self) -> None:
        """Nothing is added any more: it ends when what is there was played."""
        self.ring.finish()

    def run_low(self) -> None:
        """Called by the room."""
        if self._low is not None:
            self._low(self)


class Tap:
    """A copy of what is heard in a room; may be read by any one thread."""

    __slots__ = ("_room", "ring")

    def __init__(self, room: Room, ring: TapRing) -> None:
        self._room = room
        self.ring = ring

    def read(self) -> list[TapFrame]:
        """Up to a second of what came since the last call; empty when there is nothing."""
        return self.ring.read()

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.ring.rate

    @property
    def overruns(self) -> int:
        """Frames lost because nobody read."""
        return self.ring.overruns

    @property
    def closed(self) -> bool:
        """Whether nothing is added any more: the tap was closed, or its member or its room is gone."""
        return self.ring.closed

    def close(self) -> None:
        """Ends it; what was copied can still be read."""
        if not self._room.closed:
            self._room.wire.rooms.untap(self._room.handle, self.ring)


class Room:
    """A room of wire, from `Media.open_room` to `close`.

    A `gated` one mixes only who speaks, the eight loudest at most: for many microphones. Otherwise all sound is passed
    on, as in a call. One that `passes_digits` says what a member presses to the others, each in its own way; otherwise
    digits are told and kept out of the mix.
    """

    __slots__ = ("_closes", "_forget", "_members", "_playing", "closed", "gated", "handle", "passes_digits", "wire")

    def __init__(
        self,
        wire: Wire,
        forget: Callable[[Room], None],
        *,
        gated: bool = False,
        passes_digits: bool = False,
        closes_itself: bool = False,
    ) -> None:
        self.wire = wire
        self._forget = forget
        self._members: dict[tuple[int, int], tuple[Member, Membership]] = {}
        self._playing: dict[int, Playback] = {}
        self.gated, self.passes_digits = gated, passes_digits
        self.handle: Any = wire.rooms.open(gated=gated, passes_digits=passes_digits)
        self._closes = closes_itself
        self.closed = False

    @property
    def key(self) -> tuple[int, int]:
        """What wire's events name it by."""
        return self.handle.index, self.handle.generation

    @property
    def members(self) -> list[Member]:
        """Who is in it, in the order of coming."""
        return [member for member, _ in self._members.values()]

    def join(self, member: Member, membership: Membership | None = None) -> None:
        """Takes a session in; from another room it moves without a gap in what is heard of it."""
        if self.closed or member.closed:
            return
        part = membership if membership is not None else Membership()
        self.wire.rooms.join(self.handle, member.leg.handle, part)
        if member.room is not None and member.room is not self:
            member.room.forget(member)
        self._members[member.leg.key] = member, part
        member.entered(self)

    def leave(self, member: Member) -> None:
        """Lets a session go; it is idle then."""
        if member.leg.key in self._members:
            member.left()

    def membership(self, member: Member) -> Membership:
        """A member's part. Raises KeyError when it is not in the room."""
        return self._members[member.leg.key][1]

    def set(self, member: Member, membership: Membership) -> None:
        """Changes a member's part, at the next tick. Raises KeyError when it is not in the room."""
        if membership == self.membership(member):
            return
        self.wire.rooms.set(member.leg.handle, membership)
        self._members[member.leg.key] = member, membership

    def digit(self, member: Member, digit: str, duration_ms: int = DIGIT_MS) -> None:
        """Says a digit (0-9*#A-D) to a member, after those that wait: as a telephone event where that was negotiated,
        else as tones. Raises ValueError when it is none."""
        if member.leg.key in self._members:
            self.wire.rooms.digit(member.leg.handle, digit, duration_ms)

    def play(
        self,
        clips: Sequence[Clip],
        to: Member | None = None,
        *,
        how: Play | None = None,
        done: Callable[[Playback], None] | None = None,
    ) -> Playback:
        """Plays clips of one rate in a row, to one member or to all. `done` is called once, whatever ends it.

        Raises WireError (EINVAL) for no clips, or clips of several rates.
        """
        number = self.wire.rooms.play(self.handle, _handle(to), clips, how or Play())
        playback = self._playing[number] = Playback(self, number, done)
        return playback

    def stream(
        self,
        rate: int,
        to: Member | None = None,
        *,
        capacity_ms: int = 2000,
        low_ms: int = 200,
        first: bytes = b"",
        how: Play | None = None,
        done: Callable[[Playback], None] | None = None,
        low: Callable[[Stream], None] | None = None,
    ) -> Stream:
        """Plays what is written to it, beginning with `first`. Keep it filled `low_ms` ahead, or there is silence."""
        ring = StreamRing(rate, capacity_ms, low_ms)
        ring.write(first)
        number = self.wire.rooms.play(self.handle, _handle(to), ring, how or Play())
        stream = Stream(self, number, ring, done, low)
        self._playing[number] = stream
        return stream

    def tap(
        self, of: Member | None = None, kind: TapKind = TapKind.HEARD, *, rate: int = 8000, seconds: int = 5
    ) -> Tap:
        """Copies what is heard from a member, or said to it (SAID); without one, the mix of all. The ring holds so many
        seconds."""
        chosen = TapKind.MIX if of is None else kind
        return Tap(self, self.wire.rooms.tap(self.handle, _handle(of), chosen, rate, seconds))

    def close(self) -> None:
        """Ends everything in it; its members are idle then. Closing twice does nothing."""
        if self.closed:
            return
        self.closed = True
        try:
            for member in self.members:
                member.left()
        finally:
            self.wire.rooms.close(self.handle)
            self._forget(self)

    def forget(self, member: Member) -> None:
        """Called when a member is not here any more."""
        self._members.pop(member.leg.key, None)
        if self._closes and not self._members:
            self.close()

    def take(self, event: RoomEvent) -> None:
        """Called with what wire tells about this room, also after it was closed."""
        if event.kind is MediaEventKind.PLAYED and event.why is not None:
            playback = self._playing.pop(event.player, None)
            if playback is not None:
                playback.end(event.why, event.played_ms)
            return
        running = self._playing.get(event.player)
        if isinstance(running, Stream):
            running.run_low()

    @property
    def playing(self) -> int:
        """Players that have not told their end."""
        return len(self._playing)


def _handle(member: Member | None) -> Any | None:
    return None if member is None else member.leg.handle
