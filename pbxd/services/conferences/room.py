"""One conference: who is in it, who waits for its host, and what all of them hear."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from media.rooms import Clip, Membership, Room
from media.script import Line, Prompt, Signal
from media.tones import Tone
from pbxd.calls.facilities import Facilities
from pbxd.calls.studio import Unreadable
from pbxd.errors import Unavailable
from pbxd.events import Bus
from pbxd.services.conferences.rules import (
    Announce,
    ConferenceChange,
    ConferenceChanged,
    ConferenceRules,
    ConferenceView,
    MemberView,
    RoomRecorder,
)

log = logging.getLogger(__name__)

LOUDEST_DB, QUIETEST_DB = 12.0, -24.0


class Attendee(Protocol):
    """A member as its room sees it."""

    host: bool
    muted: bool
    name: Clip | None
    joined_at: float

    @property
    def call_id(self) -> str: ...

    def view(self, membership: Membership) -> MemberView: ...

    def enter(self, room: Room, membership: Membership) -> None:
        """Leads its leg into `room`."""

    def wait(self) -> None:
        """Leads its leg out again, to wait for a host."""

    def hear(self, *lines: Line) -> None:
        """Plays to this member alone."""

    def dismiss(self, line: Line, reason: str) -> None:
        """Says a last word to it and hangs it up."""


class Conference:
    """A room with a name. `on_empty` is told when its last member has gone; it is not used again then."""

    def __init__(
        self,
        facilities: Facilities,
        account_id: str,
        name: str,
        rules: ConferenceRules,
        opened_at: float,
        on_empty: Callable[[Conference], None],
        recorder: RoomRecorder | None = None,
    ) -> None:
        self._facilities = facilities
        self._bus: Bus = facilities.bus
        self._on_empty = on_empty
        self._recorder = recorder
        self._inside: dict[Attendee, Membership] = {}
        self._waiting: list[Attendee] = []
        self._talking: set[Attendee] = set()
        self.account_id = account_id
        self.name = name
        self.rules = rules
        self.opened_at = opened_at
        self.locked = False
        self.recording: str | None = None
        self.room: Room = facilities.media.open_room(gated=True)
        self._say(ConferenceChange.OPENED)

    def __len__(self) -> int:
        """Members inside, without those who wait."""
        return len(self._inside)

    @property
    def members(self) -> list[Attendee]:
        return list(self._inside)

    @property
    def full(self) -> bool:
        return len(self._inside) + len(self._waiting) >= self.rules.max_members

    @property
    def has_host(self) -> bool:
        return any(member.host for member in self._inside)

    def view(self) -> ConferenceView:
        return ConferenceView(
            name=self.name,
            account_id=self.account_id,
            locked=self.locked,
            recording=self.recording,
            opened_at=self.opened_at,
            members=tuple(
                replace(member.view(part), talking=member in self._talking) for member, part in self._inside.items()
            ),
            waiting=len(self._waiting),
        )

    # ---- coming and going

    def admit(self, member: Attendee) -> None:
        """A member that knew its PIN: it is inside now, or waits for a host."""
        if self.rules.wait_for_host and not member.host and not self.has_host:
            self._waiting.append(member)
            member.wait()
            return
        self._let_in(member)
        if member.host:
            waiting, self._waiting = self._waiting, []
            for patient in waiting:
                self._let_in(patient)

    def _let_in(self, member: Attendee) -> None:
        alone = not self._inside
        part = Membership(muted=member.muted or (self.rules.muted and not member.host))
        self._announce(member, "conference-joined")
        self._inside[member] = part
        member.enter(self.room, part)
        if alone:
            member.hear(Prompt("conference-alone"))
            if self.rules.record:
                self._record_by_rule()
        self._say(ConferenceChange.JOINED, member)

    def remove(self, member: Attendee) -> None:
        """A member has gone, for whatever reason; again is harmless."""
        if member in self._waiting:
            self._waiting.remove(member)
        elif self._inside.pop(member, None) is not None:
            self._talking.discard(member)
            self._say(ConferenceChange.LEFT, member)
            self._announce(member, "conference-left")
            if self.rules.wait_for_host and member.host and not self.has_host:
                self._send_out()
        if not self._inside and not self._waiting and not self.room.closed:
            self.record(False)
            self.room.close()
            self._say(ConferenceChange.CLOSED)
            self._on_empty(self)

    def _send_out(self) -> None:
        """Its only host has gone: the others wait for the next one."""
        self.record(False)
        patient, self._inside = list(self._inside), {}
        self._talking.clear()
        self._waiting += patient
        for member in patient:
            member.wait()

    def _announce(self, member: Attendee, prompt: str) -> None:
        if not self._inside or self.rules.announce is Announce.NONE:
            return
        if self.rules.announce is Announce.BEEP or member.name is None:
            self.play(Signal(Tone.BEEP))
            return
        named = member.name
        self._prepare((Prompt(prompt, (("name", ""),)),), lambda clips: self._play([named, *clips]))

    # ---- what members and the API ask for

    def mute(self, member: Attendee, muted: bool) -> None:
        self._change(member, muted=muted)

    def deafen(self, member: Attendee, deaf: bool) -> None:
        """It hears nobody, or everybody again."""
        self._change(member, hears=0 if deaf else Membership().hears)

    def turn(self, member: Attendee, gain_db: float) -> None:
        """How loud the others hear it, -24 to 12 dB."""
        self._change(member, gain_db=min(max(gain_db, QUIETEST_DB), LOUDEST_DB))

    def mute_all(self, muted: bool) -> None:
        """Everybody but the hosts."""
        for member in self.members:
            if not member.host:
                self.mute(member, muted)

    def lock(self, locked: bool) -> None:
        """Nobody else comes in."""
        if self.locked is not locked:
            self.locked = locked
            self._say(ConferenceChange.CHANGED)

    def record(self, on: bool) -> None:
        """Records what all say together, or stops that. Raises Unavailable: nobody records here, or the disk is
        full."""
        if not on:
            if self.recording is not None and self._recorder is not None:
                self._recorder.stop_room(self.recording)
            return
        if self.recording is not None:
            return
        if self._recorder is None:
            raise Unavailable("nobody records here")
        self.recording = self._recorder.begin_room(self.account_id, self.name, self.room, self._recording_ended)
        self._say(ConferenceChange.CHANGED)

    def kick(self, member: Attendee) -> None:
        member.dismiss(Prompt("conference-kicked"), "removed from the conference")

    def end(self) -> None:
        """Sends everybody away."""
        for member in (*self._inside, *self._waiting):
            member.dismiss(Prompt("conference-ended"), "the conference was ended")

    def play(self, *lines: Line) -> None:
        """Plays to all who are inside."""
        self._prepare(lines, self._play)

    def talking(self, member: Attendee, talks: bool) -> None:
        """Wire heard somebody begin or stop to speak."""
        if member not in self._inside or (member in self._talking) is talks:
            return
        (self._talking.add if talks else self._talking.discard)(member)
        self._say(ConferenceChange.TALKING if talks else ConferenceChange.SILENT, member)

    def membership(self, member: Attendee) -> Membership:
        """A member's part. Raises KeyError when it is not inside."""
        return self._inside[member]

    # ---- inside

    def _record_by_rule(self) -> None:
        try:
            self.record(True)
        except Unavailable as error:
            log.warning("the conference %s is not recorded: %s", self.name, error.message)

    def _recording_ended(self) -> None:
        self.recording = None
        self._say(ConferenceChange.CHANGED)

    def _change(self, member: Attendee, **changes: float | bool) -> None:
        part = replace(self._inside[member], **changes)  # type: ignore[arg-type]
        if part != self._inside[member]:
            self._inside[member] = part
            member.enter(self.room, part)
            self._say(ConferenceChange.CHANGED, member)

    def _prepare(self, lines: tuple[Line, ...], play: Callable[[list[Clip]], None]) -> None:
        def ready(clips: list[Clip] | Unreadable) -> None:
            if not isinstance(clips, Unreadable):
                play(clips)

        self._facilities.studio.prepare(lines, self._facilities.language, 8000, ready)

    def _play(self, clips: list[Clip]) -> None:
        if not self.room.closed:
            self.room.play(clips)

    def _say(self, change: ConferenceChange, member: Attendee | None = None) -> None:
        call_id = member.call_id if member is not None else ""
        self._bus.publish(ConferenceChanged(change, self.account_id, self.name, call_id))
