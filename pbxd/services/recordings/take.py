"""One recording under way: where its sound comes from, its taps, and how those who are recorded hear of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from media.recorder import Recording
from media.rooms import Room, Tap, TapKind
from media.session import MediaSession
from media.sound import NARROW_HZ, WIDE_HZ
from media.wire import Wire, WireError
from pbxd.calls.presence import Presence
from pbxd.calls.record import Role
from pbxd.config.recordings import RecordingNotice
from pbxd.errors import Unavailable
from pbxd.services.recordings.recorded import Channels, Recorded

RING_S = 5  # how long the disk may take


def _nothing() -> None:
    """A conference keeps its room."""


@dataclass(frozen=True, slots=True)
class Source:
    """A room, and what is tapped there: a member and what is heard from it or said to it, or None for the mix of all.
    `everybody` is whom to play to so that all who are recorded hear it: None is the whole room."""

    room: Room
    channels: tuple[tuple[MediaSession | None, TapKind], ...]
    rate: int
    everybody: MediaSession | None = None
    release: Callable[[], None] = _nothing

    @classmethod
    def of_call(cls, presence: Presence, channels: Channels) -> Source:
        """Of a call: the caller left, the callee right. Where the house is one of the two, its words are what is said
        to the other."""
        ends = [_end(presence, role) for role in Role if channels in (Channels.STEREO, Channels.MIXED, role.value)]
        rate = WIDE_HZ if presence.wide else NARROW_HZ
        return cls(presence.room, tuple(ends), rate, presence.everybody, presence.release)

    @classmethod
    def of_room(cls, room: Room) -> Source:
        """Of a conference: what all of them say together."""
        return cls(room, ((None, TapKind.MIX),), WIDE_HZ)

    @classmethod
    def of_leg(cls, room: Room, leg: MediaSession) -> Source:
        """Of what is heard from one leg."""
        return cls(room, ((leg, TapKind.HEARD),), NARROW_HZ, leg)

    def tap(self, wire: Wire, rate: int) -> list[Tap]:
        """Opens all taps at one tick. Raises Unavailable."""
        taps: list[Tap] = []
        wire.hold()
        try:
            for member, kind in self.channels:
                taps.append(self.room.tap(member, kind, rate=rate, seconds=RING_S))
        except WireError as error:
            for tap in taps:
                tap.close()
            raise Unavailable(f"the sound cannot be tapped: {error}") from error
        finally:
            wire.release()
        return taps


def _end(presence: Presence, role: Role) -> tuple[MediaSession, TapKind]:
    leg = presence.parties.get(role)
    if leg is not None:
        return leg.media, TapKind.HEARD
    (only,) = presence.parties.values()
    return only.media, TapKind.SAID


@dataclass(slots=True, eq=False)
class Take:
    """What goes on until its recording has ended. `why` is the reason for an end that somebody wanted; `on_end` is told
    it, for who began it, and says whether it is to be kept."""

    recorded: Recorded
    source: Source
    notice: RecordingNotice
    on_end: Callable[[Recorded], bool]
    rate: int
    taps: list[Tap] = field(default_factory=list)
    recording: Recording | None = None
    why: str = ""
    beep_at: float = 0.0

    @property
    def overrun(self) -> bool:
        """Whether sound was lost because the disk does not follow."""
        return any(tap.overruns for tap in self.taps)

    def close_taps(self) -> None:
        for tap in self.taps:
            tap.close()

    def move(self, source: Source, wire: Wire) -> None:
        """Goes on in another room."""
        self.source = source
        self.close_taps()
        self.taps = source.tap(wire, self.rate)
        if self.recording is not None:
            self.recording.follow(self.taps)

    def pause(self) -> None:
        """Nothing is tapped, so that nothing of what is said now can be written."""
        self.close_taps()
        self.taps = []
        if self.recording is not None:
            self.recording.follow([])

    def resume(self, wire: Wire) -> None:
        """Raises Unavailable."""
        self.taps = self.source.tap(wire, self.rate)
        if self.recording is not None:
            self.recording.follow(self.taps)

    def stop(self, why: str) -> None:
        """Ends it; the first reason counts."""
        self.why = self.why or why
        if self.recording is not None:
            self.recording.stop()
