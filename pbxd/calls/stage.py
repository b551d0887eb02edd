"""A leg that the house itself talks to: it is played to, its digits are heard, and it may be led elsewhere.

An `Act` decides what happens on it: reads back digits, asks for a PIN, runs a flow. The stage ends with its call, and
nothing that was begun on it outlives it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from media.rooms import FOREVER, Clip, Membership, Play, Playback, Played, Room
from media.script import Line
from media.sound import NARROW_HZ
from pbxd.calls.facilities import Facilities
from pbxd.calls.gather import Gather, Gathered, GatherRules
from pbxd.calls.leg import Leg
from pbxd.calls.peer import Arrival
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.studio import Unreadable
from pbxd.sip.timers import TimerHandle

log = logging.getLogger(__name__)

TYPED_AHEAD = 32  # digits that wait for somebody to ask for them

Heard = Callable[[Gathered, str, float], None]
PlayDone = Callable[[bool, float], None]
GivenBack = Callable[[str, float], None]


class Act(Protocol):
    """What the house does on a stage. All that happens comes from the event loop's thread."""

    def begin(self, stage: Stage, now: float) -> None:
        """The caller is there and not yet answered."""

    def digit(self, digit: str, now: float) -> None:
        """A digit that nobody on the stage was gathering."""

    def talking(self, talks: bool) -> None:
        """The caller began to speak, or stopped."""

    def leave(self, now: float) -> None:
        """The caller has gone, or the call was ended. Once, always last."""


class Delegate:
    """What acts are that leave what comes to another one, as soon as there is one."""

    _act: Act | None = None

    def digit(self, digit: str, now: float) -> None:
        if self._act is not None:
            self._act.digit(digit, now)

    def talking(self, talks: bool) -> None:
        if self._act is not None:
            self._act.talking(talks)

    def leave(self, now: float) -> None:
        if self._act is not None:
            self._act.leave(now)


class Company(Protocol):
    """Somebody whom the caller of the stage is connected with, or is about to be."""

    def parted(self, reason: str, now: float) -> None:
        """The other side has left a conversation; the caller is still there."""


class Host(Protocol):
    """The call whose leg is on the stage."""

    record: CallRecord

    def answer_by_house(self, now: float) -> None: ...

    def hangup(self, now: float, *, reason: str = ..., drain: bool = ...) -> None: ...

    def moved(self) -> None:
        """Its leg is in another room now."""

    def finish(
        self, now: float, *, reason: str, status: int, q850: int, result: Result | None = None, by: str = "house"
    ) -> None:
        """Ends the call with this status where it is not answered. Without a result it is a success once answered."""

    def open_early(self, now: float) -> None:
        """Lets a caller who is not answered hear the house."""


class Stage:
    """One leg and the sound around it. `language` is that of all prompts played on it."""

    def __init__(
        self, facilities: Facilities, call: Host, leg: Leg, act: Act, language: str, arrival: Arrival | None = None
    ) -> None:
        self._facilities = facilities
        self._call = call
        self._act = act
        self._lender: tuple[Act, GivenBack] | None = None
        self._room: Room | None = None
        self._playback: Playback | None = None
        self._play = 0  # counts what was played: what ends late is known by its number
        self._gather: Gather | None = None
        self._heard: Heard | None = None
        self._gather_timer: TimerHandle | None = None
        self._timers: list[TimerHandle] = []
        self._ahead: deque[str] = deque(maxlen=TYPED_AHEAD)
        self.leg = leg
        self.language = language
        self.arrival = arrival
        self.company: Company | None = None
        self.talks = False  # the far side speaks just now
        self.closed = False

    @property
    def record(self) -> CallRecord:
        return self._call.record

    @property
    def host(self) -> Host:
        """The call whose leg is here."""
        return self._call

    @property
    def rate(self) -> int:
        """Of the sound that its leg can carry, in Hz."""
        return NARROW_HZ

    @property
    def room(self) -> Room:
        """The room that the leg is in: its own, until it is led into another."""
        elsewhere = self.leg.media.room
        if elsewhere is not None and not elsewhere.closed:
            return elsewhere
        return self._own_room()

    # ---- what an act does

    def answer(self, now: float) -> None:
        """Answers the caller; again is harmless."""
        self._call.answer_by_house(now)

    def play(
        self, lines: Sequence[Line], done: PlayDone | None = None, *, loop: bool = False, start_ms: int = 0
    ) -> None:
        """Plays `lines` one after the other, from `start_ms` on, instead of what is being played. `done` hears whether
        they were heard to their end; a line that cannot be read is logged and counts as heard, so that a caller is
        never stuck on it."""
        self.hush()
        self._play += 1
        number = self._play

        def ready(clips: list[Clip] | Unreadable) -> None:
            if number != self._play or self.closed:
                return
            if isinstance(clips, Unreadable):
                log.warning("%s cannot be played: %s", clips.line, clips.why, extra={"call": self.record.id})
                self._played(number, done, whole=True)
            else:
                self._playback = self.room.play(
                    clips,
                    self.leg.media,
                    how=Play(repeats=FOREVER if loop else 0, start_ms=start_ms),
                    done=lambda playback: self._played(number, done, whole=playback.ended is Played.WHOLE),
                )

        self._facilities.studio.prepare(lines, self.language, self.rate, ready)

    def hush(self) -> None:
        """Stops what is being played, now; its `done` hears nothing more."""
        self._play += 1
        if self._playback is not None:
            self._playback.stop()
            self._playback = None

    def gather(self, rules: GatherRules, heard: Heard, now: float) -> None:
        """Collects digits, first those that were pressed ahead; `heard` is told how it ended, once."""
        self.stop_gathering()
        self._gather, self._heard = Gather(rules, now), heard
        while self._ahead and self._gather.outcome is None:
            self._gather.press(self._ahead.popleft(), now)
        self._follow_gather(now)

    def ask(self, lines: Sequence[Line], rules: GatherRules, heard: Heard, now: float) -> None:
        """Plays `lines` and collects digits: the first one pressed stops the playing, and the time for it begins when
        the playing has ended."""
        patient = GatherRules(rules.least, rules.most, _WHILE_PLAYING_S, rules.next_s, rules.terminators)
        self.gather(patient, heard, now)
        gather = self._gather
        if gather is None:
            return

        def played(_whole: bool, later: float) -> None:
            if self._gather is gather and not gather.digits:
                gather.due = later + rules.first_s
                self._follow_gather(later)

        if not gather.digits:
            self.play(lines, played)

    def stop_gathering(self) -> None:
        self._gather = self._heard = None
        self._cancel_gather_timer()

    def later(self, delay_s: float, then: Callable[[float], None]) -> TimerHandle:
        """Calls `then` unless the stage ends first."""

        def due(now: float) -> None:
            if not self.closed:
                then(now)

        timer = self._facilities.stack.schedule(self._facilities.clock() + delay_s, due)
        self._timers = [one for one in self._timers if one.waiting]
        self._timers.append(timer)
        return timer

    def hangup(self, now: float, reason: str) -> None:
        """Ends the call; of an act to which the stage was lent, only its part in it."""
        if self._lender is None:
            self._call.hangup(now, reason=reason)
            return
        guest, (self._act, given_back), self._lender = self._act, self._lender, None
        self._clear()
        guest.leave(now)
        given_back(reason, now)

    def finish(self, now: float, *, reason: str, status: int, q850: int, result: Result, by: str = "house") -> None:
        """Ends the call, with this status where it is not answered yet; once answered its end is a success, unless it
        is a fault of ours."""
        self._call.finish(now, reason=reason, status=status, q850=q850, result=result, by=by)

    def open_early(self, now: float) -> None:
        """Lets a caller who is not answered hear what is played."""
        self._call.open_early(now)

    def lend(self, guest: Act, given_back: GivenBack, now: float) -> None:
        """Lets another act perform until it hangs up; then the stage is given back, and `given_back` hears why."""
        self._clear()
        self._lender = self._act, given_back
        self._act = guest
        guest.begin(self, now)

    def lead_into(self, room: Room, membership: Membership) -> None:
        """Moves the leg into a room of somebody else's, with what it has heard."""
        self.hush()
        room.join(self.leg.media, membership)
        self._give_up_own_room()
        self._call.moved()

    def lead_back(self) -> None:
        """Takes the leg out of another's room, into one of its own."""
        self.hush()
        if not self.closed:
            self._own_room()
            self._call.moved()

    def led_away(self) -> None:
        """The leg has been connected with another: its own room is of no use now."""
        self.hush()
        self.talks = False  # in a relay nobody listens; back in a room it is told anew
        self._give_up_own_room()

    # ---- what happens on it

    def press(self, digit: str, now: float) -> None:
        """The far side pressed a digit."""
        if self.closed:
            return
        if self._gather is None:
            self._act.digit(digit, now)
            return
        self.hush()
        self._gather.press(digit, now)
        self._follow_gather(now)

    def talk(self, talks: bool) -> None:
        """Wire heard the far side begin or stop to speak."""
        self.talks = talks
        if not self.closed:
            self._act.talking(talks)

    def keep_ahead(self, digit: str) -> None:
        """Keeps a digit for the next gathering: for an act that has no use for it now."""
        self._ahead.append(digit)

    def forget_ahead(self) -> None:
        """What was pressed ahead was meant for something else."""
        self._ahead.clear()

    def close(self, now: float) -> None:
        """The leg is over. Twice does nothing."""
        if self.closed:
            return
        self.closed = True
        self._clear()
        try:
            self._act.leave(now)
            if self._lender is not None:
                self._lender[0].leave(now)
        finally:
            self._give_up_own_room()

    # ---- inside

    def _clear(self) -> None:
        """Whatever was begun on the stage is over."""
        self.hush()
        self.stop_gathering()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _own_room(self) -> Room:
        if self._room is None:
            self._room = self._facilities.media.open_room()
        if self.leg.media.room is not self._room:
            self._room.join(self.leg.media)
        return self._room

    def _give_up_own_room(self) -> None:
        if self._room is not None:
            self._room.close()
            self._room = None

    def _played(self, number: int, done: PlayDone | None, *, whole: bool) -> None:
        if number == self._play and not self.closed:
            self._playback = None
            if done is not None:
                done(whole, self._facilities.clock())

    def _follow_gather(self, now: float) -> None:
        """Tells the end of gathering, or waits for its next moment."""
        self._cancel_gather_timer()
        gather, heard = self._gather, self._heard
        if gather is None or heard is None:
            return
        if gather.outcome is not None:
            self._gather = self._heard = None
            heard(gather.outcome, gather.digits, now)
        else:
            self._gather_timer = self.later(max(0.0, gather.due - now), self._gather_expired)

    def _gather_expired(self, now: float) -> None:
        if self._gather is not None:
            self._gather.expire(now)
            self._follow_gather(now)

    def _cancel_gather_timer(self) -> None:
        if self._gather_timer is not None:
            self._gather_timer.cancel()
            self._gather_timer = None


_WHILE_PLAYING_S = 3600.0
