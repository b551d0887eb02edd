"""One call in its flow: the machine says what to do, this does it on the stage and tells the machine what came of it.

Everything that is begun hangs on the stage, or is stopped by `leave`: nothing outlives the call. What is done at once
(a tag, a rotation) is followed by the next command at once, but not by hundreds without letting others have their turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dialplan import command as commands
from dialplan.command import Cause, Command, Outcome, Reply, Ringback
from dialplan.flow import Flow, Library
from dialplan.hours import Moment
from dialplan.machine import Machine
from dialplan.state import Ending, Facts
from media.script import BREATH, Line, Signal
from media.tones import Tone
from pbxd.calls import causes
from pbxd.calls.connection import Came, Connection, Terms
from pbxd.calls.connection import Host as ConnectionHost
from pbxd.calls.connection import Outcome as Called
from pbxd.calls.gate import Barred
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.pager import Page
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.routing import ToTrunk, ToUser, route
from pbxd.calls.stage import Stage
from pbxd.calls.targets import targets_of
from pbxd.directory.model import Account, ExtensionKind
from pbxd.flows.callees import Nobody, parties_of, spelled_out
from pbxd.flows.desk import Desk, Visitor, Waiting
from pbxd.flows.sounds import lines_of
from pbxd.flows.take import Take, Taken, Tape
from pbxd.flows.trail import came_note, command_note
from pbxd.services.conferences import ConferenceRules
from pbxd.services.conferences.member import Member
from pbxd.services.conferences.member import Refusal as NotLetIn
from pbxd.trace import Topic

log = logging.getLogger(__name__)

AT_ONCE = 25  # commands that are done at once in a row, before others have their turn
TURN_S = 0.005
MAX_TAGS = 20
MAX_TAG = 100
MAX_HEADERS = 64
MAX_HEADER = 500
MAX_TEXT = 1300  # of a SIP MESSAGE (RFC 3428 §8)
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization"})


class FlowAct:
    """The act of one call in the flow `name` of `library`, which it keeps to its end. `over` is told when it is."""

    def __init__(
        self, desk: Desk, library: Library, name: str, record: CallRecord, over: Callable[[FlowAct], None]
    ) -> None:
        self._desk = desk
        self._library = library
        self._over = over
        self._machine = Machine(library)
        self._recordings: dict[str, Path] = {}
        self._number = 0  # of the command that is out: what comes late is of another
        self._reply: Reply | None = None
        self._busy = False
        self._row = 0
        self._ended = False
        self._stop: Callable[[float], None] | None = None  # ends what the command that is out has begun
        self._take: Take | None = None
        self._asked = ""
        self._called: Called | None = None  # what came of the last dialling
        self._parting: Called | None = None
        self._breath = True
        self._last_word = False  # what is over was sound
        self.name = name
        self.record = record
        self.ending: Ending | None = None

    @property
    def position(self) -> str:
        """`flow/step`"""
        return self._machine.position

    @property
    def command(self) -> Command:
        """The command that is out."""
        return self._machine.command

    @property
    def variables(self) -> Mapping[str, Any]:
        return self._machine.variables

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self._go(self._machine.start(self.name, self._facts(), self._moment(now)), now)

    def digit(self, digit: str, now: float) -> None:
        if self._take is None or not self._take.press(digit):
            self._stage.keep_ahead(digit)

    def talking(self, talks: bool) -> None:
        if self._take is not None:
            self._take.talk(talks)

    def leave(self, now: float) -> None:
        if self._ended:
            return
        self._ended = True
        self._end_command(now)
        if not self._machine.ended:
            self._machine.step(Reply(Outcome.HANGUP, {}), self._moment(now))
        self.ending = self.ending or self._machine.ending
        self.record.flow = self.position
        self._over(self)

    # ---- from command to command

    def _go(self, command: Command, now: float) -> None:
        """Does what the machine says, until something takes time."""
        self._busy = True
        while not self._ended:
            self._number += 1
            self._reply = None
            self._row += 1
            self.record.flow = self.position
            if self._number > self._desk.limits.steps and not self._machine.ended:
                self._cut(now, f"it went on for more than {self._desk.limits.steps} steps")
                break
            self._begin(command, now)
            if self._waits():
                self._row = 0
                break
            if self._row >= AT_ONCE:
                self._row = 0
                self._stage.later(TURN_S, partial(self._resume, self._number))
                break
            command = self._step(now)
        self._busy = False

    def _waits(self) -> bool:
        """Nothing has come yet of the command that is out."""
        return self._reply is None

    def _resume(self, number: int, now: float) -> None:
        if number == self._number and self._reply is not None and not self._ended:
            self._go(self._step(now), now)

    def _step(self, now: float) -> Command:
        reply = self._reply or Reply(Outcome.ERROR, {})
        self._note(*came_note(self.position, reply), now)
        self._end_command(now)
        return self._machine.step(reply, self._moment(now))

    def _end_command(self, now: float) -> None:
        stop, self._stop, self._take = self._stop, None, None
        if stop is not None:
            stop(now)

    def _came(self) -> Callable[[Reply, float], None]:
        """Tells what came of the command that is out, once; whatever is told of an earlier one is not heard."""
        number = self._number

        def came(reply: Reply, now: float) -> None:
            if number != self._number or self._reply is not None or self._ended:
                return
            self._reply = reply
            if not self._busy:
                self._go(self._step(now), now)

        return came

    def _begin(self, command: Command, now: float) -> None:
        if not isinstance(command, commands.Hangup):
            self._parting = None
        if not isinstance(command, commands.Gather):
            self._asked = ""
        if not isinstance(command, commands.Hangup):
            self._last_word = isinstance(command, commands.Play | commands.Say)
        self._note(Topic.COMMAND, command_note(self.position, command), now)
        try:
            _DO[type(command)](self, command, self._came(), now)
        except Exception:
            log.exception("%s of the flow %s failed", command.word, self.position, extra={"call": self.record.id})
            self._came()(Reply(Outcome.ERROR, {"reason": "a fault"}), now)

    def _note(self, topic: Topic, text: str, now: float) -> None:
        self._desk.facilities.tracer.note(self.record.id, topic, text, now)

    def _cut(self, now: float, why: str) -> None:
        """A flow that does not end is ended."""
        self.ending = Ending.EXHAUSTED
        log.warning("the flow %s was cut: %s", self.position, why, extra={"call": self.record.id})
        self._finish(Cause.ERROR, f"the flow {self.position} was cut: {why}", now)

    def _facts(self) -> Facts:
        record, arrival = self.record, self._stage.arrival
        headers: dict[str, str] = {}
        if arrival is not None:
            for key, lines in list(arrival.request.headers.lines.items())[:MAX_HEADERS]:
                if key not in SECRET_HEADERS and lines:
                    headers[key] = lines[0][:MAX_HEADER]
        return Facts(record.id, record.caller, record.caller_name, record.called, self._account.slug, headers)

    def _moment(self, now: float) -> Moment:
        return self._desk.moment(self.record.account_id, now)

    @property
    def _account(self) -> Account:
        return self._desk.facilities.directory.account_or_default(self.record.account_id)

    @property
    def _answered(self) -> bool:
        return self.record.answered_at is not None

    @property
    def _flow(self) -> Flow | None:
        return self._library.flows.get(self.position.partition("/")[0])

    def _lines(self, sounds: tuple[commands.Sound, ...]) -> tuple[Line, ...]:
        lines = lines_of(sounds, self._recordings, self._stage.language)
        if lines and self._breath:
            self._breath = False
            return (BREATH, *lines)
        return lines

    # ---- what is heard, and what is asked

    def _answer(self, _command: commands.Answer, came: Came_, now: float) -> None:
        self._stage.answer(now)
        if self._answered:
            came(_DONE, now)

    def _play(self, command: commands.Play, came: Came_, now: float) -> None:
        self._hear(command.sounds, command.early, came, now)

    def _say(self, command: commands.Say, came: Came_, now: float) -> None:
        self._hear((command.sound,), command.early, came, now)

    def _hear(self, sounds: tuple[commands.Sound, ...], early: bool, came: Came_, now: float) -> None:
        lines = self._lines(sounds)
        if not lines:
            came(_DONE, now)
            return
        if early and not self._answered:
            self._stage.open_early(now)
        self._stop = lambda _later: self._stage.hush()
        self._stage.play(lines, lambda _whole, later: came(_DONE, later))

    def _gather(self, command: commands.Gather, came: Came_, now: float) -> None:
        if command.input is commands.GatherInput.SPEECH:
            came(_failed("speech-in is not installed"), now)
            return
        if self._asked == self.position:  # asked again: what was pressed meanwhile answered the last time
            self._stage.forget_ahead()
        self._asked = self.position
        rules = GatherRules(
            least=command.min_digits,
            most=command.max_digits,
            first_s=command.timeout_s,
            next_s=command.digit_timeout_s,
            terminators=command.terminators,
        )

        def heard(gathered: Gathered, digits: str, later: float) -> None:
            if digits or gathered is Gathered.TERMINATED:
                came(Reply(Outcome.DIGITS, {"digits": digits}), later)
            else:
                came(Reply(Outcome.TIMEOUT, {}), later)

        lines = self._lines(command.sounds)
        self._stop = lambda _later: self._hush_and_stop_gathering()
        if command.barge_in and lines:
            self._stage.ask(lines, rules, heard, now)
        elif lines:
            self._stage.play(lines, lambda _whole, later: self._stage.gather(rules, heard, later))
        else:
            self._stage.gather(rules, heard, now)

    def _hush_and_stop_gathering(self) -> None:
        self._stage.hush()
        self._stage.stop_gathering()

    def _record(self, command: commands.Record, came: Came_, now: float) -> None:
        def over(taken: Taken, tape: Tape | None, seconds: float, reason: str) -> None:
            later = self._desk.facilities.clock()
            if taken is Taken.RECORDED and tape is not None:
                self._recordings[tape.id] = tape.path
                came(Reply(Outcome.RECORDED, {"recording": tape.id, "duration_s": round(seconds, 2)}), later)
            elif taken is Taken.SILENCE:
                came(Reply(Outcome.SILENCE, {}), later)
            else:
                log.warning("nothing can be recorded: %s", reason, extra={"call": self.record.id})
                came(_failed(reason), later)

        tapes = self._desk.tapes
        if tapes is None:
            came(_failed("recordings are not ready yet"), now)
            return
        take = Take(self._stage, self.record, tapes, over)

        def begin(_whole: bool, _later: float) -> None:
            self._take = take
            take.start(command.max_s, command.silence_s, command.terminators)

        def stop(_later: float) -> None:
            self._stage.hush()
            take.abandon()

        self._stop = stop
        beep = (Signal(Tone.BEEP),) if command.beep else ()
        lines = (*self._lines(command.sounds), *beep)
        if lines:
            self._stage.play(lines, begin)
        else:
            begin(True, now)

    def _wait(self, command: commands.Wait, came: Came_, now: float) -> None:
        timer = self._stage.later(command.seconds, lambda later: came(_DONE, later))
        self._stop = lambda _later: timer.cancel()

    # ---- others

    def _dial(self, command: commands.Dial, came: Came_, now: float) -> None:
        arrival = self._stage.arrival
        call = self._stage.host
        if arrival is None or not isinstance(call, ConnectionHost):
            came(_failed("nobody can be called from here"), now)
            return
        known = spelled_out(self._flow, self.position.partition("/")[2])
        parties, why = parties_of(self._desk, self.record, command, arrival, self._account, known, now)

        def over(called: Called, later: float) -> None:
            self._called = called
            self._parting = called if called.came is Came.ANSWERED else None
            data: dict[str, Any] = {"reason": called.reason}
            if called.came is Came.ANSWERED:
                data |= {"by": called.by, "duration_s": round(called.talked_s, 1)}
            came(Reply(Outcome(called.came.value), data), later)

        if not parties:
            nobody = why or Nobody(Came.UNREACHABLE, "there is nobody to ring", 480)
            over(Called(nobody.came, nobody.reason, nobody.status), now)
            return
        connection = Connection(self._desk.facilities, call, self._stage, parties, self._terms(command), over)
        self._stop = connection.stop
        connection.start(now)

    def _terms(self, command: commands.Dial) -> Terms:
        waiting: tuple[Line, ...] | None
        match command.ringback:
            case Ringback.MUSIC:
                waiting = tuple(self._desk.music(self.record.account_id)) or (Signal(Tone.RINGBACK),)
            case Ringback.SILENCE:
                waiting = ()
            case _:
                waiting = (Signal(Tone.RINGBACK),) if self._answered else None
        house = self._stage.language
        return Terms(
            timeout_s=command.timeout_s,
            announce=lines_of(command.announce, self._recordings, house),
            confirm=lines_of(command.confirm, self._recordings, house),
            waiting=waiting,
            early_media=command.early_media and command.ringback is Ringback.RINGING,
        )

    def _rotate(self, command: commands.Rotate, came: Came_, now: float) -> None:
        came(Reply(Outcome.DONE, {"index": self._desk.turn(self.record.account_id, command.key, command.size)}), now)

    def _conference(self, command: commands.Conference, came: Came_, now: float) -> None:
        extension = self._desk.facilities.directory.extension(self._account, command.room)
        if extension is None or extension.kind is not ExtensionKind.CONFERENCE:
            came(_failed(f"there is no room {command.room[:40]}"), now)
            return
        rules = ConferenceRules.of(extension.options)
        member = self._desk.conferences.act(
            self.record.account_id, command.room, rules, host=command.moderator, muted=command.muted
        )

        def given_back(reason: str, later: float) -> None:
            came(Reply(_NOT_LET_IN.get(member.refusal, Outcome.LEFT), {"reason": reason}), later)

        self._lend(member, given_back, now)

    def _voicemail(self, command: commands.Voicemail, came: Came_, now: float) -> None:
        make = self._desk.voicemail
        if command.greeting is commands.Greeting.AUTO and self._called is not None and self._called.came is Came.BUSY:
            command = replace(command, greeting=commands.Greeting.BUSY)
        visitor = make(command, self.record) if make is not None else None
        if visitor is None:
            came(_failed("there is no such mailbox"), now)
            return
        found: Visitor = visitor
        self._lend(found, lambda reason, later: came(Reply(found.outcome, {"reason": reason}), later), now)

    def _enqueue(self, command: commands.Enqueue, came: Came_, now: float) -> None:
        make = self._desk.enqueue
        waiting = make(command, self.record) if make is not None else None
        if waiting is None:
            came(_failed(f"there is no queue {command.queue[:40]}"), now)
            return
        found: Waiting = waiting

        def given_back(reason: str, later: float) -> None:
            data: dict[str, Any] = {"reason": reason, "operator": self.record.operator or "", "digits": found.digits}
            came(Reply(found.outcome, data), later)

        self._lend(found, given_back, now)

    def _lend(self, guest: Member | Visitor, given_back: Callable[[str, float], None], now: float) -> None:
        def back(reason: str, later: float) -> None:
            self._stage.lead_back()
            given_back(reason, later)

        self._stage.lend(guest, back, now)

    def _http(self, command: commands.Http, came: Came_, now: float) -> None:
        del now
        cancel = self._desk.ask(command, lambda reply: came(reply, self._desk.facilities.clock()))
        self._stop = lambda _later: cancel()

    def _message(self, command: commands.Message, came: Came_, now: float) -> None:
        if command.via is commands.MessageVia.MAIL:

            def taken(why: str | None) -> None:
                came(_DONE if why is None else _failed(why), self._desk.facilities.clock())

            self._desk.send_mail(self._account.id, command.to, command.subject or "A message", command.text, taken)
            return
        arrival, facilities = self._stage.arrival, self._desk.facilities
        if arrival is None:
            came(_failed("nobody can be written to from here"), now)
            return
        found = route(facilities.directory, self._account, command.to, source=arrival.peer.trunk, by_default=False)
        if not isinstance(found, ToUser | ToTrunk):
            came(_failed(f"{command.to[:40]} is no phone that could get a message"), now)
            return
        try:
            self._desk.post(self._account.id, arrival.peer.party, command.to, found, self.record.id)
        except Barred as error:
            came(_failed(error.message), now)
            return
        targets = targets_of(facilities, found, None, arrival.peer.caller, self._account, now)
        if not targets:
            came(_failed("no phone is registered"), now)
            return

        def answered(status: int, later: float) -> None:
            came(_DONE if 200 <= status < 300 else _failed(f"the phone answered {status}"), later)

        body = command.text.encode()[:MAX_TEXT].decode("utf-8", "ignore").encode()
        Page(facilities, body, "text/plain;charset=UTF-8", answered).send(targets)

    # ---- what is written down, and the end

    def _tag(self, command: commands.Tag, came: Came_, now: float) -> None:
        add_tag(self.record, command.name)
        came(_DONE, now)

    def _set_hours(self, command: commands.SetHours, came: Came_, now: float) -> None:
        account_id, by = self.record.account_id, f"call {self.record.id}"
        why = self._desk.override(account_id, command.schedule, command.opening, command.until, by)
        came(_DONE if why is None else _failed(why), now)

    def _hangup(self, command: commands.Hangup, came: Came_, now: float) -> None:
        """After the last word a moment goes by: phones lose the end of what they hear when they are hung up in it."""
        if self._last_word:
            self._last_word = False
            self._stage.later(BREATH.seconds, lambda later: self._hangup(command, came, later))
            return
        ending = self._machine.ending
        if ending in _FAULTS:
            fault = _FAULTS[ending]
            log.warning("the flow %s was cut: %s", self.position, fault, extra={"call": self.record.id})
            self._finish(Cause.ERROR, f"the flow {self.position} was cut: {fault}", now)
        elif self._parting is not None and command.cause is Cause.NORMAL:
            self._stage.finish(
                now, reason=self._parting.reason, status=480, q850=16, result=Result.SUCCESS, by="callee"
            )
        else:
            self._finish(command.cause, f"the flow {self.name} came to its end", now)

    def _noop(self, _command: commands.Noop, _came: Came_, now: float) -> None:
        self._finish(Cause.NORMAL, f"the flow {self.name} came to its end", now)

    def _finish(self, cause: Cause, reason: str, now: float) -> None:
        """A caller who was never answered, and for whom somebody was called in vain, is told what came of that."""
        called = self._called
        if cause is Cause.NORMAL and not self._answered and called is not None:
            q850 = causes.NO_ANSWER if called.came is Came.NO_ANSWER else causes.q850_of(called.status)
            self._stage.finish(now, reason=called.reason, status=called.status, q850=q850, result=Result.UPSTREAM)
            return
        status, q850, result = ENDS[cause]
        self._stage.finish(now, reason=reason, status=status, q850=q850, result=result)


Came_ = Callable[[Reply, float], None]
_DONE = Reply(Outcome.DONE, {})
_DO: Mapping[type[Command], Callable[..., None]] = {
    commands.Answer: FlowAct._answer,
    commands.Play: FlowAct._play,
    commands.Say: FlowAct._say,
    commands.Gather: FlowAct._gather,
    commands.Record: FlowAct._record,
    commands.Wait: FlowAct._wait,
    commands.Dial: FlowAct._dial,
    commands.Rotate: FlowAct._rotate,
    commands.Conference: FlowAct._conference,
    commands.Enqueue: FlowAct._enqueue,
    commands.Voicemail: FlowAct._voicemail,
    commands.Http: FlowAct._http,
    commands.Message: FlowAct._message,
    commands.Tag: FlowAct._tag,
    commands.SetHours: FlowAct._set_hours,
    commands.Hangup: FlowAct._hangup,
    commands.Noop: FlowAct._noop,
}
ENDS: Mapping[Cause, tuple[int, int, Result]] = {
    Cause.NORMAL: (480, causes.NORMAL_CLEARING, Result.SUCCESS),
    Cause.BUSY: (486, 17, Result.UPSTREAM),
    Cause.CONGESTION: (503, causes.CONGESTION, Result.SERVER),
    Cause.NO_ANSWER: (480, causes.NO_ANSWER, Result.UPSTREAM),
    Cause.NOT_FOUND: (404, 1, Result.CLIENT),
    Cause.REJECTED: (603, 21, Result.CLIENT),
    Cause.UNAVAILABLE: (480, 20, Result.UPSTREAM),
    Cause.ERROR: (500, causes.TEMPORARY_FAILURE, Result.SERVER),
}
_FAULTS = {
    Ending.RUNAWAY: "it went in circles",
    Ending.EXHAUSTED: "it never came to an end",
    Ending.TOO_DEEP: "flows called each other without end",
    Ending.FAILED: "the call could not be answered",
}
_NOT_LET_IN: Mapping[NotLetIn | None, Outcome] = {
    NotLetIn.FULL: Outcome.FULL,
    NotLetIn.LOCKED: Outcome.LOCKED,
    NotLetIn.WRONG_PIN: Outcome.FAILED,
}


def add_tag(record: CallRecord, name: str) -> None:
    """Put a word on a call's record; the same word is there once."""
    tag = " ".join(name.split())[:MAX_TAG]
    if tag and tag not in record.tags and len(record.tags) < MAX_TAGS:
        record.tags.append(tag)


def _failed(reason: str) -> Reply:
    return Reply(Outcome.FAILED, {"reason": reason})
