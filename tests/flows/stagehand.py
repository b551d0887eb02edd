"""Flows on calls of the virtual wire: what is played is noted and ends when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dialplan.command import Http, Reply
from dialplan.hours import Moment
from dialplan.load import Defaults
from dialplan.names import Surroundings
from media.recorder import RecordingEnd
from media.rooms import Member, Membership, Played
from media.script import HouseMusic, Line, Pause, Prompt, Signal, Speech
from pbxd.calls.call import Call
from pbxd.calls.leg import Leg
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Act
from pbxd.directory.model import ExtensionKind
from pbxd.errors import Unavailable
from pbxd.flows import Desk, FlowAct
from pbxd.flows.book import Book, House, look
from pbxd.flows.service import NotLive
from pbxd.flows.take import Tape
from pbxd.services.conferences import ConferenceRules, Conferences
from tests.calls.house import Handset
from tests.calls.house import House as Switchboard


@dataclass(eq=False)
class Playing:
    """One thing that is played, until it is stopped or a test says that it was heard."""

    lines: Sequence[Line]
    done: Callable[[Any], None] | None
    looped: bool
    room: Parlour
    ended: Played | None = None

    def stop(self, fade_ms: int = 20) -> None:
        self.ended = self.ended or Played.STOPPED

    def heard(self) -> None:
        assert self.ended is None
        self.ended = Played.WHOLE
        if self.done is not None:
            self.done(self)


class Parlour:
    """A room without sound."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self.members: list[Member] = []
        self.closed = False
        self.key = (id(self), 0)
        self.playing = 0

    def join(self, member: Member, membership: Membership | None = None) -> None:
        if member.room is not None and cast(object, member.room) is not self:
            member.room.forget(member)
        self.members.append(member)
        member.entered(cast(Any, self))

    def forget(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)

    def set(self, member: Member, membership: Membership) -> None:
        """Nobody hears anything anyway."""

    def membership(self, member: Member) -> Membership:
        return Membership()

    def play(self, clips: Sequence[Line], to: Member | None = None, *, how: Any = None, done: Any = None) -> Playing:
        playing = Playing(clips, done, bool(how and how.repeats), self)
        self._hall.played.append(playing)
        return playing

    def digit(self, member: Member, digit: str, duration_ms: int = 100) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        self.closed = True
        for member in tuple(self.members):
            member.left()
            self.forget(member)


class Hall:
    """The house's media, with parlours for rooms; also its studio, which speaks in lines."""

    def __init__(self) -> None:
        self.played: list[Playing] = []
        self.rooms: list[Parlour] = []

    def open_room(self, **_: object) -> Parlour:
        self.rooms.append(Parlour(self))
        return self.rooms[-1]

    def prepare(self, lines: Sequence[Line], language: str, rate: int, ready: Callable[[Any], None]) -> None:
        ready(list(lines))

    @property
    def now(self) -> Playing | None:
        """What is being played to the caller."""
        return next((one for one in reversed(self.played) if one.ended is None), None)


@dataclass(eq=False)
class Writing:
    """One recording; `path` is there from its begin."""

    path: Path
    most_seconds: float
    on_end: Callable[[float, str], bool]
    seconds: float = 3.5
    end: RecordingEnd | None = None
    kept: bool | None = None

    @property
    def over(self) -> bool:
        return self.end is not None

    def stop(self) -> None:
        if self.end is None:
            self.end = RecordingEnd.STOPPED
            self.kept = self.on_end(self.seconds, "")

    def fail(self, end: RecordingEnd, seconds: float = 0.0) -> None:
        self.end = end
        self.kept = self.on_end(seconds, end.value)


@dataclass
class Writer:
    """Stands for the recordings of the house."""

    folder: Path
    written: list[Writing] = field(default_factory=list)
    full: bool = False

    def begin(
        self, record: CallRecord, room: Any, leg: Any, most_s: float, on_end: Callable[[float, str], bool]
    ) -> Tape:
        if self.full:
            raise Unavailable("there is too little room on the disk to record")
        path = self.folder / f"rec_{len(self.written)}.wav"
        path.write_bytes(b"sound")
        self.written.append(Writing(path, most_s, on_end))
        return Tape(path.stem, path, self.written[-1].stop)


@dataclass
class Asked:
    """One HTTP exchange that waits."""

    command: Http
    done: Callable[[Reply], None]
    cancelled: bool = False
    open: bool = True

    def cancel(self) -> None:
        self.cancelled = True


class Stagehand:
    """The house of the wire with flows. `dialplan` holds their texts; `act` is that of the last call."""

    def __init__(self, house: Switchboard, folder: Path) -> None:
        self.house = house
        self.folder = folder / "dialplan"
        self.folder.mkdir()
        self.hall = Hall()
        recordings = folder / "recordings"
        recordings.mkdir()
        self.recorder = Writer(recordings)
        self.asked: list[Asked] = []
        self.mails: list[tuple[str, str, str]] = []
        self.mail_fault: str | None = None
        self.orders: list[tuple[str, str | None, float | None]] = []
        self.acts: list[FlowAct] = []
        self.over: list[FlowAct] = []
        self.book = Book()
        facilities = house.facilities
        media = facilities.media
        media.open_room = self.hall.open_room  # type: ignore[method-assign,assignment]
        facilities.studio = cast(Any, self.hall)
        conferences = Conferences(facilities, lambda _account_id, _own: [HouseMusic()])
        self.desk = Desk(
            facilities=facilities,
            conferences=conferences,
            music=lambda _account_id: [HouseMusic()],
            ask=self._ask,
            send_mail=self._mail,
            moment=lambda _account_id, now: Moment(facilities.wall(now)),
            override=self._override,
            tapes=self.recorder,
        )
        house.acts[ExtensionKind.FLOW] = self._act
        house.acts[ExtensionKind.CONFERENCE] = lambda extension, _record: self.desk.conferences.act(
            extension.account_id, extension.number, ConferenceRules.of(extension.options)
        )

    def write(self, text: str, name: str = "main") -> None:
        """Makes a flow live; it must be good."""
        (self.folder / f"{name}.yaml").write_text(text)
        report = self.book.take(look(self.folder, House(Surroundings(), Defaults())), 0.0)
        assert report.good, report.problems

    def _act(self, extension: Any, record: Any) -> Act:
        if extension.options["flow"] not in self.book.library.flows:
            return NotLive(extension.options["flow"])
        act = FlowAct(self.desk, self.book.library, extension.options["flow"], record, self.over.append)
        self.acts.append(act)
        return act

    def _ask(self, command: Http, done: Callable[[Reply], None]) -> Callable[[], None]:
        asked = Asked(command, done)

        def told(reply: Reply) -> None:
            asked.open = False
            done(reply)

        asked.done = told
        self.asked.append(asked)
        return self.asked[-1].cancel

    def _mail(self, account: str, to: str, subject: str, text: str, done: Callable[[str | None], None]) -> None:
        self.mails.append((to, subject, text))
        done(self.mail_fault)

    def _override(
        self, _account_id: str, schedule: str, opening: str | None, until: float | None, by: str
    ) -> str | None:
        self.orders.append((schedule, opening, until))
        return None

    # ---- a call

    @property
    def act(self) -> FlowAct:
        return self.acts[-1]

    @property
    def call(self) -> Call:
        (call,) = self.house.switch.calls.values()
        return call

    def dial(self, number: str = "500") -> Handset:
        """Somebody calls; the house has said 100."""
        name = f"alice{len(self.house.wire.hosts)}"
        alice = Handset(self.house.wire, name)
        alice.number = number
        alice >> "INVITE" >> self.house >> 100 >> alice
        return alice

    def talk_to(self, number: str = "500") -> Handset:
        """Somebody calls, and is answered."""
        alice = self.dial(number)
        self.house >> 200 >> alice >> "ACK" >> self.house
        return alice

    @property
    def saying(self) -> str:
        """What the caller hears now."""
        playing = self.hall.now
        return " ".join(filter(None, map(_word, playing.lines))) if playing is not None else ""

    def heard(self) -> None:
        """What is being played was heard to its end."""
        playing = self.hall.now
        assert playing is not None
        playing.heard()
        self.house.wire.settle()

    def press(self, digits: str) -> None:
        """The caller presses them."""
        caller = self.call.caller
        assert caller is not None
        for digit in digits:
            caller.pressed(digit, 100, self.house.wire.now)
        self.house.wire.settle()

    def press_at(self, party: str, digit: str) -> None:
        """Somebody who was called presses it."""
        (leg,) = [one for one in self.house.facilities.hearers.values() if cast(Leg, one).record.party == party]
        leg.pressed(digit, 100, self.house.wire.now)
        self.house.wire.settle()

    def talks(self, talking: bool) -> None:
        caller = self.call.caller
        assert caller is not None
        caller.talks(talking)

    @property
    def bridged(self) -> bool:
        """The caller is connected with somebody."""
        return self.call.bridge is not None

    reply = Reply.read("done", {"status": 200, "body": {}})

    def sound_left(self) -> list[Playing]:
        """What is still being played in rooms that are open."""
        return [one for one in self.hall.played if one.ended is None and not one.room.closed]

    @property
    def at(self) -> str:
        return self.act.position


def _word(line: Line) -> str:
    match line:
        case Speech(text):
            return text
        case Prompt(name):
            return f"[{name}]"
        case Signal(tone):
            return f"<{tone.value}>"
        case Pause():
            return ""
        case HouseMusic():
            return "(music)"
        case _:
            return f"({line.path.suffix})"
