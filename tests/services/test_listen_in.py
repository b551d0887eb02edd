"""Listening in by dialling *55 and a number, in virtual time: who may, whose call it is, what the digits do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from pbxd.calls.call import Call
from pbxd.calls.leg import Leg
from pbxd.calls.record import CallRecord, Result, Role
from pbxd.calls.stage import Act
from pbxd.config.accounts import ListenRight
from pbxd.directory.model import Extension, ExtensionKind, User
from pbxd.services.live import ListenerView, ListenIn, ListenMode
from pbxd.sip.errors import SdpError
from pbxd.trace.entries import Note
from tests.calls.conftest import house
from tests.calls.house import House
from tests.services.test_live import Office

__all__ = ["house"]

BARGE, WHISPER, MONITOR, NONE = ListenRight.BARGE, ListenRight.WHISPER, ListenRight.MONITOR, ListenRight.NONE


class Supervised(Office):
    """The boss dials in to hear the call of 1002, as one whose right is `right`; None is a stranger."""

    def __init__(self, house: House, folder: Path) -> None:
        super().__init__(house, folder)
        self.right: ListenRight | None = BARGE
        house.acts[ExtensionKind.LISTEN] = self.act
        self.talking = self.call()

    def act(self, extension: Extension, record: CallRecord) -> Act:
        return ListenIn(self.live, lambda _arrival: self.who(), record.called.removeprefix(extension.number))

    def who(self) -> User | None:
        directory = self.house.directory
        found = directory.user(directory.default_account, "1012")
        return replace(found, listen_in=self.right) if found is not None and self.right is not None else None

    def dials(self, number: str) -> Call:
        self.boss.number = number
        self.boss.codecs = "0"
        self.boss >> "INVITE" >> self.house >> 100 >> self.boss
        self.house >> 200 >> self.boss >> "ACK" >> self.house
        self.house.wire.after(0.1)
        return list(self.house.switch.calls.values())[-1]

    def is_refused(self, number: str, status: int) -> str | None:
        """Why."""
        self.boss.number = number
        self.boss >> "INVITE" >> self.house >> 100 >> self.boss
        self.house >> status >> self.boss >> "ACK" >> self.house
        record = self.house.records.pop()
        assert (record.sip_status, record.result) == (status, Result.CLIENT)
        return record.reason

    @property
    def listener(self) -> ListenerView:
        (seen,) = self.live.view(self.talking).listeners
        return seen

    def press(self, spy: Call, digits: str) -> None:
        assert spy.stage is not None
        for digit in digits:
            spy.stage.press(digit, self.house.wire.now)
        self.house.wire.after(5)


@pytest_asyncio.fixture
async def office(house: House, tmp_path: Path) -> AsyncIterator[Supervised]:
    yield Supervised(house, tmp_path)


async def test_who_may_hears_the_call_of_the_number_and_is_heard_by_digits(office: Supervised) -> None:
    spy = office.dials("*551002")
    assert office.listener == ListenerView(spy.record.id, "1012", ListenMode.MONITOR, Role.CALLEE, True)
    stage = spy.stage
    assert stage is not None
    room = stage.room
    assert len(room.members) == 3
    for digit, mode in (("4", ListenMode.WHISPER), ("5", ListenMode.BARGE), ("6", ListenMode.MONITOR)):
        office.press(spy, digit)
        assert office.listener.mode is mode
        part = room.membership(stage.leg.media)
        assert (part.muted, part.keeps_digits) == (mode is ListenMode.MONITOR, True)
    office.press(spy, "9")
    assert office.listener.mode is ListenMode.MONITOR
    entries = office.house.recording(office.talking).entries
    told = [entry.text for entry in entries if isinstance(entry, Note) and "1012" in entry.text]
    assert told == [
        "1012 listens in: monitor",
        "1012 goes over to whisper",
        "1012 goes over to barge",
        "1012 goes over to monitor",
    ]
    office.boss.session.hangup(office.house.wire.now)
    office.house.wire.after(5)
    assert (office.live.listeners, office.rooms) == (0, 0), "the two are relayed again"
    office.hang_up()
    assert office.house.empty()


@pytest.mark.parametrize(
    ("right", "reached"),
    [
        (MONITOR, [ListenMode.MONITOR, ListenMode.MONITOR]),
        (WHISPER, [ListenMode.WHISPER, ListenMode.WHISPER]),
        (BARGE, [ListenMode.WHISPER, ListenMode.BARGE]),
    ],
)
async def test_nobody_goes_further_than_allowed(
    office: Supervised, right: ListenRight, reached: list[ListenMode]
) -> None:
    office.right = right
    spy = office.dials("*551002")
    seen = []
    for digit in "45":
        office.press(spy, digit)
        seen.append(office.listener.mode)
    assert seen == reached


@pytest.mark.parametrize("right", [NONE, None])
async def test_nobody_may_unless_it_is_said(office: Supervised, right: ListenRight | None) -> None:
    office.right = right
    assert office.is_refused("*551002", 403) == "bench may not listen in"
    assert office.is_refused("*55", 403) == "bench may not listen in"
    assert (office.live.listeners, office.rooms) == (0, 0)


async def test_what_cannot_be_listened_to_is_said_with_its_status(office: Supervised) -> None:
    assert office.is_refused("*557777", 404) == "there is no phone 7777"
    assert office.is_refused("*551011", 480) == "1011 is not in a call with anybody"
    office.alice.session.hangup(office.house.wire.now)
    office.house.wire.after(5)
    assert office.is_refused("*551002", 480) == "1002 is not in a call with anybody"


async def test_the_code_alone_asks_for_the_number(office: Supervised) -> None:
    spy = office.dials("*55")
    assert office.live.listeners == 0
    office.press(spy, "1011#")
    office.press(spy, "1002#")
    assert (office.listener.call_id, office.listener.mode) == (spy.record.id, ListenMode.MONITOR)
    office.hang_up()
    ended = {record.called: record.reason for record in office.house.records}
    assert ended["*55"] == "the call that was listened to has ended"
    assert office.house.empty()


async def test_one_who_names_nobody_is_let_go(office: Supervised) -> None:
    spy = office.dials("*55")
    for _ in range(3):
        office.press(spy, "1011#")
    office.house.wire.after(30)
    office.house.facilities.media.events()
    assert office.live.listeners == 0
    office.hang_up()


async def test_one_whose_call_cannot_be_answered_stays_in_no_list(
    office: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office.live, "_forget_listener", lambda _call_id: None)  # it leaves by itself
    monkeypatch.setattr("pbxd.calls.leg.Leg._answer_first_offer", _unanswerable)
    office.boss.number = "*551002"
    office.boss >> "INVITE" >> office.house >> 100 >> office.boss
    office.house >> 488 >> office.boss >> "ACK" >> office.house
    assert office.live.listeners == 0
    assert office.live.view(office.talking).listeners == ()
    office.hang_up()
    assert office.house.empty()


def _unanswerable(_leg: Leg, _now: float) -> bytes:
    raise SdpError("there is no codec that both know")
