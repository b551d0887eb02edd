"""Calls in hand, in virtual time on a real wire: rooms come and go, masks are dealt, phones that listen are rung."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from media.script import Line, Prompt, Speech
from media.session import OutOfPorts
from pbxd.calls.facilities import Facilities
from pbxd.calls.record import Result, Role
from pbxd.errors import Conflict, NotFound, Overloaded, Unavailable
from pbxd.services.live import MAX_PLAYS, ListenMode, LiveSound
from pbxd.services.live.parts import Parts, listener
from pbxd.sip.flow import Destination
from tests.calls.conftest import house
from tests.calls.house import Handset, House

__all__ = ["house"]

CALLER, CALLEE = Role.CALLER, Role.CALLEE


class Office:
    """1001 calls 1002; 1012 is the supervisor."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.tunes: list[Line] = []
        switch = house.switch
        self.live = LiveSound(house.facilities, switch.calls, switch.call_out, lambda _account_id: self.tunes)
        self.live.listen(house.bus)
        self.alice, self.bob, self.boss = (Handset(house.wire, name) for name in ("alice", "bob", "boss"))
        self.boss.codecs = "96 0\r\na=rtpmap:96 opus/48000/2"

    def call(self) -> str:
        house, alice, bob = self.house, self.alice, self.bob
        house.register("1002", bob)
        alice >> "INVITE" >> house >> 100 >> alice
        house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
        bob >> 200 >> house >> "ACK" >> bob
        house >> 200 >> alice >> "ACK" >> house
        house.wire.after(1)
        return next(iter(house.switch.calls))

    def listens(self, call_id: str, mode: ListenMode) -> str:
        """The boss answers; the id of that call."""
        self.house.register("1012", self.boss)
        (seen,) = self.live.listen_in(call_id, "1012", mode, CALLEE).listeners
        assert not seen.answered
        self.house >> "INVITE" >> self.boss >> 180 >> self.house
        self.boss >> 200 >> self.house >> "ACK" >> self.boss
        return seen.call_id

    @property
    def rooms(self) -> int:
        return len(self.house.facilities.media.rooms)

    def hang_up(self) -> None:
        self.alice.session.hangup(self.house.wire.now)
        self.house.wire.after(5)


@pytest_asyncio.fixture
async def office(house: House, tmp_path: Path) -> AsyncIterator[Office]:
    yield Office(house, tmp_path)


def hears(one_hears: int, other_speaks: int) -> bool:
    return bool(one_hears & other_speaks)


@pytest.mark.parametrize(
    ("mode", "side", "caller_hears", "callee_hears"),
    [
        (ListenMode.MONITOR, CALLEE, False, False),
        (ListenMode.WHISPER, CALLEE, False, True),
        (ListenMode.WHISPER, CALLER, True, False),
        (ListenMode.BARGE, CALLEE, True, True),
    ],
)
def test_who_listens_is_heard_as_the_mode_says(
    mode: ListenMode, side: Role, caller_hears: bool, callee_hears: bool
) -> None:
    who, caller, callee = listener(mode, side), Parts().party(CALLER), Parts().party(CALLEE)
    assert hears(who.hears, caller.speaks)
    assert hears(who.hears, callee.speaks)
    assert (hears(caller.hears, who.speaks) and not who.muted) is caller_hears
    assert (hears(callee.hears, who.speaks) and not who.muted) is callee_hears
    assert hears(caller.hears, callee.speaks)
    assert hears(callee.hears, caller.speaks)


def test_one_that_is_held_hears_nobody_and_is_not_heard() -> None:
    parts = Parts(held={CALLER})
    assert (parts.party(CALLER).hears, parts.party(CALLER).muted) == (0, True)
    assert not parts.party(CALLEE).muted


async def test_the_room_is_there_while_somebody_needs_it(office: Office) -> None:
    call_id = office.call()
    assert office.rooms == 0
    assert office.live.mute(call_id, CALLER, True).muted == (CALLER,)
    assert office.live.hold(call_id, CALLEE, True).held == (CALLEE,)
    call = office.house.switch.calls[call_id]
    assert call.caller is not None
    assert call.caller.media.room is not None
    assert call.caller.media.room.membership(call.caller.media).muted
    assert office.rooms == 1
    office.live.mute(call_id, CALLER, False)
    assert office.rooms == 1
    seen = office.live.hold(call_id, CALLEE, False)
    assert (seen.muted, seen.held, office.rooms) == ((), (), 0)
    office.hang_up()
    assert office.house.empty()


async def test_whom_a_phone_holds_hears_music_and_is_not_told(office: Office) -> None:
    house, alice, bob = office.house, office.alice, office.bob
    house.facilities.limits = replace(house.facilities.limits, music_on_hold=True)
    office.tunes = [Speech("a tune for those who wait")]
    call_id = office.call()
    call = house.switch.calls[call_id]
    assert call.callee is not None
    callee = call.callee.media
    for way in ("sendonly", "inactive"):
        asked = sum(rung.receiver is bob for rung in house.wire.rungs)
        alice.direction = way
        alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
        house.wire.after(2)
        room = callee.room
        assert room is not None
        assert (room.playing, room.membership(callee).hears, room.membership(callee).muted) == (1, 0, True)
        assert office.live.view(call_id).held == (), "nobody asked the house for it"
        alice.direction = "sendrecv"
        alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
        house.wire.after(2)
        assert (callee.room, office.rooms) == (None, 0), "the two are relayed again"
        assert sum(rung.receiver is bob for rung in house.wire.rungs) == asked
    office.hang_up()
    assert office.house.empty()


async def test_who_is_held_by_the_house_and_by_a_phone_waits_for_both(office: Office) -> None:
    house, alice = office.house, office.alice
    house.facilities.limits = replace(house.facilities.limits, music_on_hold=True)
    office.tunes = [Speech("a tune for those who wait")]
    call_id = office.call()
    office.live.hold(call_id, CALLEE, True)
    alice.direction = "sendonly"
    alice >> "INVITE" >> house >> 200 >> alice >> "ACK" >> house
    office.live.hold(call_id, CALLEE, False)
    call = house.switch.calls[call_id]
    assert call.callee is not None
    room = call.callee.media.room
    assert room is not None
    assert room.playing == 1
    office.hang_up()
    assert office.house.empty()


async def test_what_is_played_ends_by_itself_and_so_does_its_room(office: Office) -> None:
    call_id = office.call()
    one = await office.live.play(call_id, [Speech("one word")], CALLER)
    assert office.live.view(call_id).playing == (one,)
    async with asyncio.timeout(5):
        while office.live.view(call_id).playing:
            office.house.facilities.media.events()
            await asyncio.sleep(0.02)
    assert office.rooms == 0
    with pytest.raises(NotFound, match="cannot be played"):
        await office.live.play(call_id, [Prompt("no-such-prompt")], None)
    for _ in range(MAX_PLAYS):
        await office.live.play(call_id, [Speech("again")], None, loop=True)
    with pytest.raises(Conflict, match="already"):
        await office.live.play(call_id, [Speech("again")], None)
    with pytest.raises(NotFound, match="of that id"):
        office.live.stop(call_id, "play_x")
    assert office.live.stop(call_id) == MAX_PLAYS
    office.hang_up()
    assert office.rooms == 0
    with pytest.raises(NotFound, match="no such call"):
        office.live.stop(call_id)


async def test_an_echo_and_a_call_that_rings_have_no_sound_to_take_in_hand(office: Office) -> None:
    office.alice.number = "600"
    office.alice >> "INVITE" >> office.house >> 100 >> office.alice
    office.house.wire.after(1)
    (call_id,) = office.house.switch.calls
    with pytest.raises(Conflict, match="echo"):
        await office.live.play(call_id, [Speech("hello")], None)
    with pytest.raises(Conflict):
        office.live.mute(call_id, CALLER, True)
    with pytest.raises(NotFound):
        office.live.mute("call_x", CALLER, True)
    office.hang_up()


async def test_a_listener_is_rung_led_in_and_hung_up_with_the_call(office: Office) -> None:
    call_id = office.call()
    listener_id = office.listens(call_id, ListenMode.WHISPER)
    office.house.wire.after(1)
    (seen,) = office.live.view(call_id).listeners
    assert (seen.call_id, seen.answered, seen.mode) == (listener_id, True, ListenMode.WHISPER)
    call, spy = office.house.switch.calls[call_id], office.house.switch.calls[listener_id]
    assert call.bridge is not None
    assert spy.stage is not None
    room = spy.stage.room
    assert len(room.members) == 3
    before = room.membership(spy.stage.leg.media)
    office.live.change_listener(call_id, listener_id, ListenMode.MONITOR, CALLEE)
    assert (before.muted, room.membership(spy.stage.leg.media).muted) == (False, True)
    assert office.live.listeners == 1
    office.hang_up()
    assert office.boss.session.ended
    assert office.house.empty()
    assert office.rooms == 0
    ended = {record.called: record for record in office.house.records}
    assert ended["1012"].caller_name == "whisper bench"
    assert ended["1012"].result is Result.SUCCESS


async def test_who_listens_hangs_up_and_the_two_are_relayed_again(office: Office) -> None:
    call_id = office.call()
    office.listens(call_id, ListenMode.BARGE)
    office.house.wire.after(1)
    office.boss.session.hangup(office.house.wire.now)
    office.house.wire.after(5)
    assert office.live.view(call_id).listeners == ()
    assert office.rooms == 0
    assert list(office.house.switch.calls) == [call_id]
    office.hang_up()


async def test_one_who_does_not_answer_listens_to_nothing(office: Office) -> None:
    call_id = office.call()
    office.house.register("1012", office.boss)
    office.live.listen_in(call_id, "1012", ListenMode.MONITOR, CALLEE)
    office.house >> "INVITE" >> office.boss >> 486 >> office.house >> "ACK" >> office.boss
    assert office.live.view(call_id).listeners == ()
    assert office.rooms == 0
    office.live.listen_in(call_id, "1012", ListenMode.MONITOR, CALLEE)
    office.hang_up()  # while it rings
    assert office.house.empty()


def _out_of_ports(_facilities: Facilities, _peer: Destination) -> None:
    raise OutOfPorts("none is free")


async def test_who_cannot_be_rung_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    call_id = office.call()
    live = office.live
    with pytest.raises(Unavailable, match="registered"):
        live.listen_in(call_id, "1012", ListenMode.MONITOR, CALLEE)
    with pytest.raises(NotFound, match="no extension"):
        live.listen_in(call_id, "600", ListenMode.MONITOR, CALLEE)
    with pytest.raises(Conflict, match="in the call"):
        live.listen_in(call_id, "1002", ListenMode.MONITOR, CALLEE)
    with pytest.raises(NotFound, match="nobody"):
        live.change_listener(call_id, "call_x", ListenMode.BARGE, CALLEE)
    with pytest.raises(NotFound, match="nobody"):
        live.end_listener(call_id, "call_x")
    office.house.register("1012", office.boss)
    with monkeypatch.context() as patch:
        patch.setattr(Facilities, "open_media", _out_of_ports)
        with pytest.raises(Unavailable, match="could not be called"):
            live.listen_in(call_id, "1012", ListenMode.MONITOR, CALLEE)
    office.house.admission.draining = True
    with pytest.raises(Overloaded):
        live.listen_in(call_id, "1012", ListenMode.MONITOR, CALLEE)
    assert office.rooms == 0
    office.hang_up()
