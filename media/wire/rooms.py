"""Rooms of wire: the calls, and the three things that outlive a call: clips, streams and taps.

Sound is mono, signed 16-bit samples in this machine's byte order, 8000 or 16000 a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from media.wire._wire import ffi, lib
from media.wire.event import DTMF
from media.wire.refusal import check

EVERYBODY: Final = 0xFFFFFFFF
FOREVER: Final = 0xFFFFFFFF
TICK_MS: Final = 20
_GATED, _PASSES_DIGITS = 1, 2


class Detection(Enum):
    """Whether digits are looked for in the sound of a member; NEEDED: where no telephone events were negotiated."""

    OFF = 0
    ON = 1
    NEEDED = 2


class TapKind(Enum):
    """What a tap copies: what is heard from a member, what is said to it, or the mix of all."""

    HEARD = 0
    SAID = 1
    MIX = 2


@dataclass(frozen=True, slots=True)
class Membership:
    """A leg's part in a room. It hears those whose `speaks` has a bit in common with its `hears`. `gain_db` is applied
    to what it says (at most 24); nobody hears one that is `muted`, or gets the digits of one that `keeps_digits`."""

    speaks: int = 1
    hears: int = EVERYBODY
    gain_db: float = 0.0
    muted: bool = False
    detect: Detection = Detection.NEEDED
    keeps_digits: bool = False


@dataclass(frozen=True, slots=True)
class Play:
    """How something is played: again `repeats` times (or FOREVER), from `start_ms` on, rising for `fade_in_ms`. To a
    whole room it is heard by those whose `hears` has a bit in common with `speaks`."""

    gain_db: float = 0.0
    repeats: int = 0
    start_ms: int = 0
    fade_in_ms: int = 0
    speaks: int = EVERYBODY


class Clip:
    """Sound that is there whole, shared by all who play it. Raises ValueError for another rate than 8000 or 16000."""

    __slots__ = ("_samples", "handle", "rate")

    def __init__(self, pcm: bytes, rate: int) -> None:
        self._samples = len(pcm) // 2
        self.rate = rate
        handle = lib.wire_clip_new(ffi.cast("int16_t *", ffi.from_buffer(pcm)), self._samples, rate)
        if handle == ffi.NULL:
            raise ValueError(f"a clip of {self._samples} samples at {rate} a second")
        self.handle = ffi.gc(handle, lib.wire_clip_release)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._samples / self.rate

    @property
    def duration_ms(self) -> int:
        """How long it lasts."""
        return self._samples * 1000 // self.rate


class StreamRing:
    """Sound that is written while it plays. One thread at a time may write; which one does not matter.

    `low_ms` is when STREAM_LOW asks for more. Raises ValueError for another rate, or a capacity over ten minutes.
    """

    __slots__ = ("handle", "rate")

    def __init__(self, rate: int, capacity_ms: int, low_ms: int) -> None:
        self.rate = rate
        handle = lib.wire_stream_new(rate, capacity_ms, low_ms)
        if handle == ffi.NULL:
            raise ValueError(f"a stream of {capacity_ms} ms at {rate} samples a second, low at {low_ms}")
        self.handle = ffi.gc(handle, lib.wire_stream_release)

    def write(self, pcm: bytes) -> int:
        """Adds samples; returns how many bytes found room."""
        samples = ffi.cast("int16_t *", ffi.from_buffer(pcm))
        return 2 * int(lib.wire_stream_write(self.handle, samples, len(pcm) // 2))

    def finish(self) -> None:
        """Nothing is added any more: the player ends when what is there was played."""
        lib.wire_stream_finish(self.handle)

    @property
    def fill_ms(self) -> int:
        """How much waits to be played."""
        return int(lib.wire_stream_fill(self.handle)) * 1000 // self.rate

    @property
    def underruns(self) -> int:
        """How many ticks of 20 ms found too little and had silence instead."""
        return int(lib.wire_stream_underruns(self.handle))


class TapFrame(NamedTuple):
    """20 ms of sound. Ticks count from the opening of the room: taps of one room lie side by side by them, and a number
    that is left out was lost."""

    tick: int
    pcm: bytes


class TapRing:
    """A copy of what is heard. One thread at a time may read; which one does not matter."""

    __slots__ = ("_samples", "_ticks", "handle", "rate")
    READ: Final = 50

    def __init__(self, handle: Any, rate: int) -> None:
        self.rate = rate
        self.handle = ffi.gc(handle, lib.wire_tap_release)
        self._samples = ffi.new("int16_t[]", self.READ * rate // 50)
        self._ticks = ffi.new("uint64_t[]", self.READ)

    def read(self) -> list[TapFrame]:
        """Up to a second of what came since the last call; empty when there is nothing."""
        count = lib.wire_tap_read(self.handle, self._samples, self._ticks, self.READ)
        size = self.rate // 50 * 2
        pcm = bytes(ffi.buffer(self._samples, count * size))
        return [TapFrame(self._ticks[i], pcm[i * size : (i + 1) * size]) for i in range(count)]

    @property
    def overruns(self) -> int:
        """Frames lost because nobody read."""
        return int(lib.wire_tap_overruns(self.handle))

    @property
    def closed(self) -> bool:
        """Whether nothing is added any more; what is there can still be read."""
        return bool(lib.wire_tap_closed(self.handle))


def _gain(decibels: float) -> float:
    return float(10.0 ** (decibels / 20.0))


def _membership(membership: Membership) -> Any:
    record = ffi.new("struct wire_membership *")
    record.speaks, record.hears = membership.speaks, membership.hears
    record.gain, record.muted = _gain(membership.gain_db), membership.muted
    record.detect, record.keeps_digits = membership.detect.value, membership.keeps_digits
    return record


class WireRooms:
    """The calls of wire that have to do with rooms. Each raises WireError: EINVAL when an argument makes no sense,
    ENOMEM, or EAGAIN when wire does not keep up. What concerns a room or a leg that is gone by then is passed over."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Any) -> None:
        self._wire = wire

    def open(self, *, gated: bool, passes_digits: bool) -> Any:
        """A room's handle. Raises WireError (ENOSPC) when there are as many as legs at most."""
        handle = ffi.new("struct wire_room *")
        flags = (_GATED if gated else 0) | (_PASSES_DIGITS if passes_digits else 0)
        check(lib.wire_room_open(self._wire, flags, handle), "cannot open a room")
        return handle

    def close(self, room: Any) -> None:
        """Its members are idle then, its players and taps end."""
        check(lib.wire_room_close(self._wire, room), "room")

    def join(self, room: Any, leg: Any, membership: Membership) -> None:
        """Whatever the leg did before ends; it leaves by getting another mode."""
        check(lib.wire_room_join(self._wire, room, leg, _membership(membership)), f"cannot join with {membership}")

    def set(self, leg: Any, membership: Membership) -> None:
        """Changes a member's part."""
        check(lib.wire_room_set(self._wire, leg, _membership(membership)), f"member {membership}")

    def digit(self, leg: Any, digit: str, duration_ms: int) -> None:
        """Says a digit to a member: as a telephone event where negotiated, else as tones. Raises ValueError."""
        code = DTMF.index(digit.upper())
        check(lib.wire_room_digit(self._wire, leg, code, duration_ms), "digit")

    def play(self, room: Any, leg: Any | None, what: Sequence[Clip] | StreamRing, how: Play) -> int:
        """Plays to a member or, with None, to all; returns the player's number, which PLAYED will name."""
        record = ffi.new("struct wire_play *")
        record.speaks, record.repeats = how.speaks, how.repeats
        record.start_ms, record.fade_ms = how.start_ms, how.fade_in_ms
        record.gain = _gain(how.gain_db)
        number = ffi.new("uint32_t *")
        to = ffi.NULL if leg is None else leg
        if isinstance(what, StreamRing):
            clips, stream = ffi.NULL, what.handle
        else:
            clips, stream = ffi.new("struct clip *[]", [clip.handle for clip in what]), ffi.NULL
        count = 0 if isinstance(what, StreamRing) else len(what)
        check(lib.wire_play(self._wire, room, to, clips, count, stream, record, number), f"cannot play {how}")
        return int(number[0])

    def stop(self, room: Any, player: int, fade_ms: int) -> None:
        """Ends a player."""
        check(lib.wire_play_stop(self._wire, room, player, fade_ms), "player")

    def gain(self, room: Any, player: int, decibels: float, fade_ms: int) -> None:
        """Makes a player louder or quieter within `fade_ms`."""
        check(lib.wire_play_gain(self._wire, room, player, _gain(decibels), fade_ms), "player")

    def tap(self, room: Any, leg: Any | None, kind: TapKind, rate: int, seconds: int) -> TapRing:
        """Copies sound from now on into a ring that holds so many seconds."""
        holder = ffi.new("struct tap **")
        of = ffi.NULL if leg is None else leg
        check(lib.wire_tap_open(self._wire, room, of, kind.value, rate, seconds, holder), "cannot tap")
        return TapRing(holder[0], rate)

    def untap(self, room: Any, tap: TapRing) -> None:
        """Ends a tap."""
        check(lib.wire_tap_close(self._wire, room, tap.handle), "tap")

    @property
    def count(self) -> int:
        """Rooms that are open, or were until a moment ago."""
        return int(lib.wire_rooms_open(self._wire))
