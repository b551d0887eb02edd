"""Where calls go that their first destination does not take: forwards, groups, hours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dialplan.hours import Opening
from pbxd.calls.call import Fallback
from pbxd.calls.identity import Caller, shown_outside
from pbxd.calls.record import Result
from pbxd.directory.model import Trunk, User
from tests.calls.house import Handset, House
from tests.calls.test_call import phones
from tests.calls.test_fallback import Machine


def dials(house: House, number: str, **users: str) -> list[Handset]:
    """A caller by the trunk, who has just dialled `number`, and phones by name, each registered for its user."""
    alice, *others = phones(house, "alice", *users)
    for phone, user in zip(others, users.values(), strict=True):
        house.register(user, phone)
    alice.number = number
    alice >> "INVITE" >> house >> 100 >> alice
    return [alice, *others]


def takes(house: House, callee: Handset, alice: Handset) -> None:
    """A phone is rung, and answers."""
    house >> "INVITE" >> callee >> 200 >> house >> "ACK" >> callee
    house >> 200 >> alice >> "ACK" >> house


def hangs_up(house: House, alice: Handset, callee: Handset) -> None:
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> callee >> 200 >> house
    assert house.record.result is Result.SUCCESS
    assert house.empty()


async def test_all_calls_go_on(house: House) -> None:
    alice, bob = dials(house, "1021", bob="1002")
    takes(house, bob, alice)
    hangs_up(house, alice, bob)


async def test_a_busy_user_sends_calls_on(house: House) -> None:
    alice, bob, carol = dials(house, "1022", bob="1002", carol="1022")
    house >> "INVITE" >> carol >> 486 >> house >> "ACK" >> carol
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    hangs_up(house, alice, bob)


async def test_a_user_who_is_not_busy_does_not_send_calls_on_as_if_he_were(house: House) -> None:
    alice, carol = dials(house, "1022", carol="1022")
    house >> "INVITE" >> carol >> 603 >> house >> "ACK" >> carol
    house >> 603 >> alice >> "ACK" >> house
    assert house.empty()


async def test_what_nobody_takes_goes_on_when_its_time_has_come(house: House) -> None:
    alice, bob, carol = dials(house, "1023", bob="1002", carol="1023")
    house >> "INVITE" >> carol >> 180 >> house >> 180 >> alice
    house.wire.after(7.0)
    house >> "CANCEL" >> carol >> 200 >> house
    takes(house, bob, alice)
    carol >> 487 >> house >> "ACK" >> carol
    hangs_up(house, alice, bob)


async def test_a_user_without_a_phone_sends_calls_on_at_once(house: House) -> None:
    alice, bob = dials(house, "1023", bob="1002")
    takes(house, bob, alice)
    hangs_up(house, alice, bob)


async def test_where_the_forward_fails_the_caller_hears_why(house: House) -> None:
    (alice,) = dials(house, "1023")
    house >> 480 >> alice >> "ACK" >> house
    assert house.record.reason == "nobody took the call"
    assert house.empty()


async def test_the_mailbox_takes_what_a_forward_does_not(house: House) -> None:
    machine = Machine()
    house.switch.fallback = lambda user, _record: Fallback(5.0, machine) if user.name == "1023" else None
    alice, bob = dials(house, "1023", bob="1002")
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert machine.statuses == [486]


async def test_who_is_not_to_be_disturbed_is_busy(house: House) -> None:
    alice, _ = dials(house, "1024", bob="1024")
    house >> 486 >> alice >> "ACK" >> house
    assert house.record.reason == "the user is not to be disturbed"
    assert house.empty()


async def test_a_group_rings_all_at_once(house: House) -> None:
    alice, bob, carol = dials(house, "12025550120", bob="1002", carol="1001")
    house >> "INVITE" >> carol >> 180 >> house >> 180 >> alice
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> "CANCEL" >> carol >> 200 >> house
    house >> 200 >> alice >> "ACK" >> house
    carol >> 487 >> house >> "ACK" >> carol
    hangs_up(house, alice, bob)


async def test_a_group_that_rings_in_turn_ends_where_it_says(house: House) -> None:
    alice, bob, carol = dials(house, "+12025550121", bob="1002", carol="1001")
    house >> "INVITE" >> carol >> 486 >> house >> "ACK" >> carol
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> 488 >> alice >> "ACK" >> house
    assert house.record.reason == "a call cannot be forwarded to an echo"


def test_providers_are_told_the_number_of_the_user_or_of_the_trunk() -> None:
    trunk = Trunk("trk", "acc", "out", "sip:192.0.2.1", cid_number="+12025550199")
    user = User("usr", "acc", "1025", "Shop", out_cid_number="+12025550124", out_cid_name="The shop")
    caller = Caller("1025", "Carol", private=True)
    assert shown_outside(caller, user, trunk) == Caller("+12025550124", "The shop", private=True)
    assert shown_outside(caller, replace(user, out_cid_number=None, out_cid_name=""), trunk) == Caller(
        "+12025550199", "Carol", private=True
    )
    assert shown_outside(caller, None, replace(trunk, cid_number=None)) == caller


@pytest.mark.parametrize(("opening", "status"), [(Opening.CLOSED, 603), (Opening.OPEN, 480), (None, 480)])
async def test_hours_decide_on_live_calls(house: House, opening: Opening | None, status: int) -> None:
    house.switch.hours = lambda _account, name: opening if name == "shop" else None
    (alice,) = dials(house, "0012025550122")
    house >> status >> alice >> "ACK" >> house
    assert house.record.sip_status == status
