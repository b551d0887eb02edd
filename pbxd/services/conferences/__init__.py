"""Conferences: rooms by number, or made on the fly, where callers hear each other.

rules    what holds in a room; what others hear and see of it
room     one conference: who is in it, who waits, what all hear
member   one caller: PIN, name, star codes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from media.script import Line
from pbxd.calls.facilities import Facilities
from pbxd.services.conferences.member import Member
from pbxd.services.conferences.room import Attendee, Conference
from pbxd.services.conferences.rules import (
    Announce,
    ConferenceChange,
    ConferenceChanged,
    ConferenceRules,
    ConferenceView,
    MemberView,
    RoomRecorder,
)

__all__ = [
    "Announce",
    "Attendee",
    "Conference",
    "ConferenceChange",
    "ConferenceChanged",
    "ConferenceRules",
    "ConferenceView",
    "Conferences",
    "MemberView",
    "RoomRecorder",
]


class Conferences:
    """All rooms that somebody is in. `music` is for those who wait (account, folder of the room's own), `recorder`
    records those who want it."""

    def __init__(self, facilities: Facilities, music: Callable[[str, str | None], list[Line]]) -> None:
        self._facilities = facilities
        self._music = music
        self._open: dict[tuple[str, str], Conference] = {}
        self.recorder: RoomRecorder | None = None

    def __iter__(self) -> Iterator[Conference]:
        return iter(tuple(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    @property
    def members(self) -> int:
        """In all rooms."""
        return sum(len(conference) for conference in self._open.values())

    def get(self, account_id: str, name: str) -> Conference | None:
        """The room of that name, while somebody is in it."""
        return self._open.get((account_id, name))

    def act(
        self, account_id: str, name: str, rules: ConferenceRules, *, host: bool = False, muted: bool = False
    ) -> Member:
        """What the house does with a caller who dials the room `name`; it is opened by its first caller. One who comes
        as its `host` is asked for no PIN; one who comes `muted` may unmute."""
        facilities = self._facilities
        joined_at = facilities.wall(facilities.clock())
        own = replace(rules, pin=None, host_pin=None) if host else rules
        music = partial(self._music, account_id, rules.music)
        member = Member(own, lambda: self._room(account_id, name, rules), music, joined_at)
        member.host, member.muted = host, muted
        return member

    def attendee(self, account_id: str, name: str, call_id: str) -> tuple[Conference, Attendee] | None:
        """A member by the id of its call."""
        conference = self.get(account_id, name)
        if conference is None:
            return None
        return next(((conference, one) for one in conference.members if one.call_id == call_id), None)

    def _room(self, account_id: str, name: str, rules: ConferenceRules) -> Conference:
        found = self._open.get((account_id, name))
        if found is None:
            facilities = self._facilities
            opened_at = facilities.wall(facilities.clock())
            found = Conference(facilities, account_id, name, rules, opened_at, self._closed, self.recorder)
            self._open[account_id, name] = found
        return found

    def _closed(self, conference: Conference) -> None:
        self._open.pop((conference.account_id, conference.name), None)
