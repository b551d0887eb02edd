"""Who is let in, who waits, who is told: the rules of a conference, without phones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from media.rooms import Clip, Membership, Room
from media.script import Line, Prompt
from pbxd.directory.accounts import Directory
from pbxd.services.conferences.room import LOUDEST_DB, QUIETEST_DB, Conference
from pbxd.services.conferences.rules import (
    Announce,
    ConferenceChange,
    ConferenceChanged,
    ConferenceRules,
    MemberView,
)
from pbxd.store import Store
from tests.calls.house import WALL, House, config_in
from tests.clients.block import Block
from tests.wire import Wire


@dataclass(eq=False)
class Guest:
    """An attendee that writes down what happens to it."""

    call_id: str
    host: bool = False
    muted: bool = False
    name: Clip | None = None
    joined_at: float = 0.0
    log: list[str] = field(default_factory=list)
    part: Membership | None = None

    def view(self, membership: Membership) -> MemberView:
        deaf = membership.hears == 0
        return MemberView(
            self.call_id, "1", "", self.host, membership.muted, deaf, membership.gain_db, talking=False, joined_at=0.0
        )

    def enter(self, room: Room, membership: Membership) -> None:
        self.part = membership
        self.log.append("inside")

    def wait(self) -> None:
        self.log.append("waits")

    def hear(self, *lines: Line) -> None:
        self.log += [line.name for line in lines if isinstance(line, Prompt)]

    def dismiss(self, line: Line, reason: str) -> None:
        self.log.append(reason)


class Stand:
    """A conference, what was said about it on the bus, and whether it is over."""

    def __init__(self, house: House, rules: ConferenceRules) -> None:
        self.said: list[tuple[ConferenceChange, str]] = []
        house.bus.subscribe(ConferenceChanged, lambda event: self.said.append((event.change, event.call_id)))
        self.over: list[Conference] = []
        self.conference = Conference(house.facilities, "acc_1", "700", rules, WALL, self._ended)

    def _ended(self, conference: Conference) -> None:
        self.over.append(conference)

    def changes(self) -> list[ConferenceChange]:
        said, self.said = self.said, []
        return [change for change, _ in said]


@pytest_asyncio.fixture
async def house(tmp_path: Path, store_url: str, block: Block) -> AsyncIterator[House]:
    config = config_in(tmp_path)
    store = await Store.open(store_url)
    directory = await Directory.load(store, config, WALL)
    house = House(Wire(), directory, store, config, block.rtp_pool(), tmp_path)
    yield house
    house.facilities.media.close()
    house.mover.close()
    await store.close()


async def test_a_room_lives_as_long_as_somebody_is_in_it(house: House) -> None:
    stand = Stand(house, ConferenceRules())
    one, other = Guest("one"), Guest("other")
    stand.conference.admit(one)
    stand.conference.admit(other)
    assert one.log == ["inside", "conference-alone"]
    assert other.log == ["inside"]
    stand.conference.remove(one)
    stand.conference.remove(one)
    assert not stand.over
    stand.conference.remove(other)
    assert stand.over
    assert stand.conference.room.closed
    change = ConferenceChange
    assert stand.changes() == [change.OPENED, change.JOINED, change.JOINED, change.LEFT, change.LEFT, change.CLOSED]


async def test_members_wait_for_a_host_and_again_when_the_last_one_goes(house: House) -> None:
    stand = Stand(house, ConferenceRules(host_pin="0815", wait_for_host=True))
    guest, host = Guest("guest"), Guest("host", host=True)
    stand.conference.admit(guest)
    assert (guest.log, len(stand.conference), stand.conference.view().waiting) == (["waits"], 0, 1)
    stand.conference.admit(host)
    assert guest.log == ["waits", "inside"]
    stand.conference.remove(host)
    assert guest.log == ["waits", "inside", "waits"]
    assert not stand.over
    stand.conference.remove(guest)
    assert stand.over


async def test_who_waits_counts_for_the_size_of_the_room(house: House) -> None:
    stand = Stand(house, ConferenceRules(host_pin="0815", wait_for_host=True, max_members=2))
    stand.conference.admit(Guest("one"))
    assert not stand.conference.full
    stand.conference.admit(Guest("two"))
    assert stand.conference.full


async def test_members_join_muted_where_the_rules_say_so_and_hosts_do_not(house: House) -> None:
    stand = Stand(house, ConferenceRules(muted=True))
    guest, host = Guest("guest"), Guest("host", host=True)
    stand.conference.admit(guest)
    stand.conference.admit(host)
    assert [one.part.muted for one in (guest, host) if one.part] == [True, False]
    stand.conference.mute_all(False)
    assert guest.part is not None
    assert not guest.part.muted


async def test_mute_deafen_and_volume_are_seen_by_others(house: House) -> None:
    stand = Stand(house, ConferenceRules())
    guest = Guest("guest")
    stand.conference.admit(guest)
    stand.changes()
    stand.conference.mute(guest, True)
    stand.conference.deafen(guest, True)
    stand.conference.turn(guest, 100.0)
    stand.conference.turn(guest, 100.0)
    assert guest.part == Membership(muted=True, hears=0, gain_db=LOUDEST_DB)
    assert stand.changes() == [ConferenceChange.CHANGED] * 3
    (view,) = stand.conference.view().members
    assert (view.muted, view.deaf, view.gain_db) == (True, True, LOUDEST_DB)
    stand.conference.turn(guest, -100.0)
    stand.conference.deafen(guest, False)
    assert guest.part == Membership(muted=True, gain_db=QUIETEST_DB)


async def test_talking_is_told_once_each_way(house: House) -> None:
    stand = Stand(house, ConferenceRules())
    guest = Guest("guest")
    stand.conference.admit(guest)
    stand.changes()
    for talks in (True, True, False, False):
        stand.conference.talking(guest, talks)
    assert stand.said == [(ConferenceChange.TALKING, "guest"), (ConferenceChange.SILENT, "guest")]
    stand.conference.talking(Guest("stranger"), True)
    assert len(stand.said) == 2


async def test_everybody_is_sent_away_at_the_end(house: House) -> None:
    stand = Stand(house, ConferenceRules(host_pin="0815", wait_for_host=True))
    guests = [Guest("one"), Guest("two")]
    for guest in guests:
        stand.conference.admit(guest)
    stand.conference.end()
    assert [guest.log[-1] for guest in guests] == ["the conference was ended"] * 2


@pytest.mark.parametrize("announce", list(Announce))
async def test_coming_is_announced_as_the_rules_say(house: House, announce: Announce) -> None:
    stand = Stand(house, ConferenceRules(announce=announce))
    stand.conference.admit(Guest("one"))
    name = Clip(b"\0\0" * 800, 8000)
    stand.conference.admit(Guest("two", name=name))
    playing = stand.conference.room.playing
    assert playing == (0 if announce is Announce.NONE else 1)


async def test_the_options_of_an_extension_are_the_rules(house: House) -> None:
    options = {"pin": "4711", "host_pin": None, "announce": "name", "max_members": 5}
    assert ConferenceRules.of(options) == ConferenceRules(pin="4711", announce=Announce.NAME, max_members=5)
