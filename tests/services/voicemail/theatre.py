"""A real stage in virtual time, with a room, a scribe and a voice that a test directs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np

from media import wav
from media.recorder import Channel, RecordingEnd
from media.rooms import Play, Played
from media.script import Line, Prompt, Recorded
from media.sound import Samples, Sound
from pbxd.calls.call import Fallback
from pbxd.calls.facilities import Facilities
from pbxd.calls.leg import Leg
from pbxd.calls.record import CallRecord, Direction, LegRecord, Result, Role
from pbxd.calls.stage import Act, Stage
from pbxd.config.mailboxes import Mailbox
from pbxd.config.mailboxes import Voicemail as Rules
from pbxd.directory.model import Extension, ExtensionKind, User
from pbxd.events import Bus
from pbxd.services.voicemail import Box, Message, Voicemail, VoicemailChanged
from pbxd.services.voicemail.dictation import Desk, Going
from pbxd.sip.timers import Timetable
from pbxd.store import Store

RATE = 8000
WALL = 1_790_000_000.0
ACCOUNT = "acc_1"

Found = TypeVar("Found")


def tone(seconds: float, hz: float = 450.0, level: float = 6000.0) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def hush(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.int16)


class Take:
    """A recording of the scribe's."""

    def __init__(self, path: Path, samples: Samples, end: RecordingEnd, on_end: Callable[[Going], None]) -> None:
        self.path = path
        self.end: RecordingEnd | None = None
        self._samples = samples
        self._planned = end
        self._on_end = on_end
        path.write_bytes(wav.header(RATE, 1, 0) + samples.tobytes())  # as a crash would leave it

    def stop(self) -> None:
        self.finish(self._planned)

    def finish(self, end: RecordingEnd) -> None:
        if self.end is None:
            self.end = end
            wav.repair(self.path)
            self._on_end(self)


class Scribe:
    """Writes down what the test says is said. `broken` fails at the start; `dead` never tells an end."""

    def __init__(self) -> None:
        self.said = tone(2.0)
        self.broken = False
        self.takes: list[Take] = []

    def start(
        self, path: Path, taps: Sequence[Channel], rate: int, most_seconds: float, on_end: Callable[[Going], None]
    ) -> Going:
        if self.broken:
            raise OSError(errno.ENOSPC, "no room", str(path))
        take = Take(path, self.said, RecordingEnd.STOPPED, on_end)
        self.takes.append(take)
        return take


class Room:
    """What is played in it waits for the test to end it."""

    def __init__(self) -> None:
        self.closed = False
        self.playing: list[tuple[Any, Play, Callable[[Any], None]]] = []

    def join(self, member: Any) -> None:
        member.room = self

    def play(self, clips: Any, to: Any, *, how: Play, done: Callable[[Any], None]) -> Any:
        self.playing.append((clips, how, done))
        return SimpleNamespace(stop=lambda: None)

    def tap(self, of: Any, *, rate: int, seconds: int) -> Any:
        return SimpleNamespace(rate=rate, close=lambda: None)

    def close(self) -> None:
        self.closed = True


class Theatre:
    """One caller on one stage. `heard` is all that was played, `now` the time."""

    def __init__(self, voicemail: Voicemail, timetable: Timetable, facilities: Facilities, room: Room) -> None:
        self.voicemail = voicemail
        self._timetable = timetable
        self._facilities = facilities
        self._room = room
        self.heard: list[Line] = []
        self.reason: str | None = None
        self.answered = False

    # ---- Host

    def answer_by_house(self, now: float) -> None:
        self.answered = True

    def finish(
        self, now: float, *, reason: str, status: int, q850: int, result: Result | None = None, by: str = "house"
    ) -> None:
        self.hangup(now, reason=reason)

    def open_early(self, now: float) -> None:
        """Nobody rings here."""

    def moved(self) -> None:
        """No recording follows it here."""

    def hangup(self, now: float, *, reason: str = "", drain: bool = False) -> None:
        self.reason = reason
        self.stage.close(now)

    # ---- what a test does

    def perform(self, act: Act, record: CallRecord) -> None:
        self.record = record
        leg = cast(Leg, SimpleNamespace(media=SimpleNamespace(room=None)))
        self.stage = Stage(self._facilities, self, leg, act, "en-us")
        act.begin(self.stage, self.now)
        self.act = act

    @property
    def now(self) -> float:
        return float(self._facilities.clock())

    def played(self) -> list[Line]:
        """Everything that is being played ends, heard to its end; gives what was heard since the last time."""
        while self._room.playing and not self.stage.closed:
            self.played_next()
        news, self.heard = self.heard, []
        return news

    def played_next(self) -> None:
        """What is being played just now ends, heard to its end."""
        clips, _how, done = self._room.playing.pop(0)
        self.heard += clips
        done(SimpleNamespace(ended=Played.WHOLE))

    def hears(self, *wanted: str) -> None:
        """What is played, to its end, holds these prompts in order."""
        names = [line.name for line in self.played() if isinstance(line, Prompt)]
        found = [name for name in names if name in wanted]
        assert found == list(wanted), names

    def playing_recording(self) -> tuple[Path, int]:
        """The recording that is being played, and from which millisecond on."""
        clips, how, _ = self._room.playing[-1]
        (line,) = [line for line in clips if isinstance(line, Recorded)]
        return line.path, how.start_ms

    def press(self, digits: str) -> None:
        for digit in digits:
            self._room.playing.clear()
            self.stage.press(digit, self.now)

    def wait(self, seconds: float) -> None:
        clock = cast(Any, self._facilities.clock)
        clock.now += seconds
        self._timetable.run(clock.now)

    def hang_up(self) -> None:
        self.stage.close(self.now)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at_once(work: Callable[[], Found], done: Callable[[Found | Exception], None]) -> None:
    try:
        result: Found | Exception = work()
    except Exception as error:  # noqa: BLE001 - what a worker would hand over
        result = error
    done(result)


class House:
    """A voicemail with its clock, its scribe and the events it published."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.clock = Clock()
        self.scribe = Scribe()
        self.folder = folder
        self.events: list[VoicemailChanged] = []
        self._timetable = Timetable()
        self._room = Room()
        bus = Bus()
        bus.subscribe(VoicemailChanged, self.events.append)
        studio = SimpleNamespace(prepare=lambda lines, _language, _rate, ready: ready(list(lines)))
        self.facilities = cast(
            Facilities,
            SimpleNamespace(
                clock=self.clock,
                wall=lambda now: WALL + now,
                bus=bus,
                studio=studio,
                stack=self._timetable,
                media=SimpleNamespace(open_room=self._new_room),
            ),
        )
        desk = Desk(self.scribe, at_once, lambda what: what())
        self.voicemail = Voicemail(store, folder, self.facilities, desk, Rules())

    def _new_room(self) -> Room:
        self._room.closed = False
        self._room.playing.clear()
        return self._room

    async def load(self, mailboxes: dict[str, Mailbox], **rules: Any) -> House:
        await self.voicemail.load({(ACCOUNT, number): one for number, one in mailboxes.items()}, Rules(**rules))
        return self

    def box(self, number: str = "1002") -> Box:
        return self.voicemail.box(ACCOUNT, number)

    def messages(self, number: str = "1002") -> list[Message]:
        return list(self.box(number).messages.values())

    def files(self) -> list[str]:
        return sorted(path.stem for path in self.folder.rglob("*.wav"))

    def caller(self, act: Act, number: str = "1001", direction: Direction = Direction.INTERNAL) -> Theatre:
        theatre = Theatre(self.voicemail, self._timetable, self.facilities, self._room)
        theatre.perform(act, record(number, direction))
        return theatre

    def leaves(self, number: str = "1002", status: int = 480) -> Theatre:
        """Somebody whose call to `number` failed."""
        fallback = self.voicemail.fallback(User("u", ACCOUNT, number, ""), record("1001"))
        assert isinstance(fallback, Fallback)
        act = fallback.act(status)
        assert act is not None
        return self.caller(act)

    def listens(self, user: str = "1002", direction: Direction = Direction.INTERNAL) -> Theatre:
        """Somebody who dials the number for their own mailbox."""
        extension = Extension("e", ACCOUNT, "*97", ExtensionKind.VOICEMAIL_OWN)
        return self.caller(self.voicemail.listen_own(extension, record(user, direction)), user, direction)

    def anybody(self) -> Theatre:
        """Somebody who dials the number for any mailbox."""
        extension = Extension("e", ACCOUNT, "*98", ExtensionKind.VOICEMAIL_ANY)
        return self.caller(self.voicemail.listen_any(extension, record("1001")))

    def leave_one(self, number: str = "1002") -> Message:
        """A message that was left and kept."""
        before = set(self.box(number).messages)
        caller = self.leaves(number)
        caller.played()
        caller.hang_up()
        (fresh,) = set(self.box(number).messages) - before
        return self.box(number).messages[fresh]


def record(number: str, direction: Direction = Direction.INTERNAL) -> CallRecord:
    leg = LegRecord("leg_1", Role.CALLER, number, "x", "udp:10.0.0.1:5060", WALL)
    return CallRecord("call_1", ACCOUNT, direction, number, "Somebody", "1002", WALL, legs=[leg])


def write(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wav.write(path, Sound(samples, RATE))
