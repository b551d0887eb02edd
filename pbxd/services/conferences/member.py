"""A caller in a conference: asked for the PIN and the name, led in, and served by star codes."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import Enum, auto

import numpy as np

from media.rooms import Clip, Membership, Room, Tap
from media.script import BREATH, Line, Prompt, Signal
from media.tones import Tone
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.stage import Stage
from pbxd.errors import Unavailable
from pbxd.services.conferences.room import Conference
from pbxd.services.conferences.rules import Announce, ConferenceRules, MemberView

PIN_RULES = GatherRules(least=1, most=12, first_s=10.0, next_s=5.0)
PIN_TRIES = 3
NAME_S = 4.0
QUIET = 500  # mean magnitude below which a name has not begun, or is over
GAIN_STEP_DB = 3.0


class Refusal(Enum):
    LOCKED = "conference-locked"
    FULL = "conference-full"
    WRONG_PIN = "goodbye"


class Step(Enum):
    ASKED = auto()
    INSIDE = auto()
    GONE = auto()


class Member:
    """The act of one caller. `find` gives the conference once the caller may come in; `music` is for who waits."""

    def __init__(
        self,
        rules: ConferenceRules,
        find: Callable[[], Conference],
        music: Callable[[], list[Line]],
        joined_at: float,
    ) -> None:
        self._rules = rules
        self._find = find
        self._music = music
        self._conference: Conference | None = None
        self._step = Step.ASKED
        self._tries = 0
        self._star = False
        self.host = False
        self.muted = False  # comes in muted, whatever the room says
        self.refusal: Refusal | None = None
        self.name: Clip | None = None
        self.joined_at = joined_at

    @property
    def call_id(self) -> str:
        return self._stage.record.id

    def view(self, membership: Membership) -> MemberView:
        record = self._stage.record
        return MemberView(
            call_id=record.id,
            caller=record.caller,
            caller_name=record.caller_name,
            host=self.host,
            muted=membership.muted,
            deaf=membership.hears == 0,
            gain_db=membership.gain_db,
            talking=False,
            joined_at=self.joined_at,
        )

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        stage.answer(now)
        if self._rules.pin is None and self._rules.host_pin is None:
            self._known(now)
        else:
            stage.ask((BREATH, Prompt("enter-pin")), PIN_RULES, self._pin_entered, now)

    def digit(self, digit: str, now: float) -> None:
        if self._star:
            self._star = False
            self._serve(digit)
        else:
            self._star = digit == "*"

    def talking(self, talks: bool) -> None:
        if self._conference is not None:
            self._conference.talking(self, talks)

    def leave(self, now: float) -> None:
        self._step = Step.GONE
        if self._conference is not None:
            self._conference.remove(self)

    # ---- coming in

    def _pin_entered(self, outcome: Gathered, digits: str, now: float) -> None:
        rules = self._rules
        if rules.host_pin is not None and hmac.compare_digest(digits, rules.host_pin):
            self.host = True
            self._known(now)
        elif rules.pin is not None and hmac.compare_digest(digits, rules.pin):
            self._known(now)
        elif rules.pin is None and not digits:
            self._known(now)  # only hosts have a PIN
        else:
            self._tries += 1
            if self._tries >= PIN_TRIES:
                self._turn_away(Refusal.WRONG_PIN)
            else:
                self._stage.ask((Prompt("wrong-pin"), Prompt("enter-pin")), PIN_RULES, self._pin_entered, now)

    def _known(self, now: float) -> None:
        if self._rules.announce is Announce.NAME:
            self._stage.play((BREATH, Prompt("conference-name"), Signal(Tone.BEEP)), self._record_name)
        else:
            self._enter()

    def _record_name(self, _whole: bool, _now: float) -> None:
        tap = self._stage.room.tap(self._stage.leg.media, seconds=int(NAME_S) + 1)
        self._stage.later(NAME_S, lambda _later: self._named(tap))

    def _named(self, tap: Tap) -> None:
        pcm = b""
        while frames := tap.read():
            pcm += b"".join(frame.pcm for frame in frames)
        tap.close()
        samples = np.frombuffer(pcm, np.int16)
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
        if len(loud):
            self.name = Clip(samples[loud[0] : loud[-1] + 1].tobytes(), tap.rate)
        self._enter()

    def _enter(self) -> None:
        conference = self._find()
        if conference.locked and not self.host:
            self._turn_away(Refusal.LOCKED)
        elif conference.full:
            self._turn_away(Refusal.FULL)
        else:
            self._conference = conference
            conference.admit(self)

    def _turn_away(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.dismiss(Prompt(refusal.value), f"not let into the conference: {refusal.name.lower().replace('_', ' ')}")

    # ---- Attendee

    def enter(self, room: Room, membership: Membership) -> None:
        if self._step is Step.INSIDE:
            room.set(self._stage.leg.media, membership)
            return
        self._step = Step.INSIDE
        self._stage.lead_into(room, membership)

    def wait(self) -> None:
        self._step = Step.ASKED
        self._stage.lead_back()
        self._stage.play((BREATH, Prompt("conference-waiting")), lambda _whole, _now: self._play_music())

    def _play_music(self) -> None:
        music = self._music()
        if music and self._step is Step.ASKED:
            self._stage.play(music, loop=True)

    def hear(self, *lines: Line) -> None:
        self._stage.play(lines)

    def dismiss(self, line: Line, reason: str) -> None:
        if self._conference is not None:
            self._conference.remove(self)
            self._conference = None
        self._step = Step.ASKED
        self._stage.lead_back()
        self._stage.play((BREATH, line, BREATH), lambda _whole, now: self._stage.hangup(now, reason))

    # ---- star codes

    def _serve(self, digit: str) -> None:
        conference = self._conference
        if conference is None or self._step is not Step.INSIDE:
            return
        if digit == "1":
            self._mute(conference)
        elif digit == "3":
            self._count(conference)
        elif digit in "46":
            self._turn(conference, -GAIN_STEP_DB if digit == "4" else GAIN_STEP_DB)
        elif digit == "5" and self.host:
            conference.lock(not conference.locked)
            self.hear(Prompt("conference-is-locked" if conference.locked else "conference-is-unlocked"))
        elif digit == "8" and self.host:
            self._record(conference)
        elif digit == "7" and self.host:
            conference.mute_all(any(not conference.membership(one).muted for one in conference.members if not one.host))
        else:
            self.hear(Prompt("conference-menu"))

    def _record(self, conference: Conference) -> None:
        """All hear that it is recorded, or is no longer."""
        wanted = conference.recording is None
        try:
            conference.record(wanted)
        except Unavailable:
            self.hear(Prompt("recording-impossible"))
            return
        conference.play(Prompt("recorded" if wanted else "recording-stopped"))

    def _mute(self, conference: Conference) -> None:
        muted = not conference.membership(self).muted
        conference.mute(self, muted)
        self.hear(Prompt("conference-muted" if muted else "conference-unmuted"))

    def _count(self, conference: Conference) -> None:
        others = len(conference) - 1
        self.hear(Prompt("conference-count", (("count", str(others)),)) if others else Prompt("conference-alone"))

    def _turn(self, conference: Conference, step_db: float) -> None:
        conference.turn(self, conference.membership(self).gain_db + step_db)
        self.hear(Signal(Tone.BEEP))
