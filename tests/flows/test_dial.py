"""Flows that call somebody: who rings, what the caller hears, and how the flow goes on."""

from __future__ import annotations

import pytest

from dialplan.state import Ending
from pbxd.calls.limits import Claims, Ticket
from pbxd.calls.record import Direction, Result, Role
from tests.calls.house import Handset
from tests.flows.stagehand import Stagehand
from tests.sip.party import nothing_left

ANSWERED_FIRST = """
parts:
  begin:
    - say: Welcome.
    - dial: 1002
      timeout: 20s
      on_answered: after
      on_busy: busy
      on_no_answer: nobody
      on_declined: declined
      on_unreachable: away
      on_failed: failed
  after: [say: Goodbye.]
  busy: [say: Busy.]
  nobody: [say: Nobody.]
  declined: [say: Declined.]
  away: [say: Away.]
  failed: [say: Failed.]
"""
AT_ONCE = """
parts:
  begin:
    - dial: 1002
      timeout: 20s
"""


def phone(hand: Stagehand, name: str, user: str) -> Handset:
    found = Handset(hand.house.wire, name)
    hand.house.register(user, found)
    return found


async def test_an_answer_is_a_bridge_and_the_flow_goes_on_when_the_callee_has_left(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(ANSWERED_FIRST)
    alice = hand.talk_to()
    hand.heard()
    house >> "INVITE" >> bob >> 180 >> house
    assert hand.saying == "<ringback>"
    assert hand.hall.now is not None
    assert hand.hall.now.looped
    bob >> 200 >> house >> "ACK" >> bob
    assert hand.saying == ""
    assert hand.bridged
    house.wire.after(7)
    hand.press("12")  # a digit into a conversation is the other side's
    assert hand.at == "main/begin.2"
    bob >> "BYE" >> house >> 200 >> bob
    assert hand.saying == "Goodbye."
    hand.heard()
    house >> "BYE" >> alice >> 200 >> house
    record = house.record
    assert [(leg.role, leg.party) for leg in record.legs] == [(Role.CALLER, "anyone"), (Role.CALLEE, "1002")]
    assert house.empty()
    assert nothing_left(house.wire, alice, bob)


async def test_a_caller_who_is_only_rung_through_is_answered_by_who_answers(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(AT_ONCE)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    bob >> 200 >> house
    house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    bob >> "BYE" >> house >> 200 >> bob
    house >> "BYE" >> alice >> 200 >> house
    record = house.record
    assert (record.result, record.ended_by, record.reason) == (Result.SUCCESS, "callee", "the callee hung up")
    assert [act.ending for act in hand.over] == [Ending.HUNG_UP]
    assert house.empty()


async def test_the_caller_hangs_up_a_conversation(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(AT_ONCE)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 200 >> house
    house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    assert (house.record.result, house.record.ended_by) == (Result.SUCCESS, "caller")
    assert [act.ending for act in hand.over] == [Ending.CALLER_LEFT]
    assert house.empty()


@pytest.mark.parametrize(
    ("status", "said"),
    [(486, "Busy."), (480, "Nobody."), (603, "Declined."), (404, "Away."), (500, "Failed."), (302, "Away.")],
)
async def test_what_came_of_it_leads_on(hand: Stagehand, status: int, said: str) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(ANSWERED_FIRST)
    hand.talk_to()
    hand.heard()
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    assert hand.saying == said


async def test_nobody_answers_in_time(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(ANSWERED_FIRST)
    hand.talk_to()
    hand.heard()
    house >> "INVITE" >> bob >> 180 >> house
    house.wire.after(21)
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    assert hand.saying == "Nobody."


@pytest.mark.parametrize(("status", "heard"), [(486, 486), (603, 603), (480, 480)])
async def test_a_caller_who_was_never_answered_is_told_what_came_of_it(
    hand: Stagehand, status: int, heard: int
) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(AT_ONCE)
    alice = hand.dial()
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    house >> heard >> alice >> "ACK" >> house
    assert house.record.result is Result.UPSTREAM
    assert house.empty()


async def test_nobody_is_registered(hand: Stagehand) -> None:
    hand.write(ANSWERED_FIRST)
    hand.talk_to()
    hand.heard()
    assert hand.saying == "Away."


async def test_a_group_rings_one_after_the_other(hand: Stagehand) -> None:
    house = hand.house
    bob, carol = phone(hand, "bob", "1002"), phone(hand, "carol", "1001")
    hand.write("parts:\n  begin:\n    - dial: [1002, 1001]\n      strategy: sequential\n      timeout: 5s\n")
    alice = hand.dial()
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    house.wire.after(5)
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    bob >> 487 >> house >> "ACK" >> bob
    house >> "INVITE" >> carol >> 200 >> house
    house >> 200 >> alice >> "ACK" >> house
    assert hand.call.callee is not None
    assert hand.call.callee.record.party == "1001"


async def test_all_at_once_and_the_first_to_answer_has_the_call(hand: Stagehand) -> None:
    house = hand.house
    bob, carol = phone(hand, "bob", "1002"), phone(hand, "carol", "1001")
    hand.write("parts:\n  begin:\n    - dial: [1002, 1001]\n")
    alice = hand.dial()
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    house >> "INVITE" >> carol >> 180 >> house
    carol >> 200 >> house >> "ACK" >> carol
    house >> "CANCEL" >> bob >> "200 CANCEL" >> house
    house >> 180 >> alice
    house >> 200 >> alice >> "ACK" >> house
    assert hand.call.callee is not None
    assert hand.call.callee.record.party == "1001"


async def test_turns_are_taken_in_rotation(hand: Stagehand) -> None:
    house = hand.house
    phone(hand, "bob", "1002"), phone(hand, "carol", "1001")
    hand.write("parts:\n  begin:\n    - dial: [1002, 1001]\n      strategy: round_robin\n")
    first = []
    for _ in range(3):
        alice = hand.dial()
        first.append(next(leg.party for leg in hand.call.record.legs if leg.role is Role.CALLEE))
        alice >> "CANCEL" >> house
        house.wire.after(40)
        assert house.empty()
    assert first == ["1002", "1001", "1002"]


SCREENED = """
parts:
  begin:
    - dial: [1002, 1001]
      announce: Call from ${caller.number}.
      confirm: Press 1.
      on_declined: [hangup: rejected]
"""


async def test_who_answers_is_asked_and_the_others_go_on_ringing(hand: Stagehand) -> None:
    house = hand.house
    bob, carol = phone(hand, "bob", "1002"), phone(hand, "carol", "1001")
    hand.write(SCREENED)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
    house >> "INVITE" >> carol >> 180 >> house >> 180 >> alice
    bob >> 200 >> house >> "ACK" >> bob
    assert hand.saying == "Call from bench. Press 1."
    bob >> "BYE" >> house >> 200 >> bob  # a mailbox, say
    carol >> 200 >> house >> "ACK" >> carol
    assert hand.saying == "Call from bench. Press 1."
    hand.press_at("1001", "1")
    house >> 200 >> alice >> "ACK" >> house
    assert hand.call.callee is not None
    assert hand.call.callee.record.party == "1001"
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> carol >> 200 >> house
    assert house.empty()


async def test_a_call_that_nobody_accepts_is_declined(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(SCREENED)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    for _ in range(3):
        assert hand.saying.endswith("Press 1.")
        hand.heard()
        house.wire.after(6.1)
    house >> "BYE" >> bob >> 200 >> house
    house >> 603 >> alice >> "ACK" >> house
    assert house.empty()


async def test_the_caller_gives_up_while_somebody_is_asked(hand: Stagehand) -> None:
    house = hand.house
    bob, carol = phone(hand, "bob", "1002"), phone(hand, "carol", "1001")
    hand.write(SCREENED)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    house >> "INVITE" >> carol >> 180 >> house >> 180 >> alice
    alice >> "CANCEL" >> house >> "200 CANCEL" >> alice
    house >> "BYE" >> bob >> 200 >> house
    house >> "CANCEL" >> carol >> "200 CANCEL" >> house
    house.wire.after(40)
    assert [act.ending for act in hand.over] == [Ending.CALLER_LEFT]
    assert house.empty()


TRUNKS = """
parts:
  begin:
    - dial: 0301234
      trunk: [out, wide]
      timeout: 20s
      caller_id: "4930999"
      caller_name: Reception
"""


async def test_a_trunk_that_fails_is_followed_by_the_next(hand: Stagehand) -> None:
    house = hand.house
    alice = Handset(house.wire, "alice")
    gateway = Handset(house.wire, "gateway")  # 10.0.0.3, where both trunks lead
    hand.write(TRUNKS)
    alice.number = "500"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> gateway >> 503 >> house >> "ACK" >> gateway
    invite = next(rung.data for rung in house.wire.rungs if rung.label == "INVITE" and rung.receiver is gateway)
    assert invite.startswith(b"INVITE sip:0301234@10.0.0.3")
    assert b'From: "Reception" <sip:4930999@lab.test>' in invite
    house >> "INVITE" >> gateway >> 200 >> house
    house >> 200 >> alice >> "ACK" >> house
    assert [leg.party for leg in house.switch.calls[hand.act.record.id].record.legs] == ["anyone", "out", "wide"]


async def test_what_a_caller_pressed_may_not_go_where_they_could_not_dial(hand: Stagehand) -> None:
    """A menu is no free way to anywhere: `anyone` of the tests is a trunk; without transit it may not call out."""
    hand.write(
        "variables: {to: '8001'}\nparts:\n  begin:\n    - dial: ${to}\n      on_declined: [say: No.]\n"
        "      on_failed: [say: F.]\n      on_unreachable: [say: U.]\n"
    )
    hand.dial()
    assert len(hand.call.record.legs) == 2  # a trunk with transit may
    hand.call.hangup(hand.house.wire.now)
    arrival_trunk = hand.house.directory.trunk(hand.house.directory.default_account, "anyone")
    assert arrival_trunk is not None
    object.__setattr__(arrival_trunk, "transit", False)
    hand.dial()
    assert hand.at.startswith("main/begin.1.on_declined")
    object.__setattr__(arrival_trunk, "transit", True)


async def test_early_sound_of_the_far_side_reaches_the_caller(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(AT_ONCE)
    alice = hand.dial()
    house >> "INVITE" >> bob >> 183 >> house
    house >> (183 if b"v=0" in bob.last(183).body else 180) >> alice


@pytest.mark.parametrize("ringback", ["music", "silence"])
async def test_music_instead_of_ringing_opens_the_callers_ears(hand: Stagehand, ringback: str) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(f"parts:\n  begin:\n    - dial: 1002\n      ringback: {ringback}\n")
    alice = hand.dial()
    house >> "INVITE" >> bob
    house >> 183 >> alice
    assert hand.saying == ("(music)" if ringback == "music" else "")
    bob >> 200 >> house >> "ACK" >> bob
    house >> 200 >> alice >> "ACK" >> house
    assert hand.saying == ""


async def test_a_trunk_without_a_free_line_is_passed_over(hand: Stagehand) -> None:
    house = hand.house
    alice = Handset(house.wire, "alice")
    gateway = Handset(house.wire, "gateway")
    busy = house.switch.gate.limits.admit(
        Claims("other", house.directory.default_account.id, Direction.OUTBOUND, trunks=("out",)), 0
    )
    assert isinstance(busy, Ticket)
    hand.desk.hold = house.switch.gate.hold
    hand.write(TRUNKS)
    alice.number = "500"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> gateway
    assert [leg.party for leg in hand.call.record.legs] == ["anyone", "wide"]


async def test_a_hold_that_the_callee_leaves_behind_is_taken_back(hand: Stagehand) -> None:
    house = hand.house
    bob = phone(hand, "bob", "1002")
    hand.write(ANSWERED_FIRST)
    alice = hand.talk_to()
    hand.heard()
    house >> "INVITE" >> bob >> 200 >> house >> "ACK" >> bob
    bob.direction = "sendonly"
    bob >> "INVITE" >> house >> 200 >> bob >> "ACK" >> house
    house >> "INVITE" >> alice >> 200 >> house >> "ACK" >> alice
    bob >> "BYE" >> house >> 200 >> bob
    house >> "INVITE" >> alice
    rungs = [rung.data for rung in house.wire.rungs if rung.label == "INVITE" and rung.receiver is alice]
    assert b"a=sendrecv" in rungs[-1]
    assert hand.saying == "Goodbye."
