"""Hang-up at every possible step: nothing is left, whatever the flow was doing, and whoever hung up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialplan.state import Ending
from tests.calls.house import Handset
from tests.flows.stagehand import Stagehand

EVERYTHING = """
parts:
  begin:
    - play: closed
      before_answer: true
    - wait: 2s
    - http: https://crm.test/
      on_failed: next
    - answer
    - say: Welcome.
    - gather: Enter.
      save: number
      on_timeout: next
      on_invalid: next
    - record: message
      prompt: Speak.
    - conference: "700"
    - conference: "701"
    - dial: 1002
      timeout: 10s
      confirm: Press 1.
      on_answered: next
    - dial: 1002
      timeout: 10s
      on_answered: next
    - message: Hello ${number}, ${message}.
      to: 1002
    - say: Goodbye.
"""


def nothing(_hand: Stagehand, _bob: Handset) -> None:
    """Goes on by itself."""


def played(hand: Stagehand, _bob: Handset) -> None:
    hand.heard()


def waited(hand: Stagehand, _bob: Handset) -> None:
    hand.house.wire.after(2.1)


def asked(hand: Stagehand, _bob: Handset) -> None:
    hand.asked[-1].done(hand.reply)
    hand.house.wire.settle()


def entered(hand: Stagehand, _bob: Handset) -> None:
    hand.press("12#")


def spoke(hand: Stagehand, _bob: Handset) -> None:
    hand.talks(talking=True)


def ended_speaking(hand: Stagehand, _bob: Handset) -> None:
    hand.press("#")


def kicked(hand: Stagehand, _bob: Handset) -> None:
    (conference,) = hand.desk.conferences
    conference.end()


def kept_out(hand: Stagehand, _bob: Handset) -> None:
    for _ in range(3):
        hand.press("1#")


def rang(hand: Stagehand, bob: Handset) -> None:
    hand.house >> "INVITE" >> bob >> 180 >> hand.house


def answered(hand: Stagehand, bob: Handset) -> None:
    bob >> 200 >> hand.house >> "ACK" >> bob


def accepted(hand: Stagehand, _bob: Handset) -> None:
    hand.press_at("1002", "1")


def left(hand: Stagehand, bob: Handset) -> None:
    bob >> "BYE" >> hand.house >> 200 >> bob


STEPS: list[tuple[str, Callable[[Stagehand, Handset], None]]] = [
    ("begin.1", played),
    ("begin.2", waited),
    ("begin.3", asked),
    ("begin.5", played),
    ("begin.6", nothing),
    ("begin.6", entered),
    ("begin.7", played),
    ("begin.7", spoke),
    ("begin.7", ended_speaking),
    ("begin.8", kicked),
    ("begin.8", played),
    ("begin.9", nothing),
    ("begin.9", kept_out),
    ("begin.9", played),
    ("begin.10", rang),
    ("begin.10", answered),
    ("begin.10", accepted),
    ("begin.10", left),
    ("begin.11", rang),
    ("begin.11", answered),
    ("begin.11", left),
]


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
@pytest.mark.parametrize("who", ["caller", "house"])
async def test_nothing_outlives_the_call(hand: Stagehand, count: int, who: str) -> None:
    house, wire = hand.house, hand.house.wire
    bob = Handset(wire, "bob")
    house.register("1002", bob)
    hand.write(EVERYTHING)
    alice = hand.dial()
    house >> 183 >> alice
    up = False
    for at, do in STEPS[:count]:
        assert hand.at == f"main/{at}", f"at {hand.at}, about to {do.__name__}"
        do(hand, bob)
        if hand.act.record.answered_at is not None and not up:
            house >> 200 >> alice >> "ACK" >> house
            up = True
    if who == "house":
        hand.call.hangup(wire.now)
    elif up:
        alice >> "BYE" >> house
    else:
        alice >> "CANCEL" >> house
    wire.after(70)
    assert house.empty(), f"left at {hand.at}"
    assert hand.sound_left() == []
    assert all(asked.cancelled for asked in hand.asked if asked.open)
    assert all(room.closed for room in hand.hall.rooms)
    assert all(writing.end is not None for writing in hand.recorder.written)
    assert [act.ending for act in hand.over] == [Ending.CALLER_LEFT]
    assert len(hand.desk.conferences) == 0


async def test_a_flow_that_is_walked_to_its_end(hand: Stagehand) -> None:
    house, wire = hand.house, hand.house.wire
    bob = Handset(wire, "bob")
    house.register("1002", bob)
    hand.write(EVERYTHING)
    alice = hand.dial()
    house >> 183 >> alice
    up = False
    for _, do in STEPS:
        do(hand, bob)
        if hand.act.record.answered_at is not None and not up:
            house >> 200 >> alice >> "ACK" >> house
            up = True
    assert hand.at == "main/begin.13"
    assert hand.saying == "Goodbye."
    hand.heard()
    house >> "BYE" >> alice
    assert [act.ending for act in hand.over] == [Ending.COMPLETED]


async def test_random_digits_for_a_minute(hand: Stagehand) -> None:
    hand.write(EVERYTHING)
    alice = hand.dial()
    hand.house >> 183 >> alice
    for number in range(600):
        if not hand.house.switch.calls:
            break
        hand.press("0123456789*#ABCD"[number * 7 % 16])
        hand.house.wire.after(0.1)
        if hand.hall.now is not None and number % 5 == 0:
            hand.hall.now.heard()
    assert len(hand.acts) == 1
