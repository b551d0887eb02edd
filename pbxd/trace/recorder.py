"""The rings of all calls. It is told of every message and every decision, and must cost a call next to nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TypeVar

from pbxd.errors import Denied
from pbxd.trace.debug import Switch, Target, TargetKind
from pbxd.trace.entries import INWARD, OUTWARD, Address, Line, Sound, Topic
from pbxd.trace.masking import masked
from pbxd.trace.tape import Packet, Shelf, Tape
from pbxd.trace.track import MAX_DIALOGS, MAX_SOUNDS, Track

Name = TypeVar("Name", str, bytes)

log = logging.getLogger("pbxd.trace.debug")
log.setLevel(logging.DEBUG)  # whatever the level of the rest: who switches it on wants to read it

_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)
_USUAL = b"\nCall-ID: "
_USUAL_LENGTH = len(_USUAL)
MAX_CALL_ID = 256
MAX_STRANGERS = 2000
STRANGER_S = 60.0  # an INVITE that became no call is remembered so long
LINGER_S = 33.0  # for the last messages after a call's end: 64 * T1, after which nothing is sent again
MAX_SWITCHES = 32
DEBUG_LIMIT = 1 << 20  # bytes that one debug switch keeps
LAST_WORDS_S = 3.0  # who watches a call that has ended watches so long
MAX_TAPES = 4
SOUND_S = 3600.0  # sound can be fetched so long after it was captured


@dataclass(frozen=True, slots=True)
class TraceLimits:
    """`enabled` False keeps nothing but what a debug switch asks for. Sizes in bytes: of the whole, of a call, of a
    message as it is kept."""

    enabled: bool = True
    memory: int = 64 << 20
    call: int = 64 << 10
    message: int = 8 << 10
    sound: int = 0  # of one capture that was asked for; 0 forbids it


class Recorder:
    """Keeps a track of each call. `wall` turns monotonic seconds into seconds since the epoch.

    Messages come from the transports, decisions and dialogs from the calls. A dialog is a stranger until a call says
    that it is its own; strangers are few, and soon forgotten.
    """

    def __init__(self, wall: Callable[[float], float], limits: TraceLimits = TraceLimits()) -> None:
        self.limits = limits
        self.switches: dict[str, Switch] = {}
        self.messages = 0
        self.unkept = 0  # messages of calls for which there was no memory
        self.size = 0
        self.on_listen: Callable[[], None] | None = None  # the sound of another dialog is wanted, or could be
        self._tapes = Shelf()
        self._wall = wall
        self._calls: dict[str, Track] = {}
        self._dialogs: dict[bytes, Track] = {}
        self._strangers: dict[bytes, Track] = {}
        self._ended: dict[str, Track] = {}
        self._finished: list[Track] = []

    def __len__(self) -> int:
        """How many calls and strangers are held."""
        return len(self._calls) + len(self._strangers)

    # ---- from the transports

    def sip(self, outward: bool, data: bytes, transport: str, local: Address, remote: Address, now: float) -> None:
        """One message, whole."""
        at = data.find(_USUAL)
        track = self._dialogs.get(data[at + _USUAL_LENGTH : data.find(b"\r", at)]) if at >= 0 else None
        if track is None or self.switches:
            track = self._unusual(outward, data, (transport, local, remote), now)
            if track is None:
                return
        limits, before = self.limits, track.size
        if self.size > limits.memory and not self._make_room():
            self.unkept += 1
            return
        self.messages += 1
        track.hear(now, OUTWARD if outward else INWARD, data, (transport, local, remote), limits.message)
        if track.size > limits.call:
            track.trim(limits.call)
        self.size += track.size - before

    def _unusual(self, outward: bool, data: bytes, line: Line, now: float) -> Track | None:
        """The track of a message that was not found at once; others may watch it, too."""
        name = call_id_of(data)
        key = b"" if name is None else _key(name)
        track = self._dialogs.get(key)
        if track is None and name and data[:7] == b"INVITE " and self.limits.enabled:
            track = self._stranger(name, key, now)
        if self.switches:
            names = tuple(track.names) if track is not None else (name or "",)
            self._debug(name or "", names, outward, data, line, now)
        return track

    # ---- from the calls

    def began(self, call_id: str, sip_call_id: str, account_id: str, now: float) -> None:
        """A call of this account began with this dialog; what was seen of the dialog before belongs to it."""
        if not self.limits.enabled:
            return
        key = _key(sip_call_id)
        track = self._strangers.pop(key, None) or Track(sip_call_id, self._wall(now) - now, now)
        track.id = call_id
        track.account_id = account_id
        track.names = [call_id, sip_call_id]
        self._calls[call_id] = self._dialogs[key] = track

    def joined(self, call_id: str, sip_call_id: str) -> None:
        """Another dialog of the call."""
        track = self._calls.get(call_id)
        if track is None or len(track.names) > MAX_DIALOGS or sip_call_id in track.names:
            return
        key = _key(sip_call_id)
        before = self._strangers.pop(key, None)
        if before is not None:
            size = track.size
            track.take(before)
            track.trim(self.limits.call)
            self.size += track.size - size - before.size
        track.names.append(sip_call_id)
        self._dialogs[key] = track

    def note(self, name: str, topic: Topic, text: str, now: float) -> None:
        """Something happened to the call, or the dialog, of this name."""
        track = self._calls.get(name) or self._dialogs.get(_key(name))
        words = text.encode("utf-8", "replace")
        if track is not None and (self.size <= self.limits.memory or self._make_room()):
            size = track.size
            track.note(now, topic, words)
            if track.size > self.limits.call:
                track.trim(self.limits.call)
            self.size += track.size - size
        if self.switches:
            names = tuple(track.names) if track is not None else (name,)
            for switch in self.switches.values():
                if not names_meet(switch, names):
                    continue
                switch.track.note(now, topic, words)
                switch.track.trim(DEBUG_LIMIT)
                log.debug("%s: %s", topic.word, text, extra={"call": names[0], "target": switch.target.text})

    def sounded(self, name: str, sound: Sound) -> None:
        """A leg's media is over: its last headers."""
        track = self._dialogs.get(_key(name))
        size = len(sound.headers.records)
        if track is not None and size and len(track.sounds) < MAX_SOUNDS:
            track.sounds += (sound,)
            track.size += size
            self.size += size

    def ended(self, call_id: str, now: float) -> None:
        """The call is over; its last messages are still to come."""
        track = self._calls.get(call_id)
        if track is not None and track.ended_at is None:
            track.ended_at = now
            self._ended[call_id] = track
            track.wake()
            for switch in self.switches.values():
                if switch.target.kind is TargetKind.CALL and switch.target.text in track.names:
                    switch.expires_at = min(switch.expires_at, now + LAST_WORDS_S)

    # ---- time

    def sweep(self, now: float) -> list[Track]:
        """What is complete by now and leaves memory with this: to be written down by the caller. Due every second."""
        for key in _due(self._strangers, lambda track: now - track.touched_at >= STRANGER_S):
            self._forget_stranger(key)
        for call_id in _due(self._ended, lambda track: track.ended_at is not None and now - track.ended_at >= LINGER_S):
            self._finish(call_id)
        for text, switch in list(self.switches.items()):
            if now >= switch.expires_at:
                self.switch_off(text, now)
        self._tapes.sweep(now - SOUND_S)
        finished, self._finished = self._finished, []
        return finished

    def finish_all(self, now: float) -> list[Track]:
        """Everything that is held, for a daemon that stops."""
        for text in list(self.switches):
            self.switch_off(text, now)
        for call_id in list(self._calls):
            self._finish(call_id)
        finished, self._finished = self._finished, []
        return finished

    # ---- debug switches

    def switch_on(self, target: Target, seconds: float, now: float, *, sound: bool = False) -> Switch:
        """Watch `target` for so long from now on; again prolongs. `sound` also keeps what is said.

        Raises Denied where policy forbids sound, ValueError when too many are on.
        """
        if sound and not self.limits.sound:
            raise Denied("the sound of calls must not be captured here: the setting trace.audio is forbidden")
        switch = self.switches.get(target.text)
        if switch is None:
            if len(self.switches) >= MAX_SWITCHES:
                raise ValueError(f"{MAX_SWITCHES} debug switches are on already: switch one off")
            switch = Switch(target, now + seconds, Track(target.text, self._wall(now) - now, now))
        if sound and switch.tape is None:
            tape = Tape(self.limits.sound, switch.track.offset)
            if not self._tapes.put(target.text, tape, MAX_TAPES):
                raise ValueError(f"{MAX_TAPES} captures with sound are on already: switch one off")
            switch.tape = tape
        switch.expires_at = now + seconds
        self.switches[target.text] = switch
        known = self._calls.get(target.text) or self._dialogs.get(_key(target.text))
        if known is not None and target.kind is TargetKind.CALL:
            switch.track.names.extend(name for name in known.names if name not in switch.track.names)
        self._listen(switch)
        return switch

    def switch_off(self, text: str, now: float) -> bool:
        """Watch it no longer; what was seen is kept as a trace of that name. False when it was not watched."""
        switch = self.switches.pop(text, None)
        if switch is None:
            return False
        self._tapes.end(text, now)
        self._listen(switch)
        switch.track.ended_at = now
        switch.track.wake()
        if switch.track.rows:
            self._finished.append(switch.track)
        return True

    # ---- sound

    @property
    def listening(self) -> bool:
        """Whether the sound of anything is wanted."""
        return any(switch.tape is not None for switch in self.switches.values())

    def listens(self, name: str) -> bool:
        """Whether the sound of this dialog is wanted."""
        if not self.switches:
            return False
        return any(switch.tape is not None and name in switch.track.names for switch in self.switches.values())

    def heard(self, name: str, packet: Packet) -> None:
        """A packet of a dialog whose sound is wanted."""
        for switch in self.switches.values():
            if switch.tape is not None and name in switch.track.names:
                switch.tape.add(packet)

    def tape(self, text: str) -> Tape | None:
        """The sound of a target, while it is watched and an hour after."""
        return self._tapes.get(text)

    def forget_sound(self) -> None:
        """For a policy that forbids it from now on."""
        self._tapes.clear()
        for switch in self.switches.values():
            switch.tape = None

    def _listen(self, switch: Switch) -> None:
        if switch.tape is not None and self.on_listen is not None:
            self.on_listen()

    # ---- reading

    def find(self, name: str) -> Track | None:
        """The track of a call id, a SIP Call-ID, or the target of a debug switch."""
        switch = self.switches.get(name)
        if switch is not None:
            return switch.track
        found = self._calls.get(name) or self._dialogs.get(_key(name))
        return found or next((track for track in self._finished if name in track.names), None)

    # ---- inside

    def _make_room(self) -> bool:
        """Lets go of the oldest stranger, else of the oldest call that has ended; False when all calls are up."""
        stranger = next(iter(self._strangers), None)
        if stranger is not None:
            self._forget_stranger(stranger)
            return True
        ended = next(iter(self._ended), None)
        if ended is not None:
            self._finish(ended)
        return ended is not None

    def _stranger(self, name: str, key: bytes, now: float) -> Track:
        if len(self._strangers) >= MAX_STRANGERS:
            self._forget_stranger(next(iter(self._strangers)))
        track = self._dialogs[key] = self._strangers[key] = Track(name, self._wall(now) - now, now)
        return track

    def _forget_stranger(self, key: bytes) -> None:
        track = self._strangers.pop(key)
        self._dialogs.pop(key, None)
        self.size -= track.size

    def _finish(self, call_id: str) -> None:
        self._ended.pop(call_id, None)
        track = self._calls.pop(call_id)
        for name in track.names[1:]:
            key = _key(name)
            if self._dialogs.get(key) is track:
                del self._dialogs[key]
        self.size -= track.size
        self._finished.append(track)

    def _debug(self, name: str, names: tuple[str, ...], outward: bool, data: bytes, line: Line, now: float) -> None:
        transport, _, remote = line
        for switch in self.switches.values():
            if not switch.sees(data, remote[0], names):
                continue
            switch.matched += 1
            if name and name not in switch.track.names:
                switch.track.names.append(name)
                del switch.track.names[1:-MAX_DIALOGS]
                self._listen(switch)
            switch.track.hear(now, OUTWARD if outward else INWARD, data, line, len(data))
            switch.track.trim(DEBUG_LIMIT)
            text = masked(data).decode("utf-8", "replace")
            extra = {"call": name, "target": switch.target.text, "sip": text[:4096]}
            log.debug("SIP %s %s:%s:%s", "to" if outward else "from", transport, *remote, extra=extra)


def names_meet(switch: Switch, names: tuple[str, ...]) -> bool:
    """Whether a switch watches a call, or has seen one of its dialogs."""
    return any(name in switch.track.names for name in islice(names, MAX_DIALOGS))


def call_id_of(data: bytes) -> str | None:
    """The Call-ID of a message, found without parsing it; None where it has none."""
    at = data.find(_USUAL)
    if at >= 0:
        at += len(_USUAL)
        end = data.find(b"\r", at)
        value = data[at:end] if end > 0 else data[at:]
    else:
        found = _CALL_ID.search(data)
        if found is None:
            return None
        value = found.group(1)
    return value[:MAX_CALL_ID].decode("utf-8", "replace").strip()


def _due(tracks: Mapping[Name, Track], is_due: Callable[[Track], bool]) -> list[Name]:
    """Those at the beginning, where the oldest are; the others are not looked at."""
    return [name for name, _ in takewhile(lambda item: is_due(item[1]), tracks.items())]


def _key(name: str) -> bytes:
    """What a dialog is filed under: its Call-ID as `call_id_of` reads it."""
    return name.encode("utf-8", "replace")[:MAX_CALL_ID]
