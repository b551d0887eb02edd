"""The rings of all calls. It is told of every message and every decision, and must cost a call next to nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from pbxd.trace.debug import Switch, Target
from pbxd.trace.entries import Address, Note, SipMessage, Sound, Topic
from pbxd.trace.masking import masked
from pbxd.trace.track import MAX_DIALOGS, MAX_SOUNDS, Track

log = logging.getLogger("pbxd.trace.debug")
log.setLevel(logging.DEBUG)  # whatever the level of the rest: who switches it on wants to read it

_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)
_USUAL = b"\nCall-ID: "
MAX_CALL_ID = 256
MAX_STRANGERS = 2000
STRANGER_S = 60.0  # an INVITE that became no call is remembered so long
LINGER_S = 33.0  # for the last messages after a call's end: 64 * T1, after which nothing is sent again
MAX_SWITCHES = 32
DEBUG_LIMIT = 1 << 20  # bytes that one debug switch keeps


@dataclass(frozen=True, slots=True)
class TraceLimits:
    """`enabled` False keeps nothing but what a debug switch asks for. Sizes in bytes: of the whole, of a call, of a
    message as it is kept."""

    enabled: bool = True
    memory: int = 64 << 20
    call: int = 64 << 10
    message: int = 8 << 10


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
        self._wall = wall
        self._tracks: dict[str, Track] = {}
        self._strangers: dict[str, Track] = {}
        self._ended: dict[str, Track] = {}
        self._finished: list[Track] = []

    def __len__(self) -> int:
        """How many calls and strangers are held."""
        return len({id(track) for track in self._tracks.values()})

    # ---- from the transports

    def sip(self, outward: bool, data: bytes, transport: str, local: Address, remote: Address, now: float) -> None:
        """One message, whole."""
        name = call_id_of(data)
        if name is None:
            if self.switches:
                self._debug("", (), SipMessage(now, outward, transport, local, remote, data, len(data)))
            return
        track = self._tracks.get(name)
        if track is None and not self.switches and (not self.limits.enabled or data[:7] != b"INVITE "):
            return
        length, limit = len(data), self.limits.message
        entry = SipMessage(now, outward, transport, local, remote, data if length <= limit else data[:limit], length)
        if track is None and data[:7] == b"INVITE " and self.limits.enabled:
            track = self._stranger(name, now)
        if track is not None:
            self.messages += 1
            self._keep(track, entry)
        if self.switches:
            self._debug(name, tuple(track.names) if track else (name,), entry)

    # ---- from the calls

    def began(self, call_id: str, sip_call_id: str, now: float) -> None:
        """A call began with this dialog; what was seen of the dialog before belongs to it."""
        if not self.limits.enabled:
            return
        track = self._strangers.pop(sip_call_id, None) or Track(sip_call_id, self._wall(now) - now, now)
        track.id = call_id
        track.names = [call_id, sip_call_id]
        track.ended_at = None
        self._tracks[call_id] = self._tracks[sip_call_id] = track

    def joined(self, call_id: str, sip_call_id: str, now: float) -> None:
        """Another dialog of the call."""
        track = self._tracks.get(call_id)
        if track is None or len(track.names) > MAX_DIALOGS or sip_call_id in track.names:
            return
        before = self._strangers.pop(sip_call_id, None)
        for entry in before.entries if before is not None else ():
            self._keep(track, entry)
        if before is not None:
            self.size -= before.size
        track.names.append(sip_call_id)
        self._tracks[sip_call_id] = track

    def note(self, name: str, topic: Topic, text: str, now: float) -> None:
        """Something happened to the call, or the dialog, of this name."""
        track = self._tracks.get(name)
        entry = Note(now, topic, text)
        if track is not None:
            self._keep(track, entry)
        if self.switches:
            names = tuple(track.names) if track is not None else (name,)
            for switch in self.switches.values():
                if not names_meet(switch, names):
                    continue
                switch.track.add(entry, DEBUG_LIMIT)
                log.debug("%s: %s", topic.value, text, extra={"call": names[0], "target": switch.target.text})

    def sounded(self, name: str, sound: Sound) -> None:
        """A leg's media is over: its last headers."""
        track = self._tracks.get(name)
        if track is not None and sound.headers.records and len(track.sounds) < MAX_SOUNDS:
            track.sounds.append(sound)
            track.size += len(sound.headers.records)
            self.size += len(sound.headers.records)

    def ended(self, call_id: str, now: float) -> None:
        """The call is over; its last messages are still to come."""
        track = self._tracks.get(call_id)
        if track is not None and track.ended_at is None:
            track.ended_at = now
            self._ended[call_id] = track
            track.wake()

    # ---- time

    def sweep(self, now: float) -> list[Track]:
        """What is complete by now and leaves memory with this: to be written down by the caller. Due every second."""
        for name, track in list(self._strangers.items()):
            if now - track.touched_at < STRANGER_S:
                break
            self._forget_stranger(name)
        for call_id, track in list(self._ended.items()):
            if track.ended_at is None or now - track.ended_at < LINGER_S:
                break
            self._finish(call_id)
        for text, switch in list(self.switches.items()):
            if now >= switch.expires_at:
                self.switch_off(text, now)
        finished, self._finished = self._finished, []
        return finished

    def finish_all(self, now: float) -> list[Track]:
        """Everything that is held, for a daemon that stops."""
        for text in list(self.switches):
            self.switch_off(text, now)
        calls = {track.id: track for track in self._tracks.values() if len(track.names) > 1}
        for call_id in calls:
            self._finish(call_id)
        finished, self._finished = self._finished, []
        return finished

    # ---- debug switches

    def switch_on(self, target: Target, seconds: float, now: float) -> Switch:
        """Watch `target` for so long from now on; again prolongs. Raises ValueError when too many are on."""
        switch = self.switches.get(target.text)
        if switch is not None:
            switch.expires_at = now + seconds
            return switch
        if len(self.switches) >= MAX_SWITCHES:
            raise ValueError(f"{MAX_SWITCHES} debug switches are on already: switch one off")
        switch = Switch(target, now + seconds, Track(target.text, self._wall(now) - now, now))
        self.switches[target.text] = switch
        return switch

    def switch_off(self, text: str, now: float) -> bool:
        """Watch it no longer; what was seen is kept as a trace of that name. False when it was not watched."""
        switch = self.switches.pop(text, None)
        if switch is None:
            return False
        switch.track.ended_at = now
        switch.track.wake()
        if switch.track.entries:
            self._finished.append(switch.track)
        return True

    # ---- reading

    def find(self, name: str) -> Track | None:
        """The track of a call id, a SIP Call-ID, or the target of a debug switch."""
        switch = self.switches.get(name)
        if switch is not None:
            return switch.track
        found = self._tracks.get(name)
        return found or next((track for track in self._finished if name in track.names), None)

    # ---- inside

    def _keep(self, track: Track, entry: SipMessage | Note) -> None:
        if self.size > self.limits.memory and not self._make_room():
            self.unkept += 1
            return
        self.size += track.add(entry, self.limits.call)

    def _make_room(self) -> bool:
        """Lets go of the oldest stranger, else of the oldest call that has ended; False when all calls are up."""
        oldest = next(iter(self._strangers), None)
        if oldest is not None:
            self._forget_stranger(oldest)
            return True
        oldest = next(iter(self._ended), None)
        if oldest is not None:
            self._finish(oldest)
        return oldest is not None

    def _stranger(self, name: str, now: float) -> Track:
        if len(self._strangers) >= MAX_STRANGERS:
            self._forget_stranger(next(iter(self._strangers)))
        track = self._tracks[name] = self._strangers[name] = Track(name, self._wall(now) - now, now)
        return track

    def _forget_stranger(self, name: str) -> None:
        track = self._strangers.pop(name)
        self._tracks.pop(name, None)
        self.size -= track.size

    def _finish(self, call_id: str) -> None:
        track = self._ended.pop(call_id, None) or self._tracks[call_id]
        for name in track.names:
            if self._tracks.get(name) is track:
                del self._tracks[name]
        self.size -= track.size
        self._finished.append(track)

    def _debug(self, name: str, names: tuple[str, ...], entry: SipMessage) -> None:
        for switch in self.switches.values():
            if not switch.sees(entry.data, entry.remote[0], names):
                continue
            switch.matched += 1
            if name and name not in switch.track.names:
                switch.track.names.append(name)
                del switch.track.names[1:-MAX_DIALOGS]
            switch.track.add(entry, DEBUG_LIMIT)
            way = "to" if entry.outward else "from"
            where = f"{entry.transport}:{entry.remote[0]}:{entry.remote[1]}"
            text = masked(entry.data).decode("utf-8", "replace")
            extra = {"call": name, "target": switch.target.text, "sip": text[:4096]}
            log.debug("SIP %s %s", way, where, extra=extra)


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
