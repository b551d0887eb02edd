"""A flow that leads a caller through another service, as a mailbox is one, and takes them back."""

from __future__ import annotations

import pytest

from dialplan.command import Greeting, Outcome, Voicemail
from media.script import Speech
from pbxd.calls.stage import Stage
from tests.calls.house import Handset
from tests.flows.stagehand import Stagehand

FLOW = """
parts:
  begin:
    - voicemail: "1001"
      on_full: full
      on_failed: failed
    - say: Thank you.
  full: [say: Full.]
  failed: [say: Failed.]
"""


class Mailbox:
    """Says one thing, hears digits, and leaves with an outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.digits = ""
        self.left = 0

    def begin(self, stage: Stage, now: float) -> None:
        stage.play((Speech("Leave a message."),), lambda _whole, later: stage.hangup(later, "all was said"))

    def digit(self, digit: str, now: float) -> None:
        self.digits += digit

    def talking(self, talks: bool) -> None:
        """It does not listen."""

    def leave(self, now: float) -> None:
        self.left += 1


@pytest.mark.parametrize(
    ("outcome", "said"), [(Outcome.DONE, "Thank you."), (Outcome.FULL, "Full."), (Outcome.FAILED, "Failed.")]
)
async def test_what_it_came_to_leads_on(hand: Stagehand, outcome: Outcome, said: str) -> None:
    mailbox = Mailbox(outcome)
    hand.desk.voicemail = lambda command, _record: mailbox if command.mailbox == "1001" else None
    hand.write(FLOW)
    hand.talk_to()
    assert hand.saying == "Leave a message."
    hand.press("5")
    hand.heard()
    assert (mailbox.digits, mailbox.left, hand.saying) == ("5", 1, said)


async def test_a_mailbox_that_is_not_there(hand: Stagehand) -> None:
    hand.desk.voicemail = lambda _command, _record: None
    hand.write(FLOW)
    hand.talk_to()
    assert hand.saying == "Failed."


async def test_the_caller_leaves_in_the_middle(hand: Stagehand) -> None:
    mailbox = Mailbox(Outcome.DONE)
    hand.desk.voicemail = lambda _command, _record: mailbox
    hand.write(FLOW)
    alice = hand.talk_to()
    alice >> "BYE" >> hand.house >> 200 >> alice
    assert mailbox.left == 1
    assert len(hand.over) == 1
    assert hand.house.empty()


@pytest.mark.parametrize(
    ("status", "greeting", "fits"),
    [(486, "auto", Greeting.BUSY), (480, "auto", Greeting.AUTO), (486, "none", Greeting.NONE)],
)
async def test_the_greeting_fits_what_the_last_dial_came_to(
    hand: Stagehand, status: int, greeting: str, fits: Greeting
) -> None:
    asked: list[Voicemail] = []
    hand.desk.voicemail = lambda command, _record: asked.append(command)
    hand.write(f"parts:\n  begin:\n    - dial: '1002'\n    - voicemail: '1001'\n      greeting: {greeting}\n")
    house, bob = hand.house, Handset(hand.house.wire, "bob")
    house.register("1002", bob)
    hand.dial()
    house >> "INVITE" >> bob >> status >> house >> "ACK" >> bob
    assert [one.greeting for one in asked] == [fits]
