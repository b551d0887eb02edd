"""What each command does on a call."""

from __future__ import annotations

import pytest

from dialplan.command import Outcome, Reply
from dialplan.state import Ending
from media.recorder import RecordingEnd
from pbxd.calls.admission import Refusal
from pbxd.calls.gate import Barred
from pbxd.calls.record import Result
from pbxd.calls.routing import ToTrunk, ToUser, route
from tests.calls.house import Handset
from tests.flows.stagehand import Stagehand
from tests.sip.party import nothing_left

MENU = """
parts:
  begin:
    - menu: Press 1 or 2.
      choices: {1: one, 2: two}
      retries: 1
      invalid_prompt: No.
      on_timeout: hangup
      on_invalid: [hangup: rejected]
  one:
    - say: One.
    - goto: begin
  two:
    - say: Two.
"""


def hang_up(hand: Stagehand, alice: Handset) -> None:
    alice >> "BYE" >> hand.house >> 200 >> alice


async def test_a_menu_is_walked(hand: Stagehand) -> None:
    hand.write(MENU)
    alice = hand.talk_to()
    assert hand.saying == "Press 1 or 2."
    hand.press("1")  # into the prompt
    assert hand.saying == "One."
    assert hand.call.record.flow == "main/one.1"
    hand.heard()
    hand.heard()
    hand.press("2")
    assert hand.saying == "Two."
    hand.heard()
    hand.house >> "BYE" >> alice >> 200 >> hand.house
    record = hand.house.record
    assert (record.result, record.ended_by, record.reason) == (Result.SUCCESS, "house", "the flow main came to its end")
    assert record.flow == "main/two.1"
    assert [act.ending for act in hand.over] == [Ending.COMPLETED]
    assert hand.house.empty()
    assert nothing_left(hand.house.wire, alice)


async def test_digits_pressed_ahead_answer_the_next_question(hand: Stagehand) -> None:
    hand.write(MENU)
    hand.talk_to()
    hand.press("12")
    assert hand.saying == "One."
    hand.heard()
    assert hand.saying == "Two."


async def test_what_was_pressed_ahead_of_a_repetition_was_for_the_first_time(hand: Stagehand) -> None:
    hand.write(MENU)
    hand.talk_to()
    hand.press("9")
    assert hand.saying == "No. Press 1 or 2."
    hand.press("8")
    hand.house.wire.settle()
    assert hand.house.record.result is Result.SUCCESS
    assert hand.house.record.reason == "the flow main came to its end"


async def test_a_timeout_begins_after_the_prompt(hand: Stagehand) -> None:
    hand.write(MENU)
    alice = hand.talk_to()
    hand.house.wire.after(60)
    hand.heard()
    hand.house.wire.after(4.9)
    assert hand.saying == ""
    hand.house.wire.after(0.2)
    assert hand.saying == "Press 1 or 2."
    hand.heard()
    hand.house.wire.after(5)
    hand.house >> "BYE" >> alice


async def test_a_prompt_without_barge_in_is_heard_to_its_end(hand: Stagehand) -> None:
    hand.write(MENU.replace("retries: 1", "retries: 1\n      barge_in: false"))
    hand.talk_to()
    hand.press("1")
    assert hand.saying == "Press 1 or 2."
    hand.heard()
    assert hand.saying == "One."


async def test_record_ends_by_silence_and_is_played_again(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - record: message\n      prompt: Speak.\n      silence: 3s\n      review: true\n"
        "      on_silence: quiet\n    - tag: ${message}\n  quiet:\n    - say: Nothing.\n"
    )
    hand.talk_to()
    assert hand.saying == "Speak. <beep>"
    hand.heard()
    (written,) = hand.recorder.written
    hand.talks(talking=True)
    hand.house.wire.after(20)
    hand.talks(talking=False)
    hand.house.wire.after(2.1)
    assert not written.over
    hand.house.wire.after(0.2)
    assert written.end is RecordingEnd.STOPPED
    assert hand.saying.startswith("To keep your recording")
    hand.press("2")
    assert hand.saying == "(.wav)"
    hand.heard()
    hand.press("1")
    assert hand.house.record.tags == [written.path.stem]
    assert written.kept is True


async def test_who_speaks_already_when_the_recording_begins_is_heard(hand: Stagehand) -> None:
    hand.write("parts:\n  begin:\n    - record: message\n      silence: 3s\n    - say: Kept.\n")
    hand.talk_to()
    hand.talks(talking=True)
    hand.heard()
    hand.house.wire.after(10)
    hand.talks(talking=False)
    hand.house.wire.after(2.3)
    assert hand.saying == "Kept."


@pytest.mark.parametrize("ended_by", ["nobody speaks", "a terminator", "the longest time"])
async def test_where_nothing_was_said_nothing_is_kept(hand: Stagehand, ended_by: str) -> None:
    hand.write(
        "parts:\n  begin:\n    - record: message\n      max: 2s\n      silence: 5s\n      beep: false\n"
        "      on_silence: quiet\n    - tag: ${message}\n  quiet:\n    - say: Nothing.\n"
    )
    hand.talk_to()
    (written,) = hand.recorder.written
    if ended_by == "a terminator":
        hand.press("#")
    else:
        hand.house.wire.after(2.1)
    assert hand.saying == "Nothing."
    assert written.kept is False


async def test_a_disk_that_is_full_is_an_outcome(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - record: message\n      beep: false\n      on_failed: broken\n    - tag: ${message}\n"
        "  broken:\n    - say: Broken.\n"
    )
    hand.recorder.full = True
    alice = hand.talk_to()
    assert hand.saying == "Broken."
    hang_up(hand, alice)
    hand.recorder.full = False
    hand.talk_to()
    hand.talks(talking=True)
    hand.recorder.written[-1].fail(RecordingEnd.DISK_FULL)
    assert hand.saying == "Broken."
    assert hand.recorder.written[-1].kept is False


async def test_a_disk_that_fills_up_keeps_what_was_said(hand: Stagehand) -> None:
    hand.write("parts:\n  begin:\n    - record: message\n      beep: false\n    - say: Kept ${message}.\n")
    hand.talk_to()
    hand.talks(talking=True)
    hand.recorder.written[-1].fail(RecordingEnd.DISK_FULL, seconds=2.0)
    assert hand.saying == f"Kept {hand.recorder.written[-1].path.stem}."


async def test_http_goes_on_with_what_was_answered(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - http: https://crm.test/${caller.number}\n      save: {name: person.name}\n"
        "      on_failed: broken\n    - say: Hello ${name}.\n  broken:\n    - say: Broken.\n"
    )
    hand.dial()
    (asked,) = hand.asked
    assert asked.command.url == "https://crm.test/bench"
    asked.done(Reply.read(Outcome.DONE, {"status": 200, "body": {"person": {"name": "Ann"}}}))
    hand.house.wire.settle()
    assert hand.saying == "Hello Ann."
    asked.done(Reply.read(Outcome.FAILED, {}))  # too late
    assert hand.saying == "Hello Ann."


async def test_mail_and_what_it_came_to(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - message: ${caller.number} called\n      to: ann@example.com\n      subject: A call\n"
        "      on_failed: broken\n    - say: Sent.\n  broken:\n    - say: Broken.\n"
    )
    alice = hand.talk_to()
    assert hand.mails == [("ann@example.com", "A call", "bench called")]
    assert hand.saying == "Sent."
    hang_up(hand, alice)
    hand.mail_fault = "no mail server"
    hand.talk_to()
    assert hand.saying == "Broken."


async def test_a_message_reaches_a_phone(hand: Stagehand) -> None:
    bob = Handset(hand.house.wire, "bob")
    hand.house.register("1002", bob)
    hand.write(
        "parts:\n  begin:\n    - message: Call ${caller.number} back, überall.\n      to: 1002\n"
        "      on_failed: broken\n    - say: Sent.\n  broken:\n    - say: Broken.\n"
    )
    alice = hand.dial()
    hand.house >> "MESSAGE" >> bob
    message = next(rung.data for rung in hand.house.wire.rungs if rung.label == "MESSAGE")
    assert message.endswith("Call bench back, überall.".encode())
    assert b'From: "Bench" <sip:bench@lab.test>' in message
    hand.house >> 200 >> alice
    assert hand.saying == "Broken."  # the party takes no messages


async def test_a_message_to_nobody_fails(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - message: Hello.\n      to: 1001\n      on_failed: broken\n    - say: Sent.\n"
        "  broken:\n    - say: Broken.\n"
    )
    hand.talk_to()
    assert hand.saying == "Broken."


async def test_a_message_leaves_by_a_route_alone_and_passes_the_gate(
    hand: Stagehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, tried = hand.house, []

    def post(account_id: str, caller: str, called: str, found: ToUser | ToTrunk, source: str) -> None:
        tried.append((account_id, caller, called, source))
        raise Barred(Refusal.TOLL_FRAUD, "too dear", 403, 21)

    directory = house.directory
    monkeypatch.setattr(directory, "carrier", lambda account: directory.trunk(account, "wide"))
    from_a_phone = {"source": None}
    monkeypatch.setattr("pbxd.flows.act.route", lambda *args, **named: route(*args, **(named | from_a_phone)))
    hand.desk.post = post
    for number in ("+14155551234", "7912"):
        hand.write(
            f"parts:\n  begin:\n    - message: Hello.\n      to: '{number}'\n      on_failed: broken\n"
            "    - say: Sent.\n  broken:\n    - say: Broken.\n"
        )
        hand.talk_to()
        assert hand.saying == "Broken."
    (call_id,) = {source for *_, source in tried}
    assert tried == [(directory.default_account.id, "anyone", "7912", call_id)]
    assert not [rung for rung in house.wire.rungs if rung.label == "MESSAGE"]


async def test_wait_tag_and_override(hand: Stagehand) -> None:
    hand.write(
        "schedules:\n  office: {weekly: {mon-fri: 09:00-17:00}}\nparts:\n  begin:\n    - tag: seen\n    - tag: seen\n"
        "    - wait: 3s\n    - override: office\n      to: closed\n      on_failed: hangup\n    - hangup: busy\n"
    )
    alice = hand.dial()
    hand.house.wire.after(2.9)
    assert hand.orders == []
    hand.house.wire.after(0.2)
    hand.house >> 486 >> alice
    assert hand.orders == [("office", "closed", None)]
    record = hand.house.record
    assert (record.tags, record.sip_status, record.q850, record.result) == (["seen"], 486, 17, Result.UPSTREAM)
    assert [act.ending for act in hand.over] == [Ending.HUNG_UP]


async def test_early_sound_costs_the_caller_nothing(hand: Stagehand) -> None:
    hand.write("parts:\n  begin:\n    - play: closed\n      before_answer: true\n    - hangup: unavailable\n")
    alice = hand.dial()
    hand.house >> 183 >> alice
    assert hand.saying == "[closed]"
    hand.heard()
    hand.house >> 480 >> alice
    assert hand.house.record.answered_at is None


async def test_numbers_and_dates_are_said_in_words(hand: Stagehand) -> None:
    hand.write(
        "variables: {n: '1204'}\nparts:\n  begin:\n"
        "    - say: ${n}\n      as: digits\n    - say: ${n}\n      as: number\n"
        "    - say: '2026-11-22'\n      as: date\n"
        "    - say: none\n      as: date\n"
    )
    hand.talk_to()
    said = []
    for _ in range(4):
        said.append(hand.saying)
        hand.heard()
    assert said == [
        "one two zero four",
        "one thousand two hundred four",
        "Sunday, November twenty-second, twenty twenty-six",
        "none",
    ]


async def test_a_flow_in_circles_is_cut_and_the_record_says_so(hand: Stagehand) -> None:
    hand.write(
        "parts:\n  begin:\n    - wait: 1s\n    - if: caller.name == 'nobody'\n      then: hangup\n    - goto: begin\n"
    )
    hand.desk.limits.steps = 40
    alice = hand.dial()
    hand.house.wire.after(30)
    hand.house >> 500 >> alice
    record = hand.house.record
    assert record.reason is not None
    assert "was cut: it went on for more than 40 steps" in record.reason
    assert record.result is Result.SERVER
    assert [act.ending for act in hand.over] == [Ending.EXHAUSTED]
    assert hand.house.empty()


async def test_many_steps_at_once_let_others_have_their_turn(hand: Stagehand) -> None:
    steps = "\n".join(f"    - tag: t{number}" for number in range(60))
    hand.write(f"parts:\n  begin:\n{steps}\n    - say: Done.\n")
    hand.dial()
    assert len(hand.call.record.tags) < 60
    assert hand.saying == ""
    hand.house.wire.after(0.1)
    assert hand.saying == "Done."


async def test_a_number_whose_flow_is_not_there(hand: Stagehand) -> None:
    hand.write(MENU)
    alice = Handset(hand.house.wire, "alice")
    alice.number = "501"
    alice >> "INVITE" >> hand.house >> 100 >> alice
    hand.house >> 503 >> alice
    assert hand.house.record.reason == "the flow nothing is not live"
    assert hand.house.empty()


async def test_two_reloads_during_a_call_change_nothing_for_it(hand: Stagehand) -> None:
    hand.write(MENU)
    alice = hand.talk_to()
    hand.write(MENU.replace("One.", "Another."))
    hand.write(MENU.replace("One.", "Yet another."))
    hand.press("1")
    assert hand.saying == "One."
    hang_up(hand, alice)
    hand.talk_to()
    hand.press("1")
    assert hand.saying == "Yet another."


ROOM = """
parts:
  begin:
    - conference: "700"
      on_full: full
      on_locked: locked
      on_failed: failed
    - say: Left.
  full: [say: Full.]
  locked: [say: Locked.]
  failed: [say: Failed.]
"""


async def test_a_conference_is_left_and_the_flow_goes_on(hand: Stagehand) -> None:
    hand.write(ROOM)
    hand.talk_to()
    (conference,) = hand.desk.conferences
    conference.kick(conference.members[0])
    assert hand.saying == "[conference-kicked]"
    assert len(hand.desk.conferences) == 0
    hand.heard()
    assert hand.saying == "Left."


@pytest.mark.parametrize(("state", "said"), [("full", "Full."), ("locked", "Locked.")])
async def test_a_conference_that_takes_nobody_in(hand: Stagehand, state: str, said: str) -> None:
    hand.write(ROOM)
    hand.talk_to("700")
    if state == "full":
        hand.talk_to("700")
    else:
        (conference,) = hand.desk.conferences
        conference.lock(locked=True)
    hand.talk_to()
    assert hand.saying == f"[conference-{state}]"
    hand.heard()
    assert hand.saying == said


async def test_a_room_that_is_not_there(hand: Stagehand) -> None:
    hand.write(ROOM.replace('"700"', '"799"'))
    hand.talk_to()
    assert hand.saying == "Failed."


async def test_a_moderator_is_asked_for_no_pin_and_a_listener_comes_in_muted(hand: Stagehand) -> None:
    hand.write(ROOM.replace('"700"', '"701"\n      moderator: true\n      muted: true'))
    hand.talk_to()
    (conference,) = hand.desk.conferences
    (member,) = conference.members
    assert member.host
    assert conference.membership(member).muted
