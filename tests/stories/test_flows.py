"""Real phones walk every branch of the sample flows; what they hear is recognised by measurement."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.library import phrases
from tests.clients import ears
from tests.clients.house import ROOT, Json
from tests.clients.lab import Lab, eventually
from tests.clients.line import Kind
from tests.clients.phone import Call, talk
from tests.clients.phones import Make
from tests.clients.until import until
from tests.stories.test_house_numbers import said
from tests.stories.test_voicemail import after_the_beep, messages, sound_of, the_message

MOST = 0.4  # a phone on a busy machine loses every second packet; of other sentences it hears less than 0.2
SAMPLES = ROOT / "etc" / "dialplan"
SAY = phrases("en")
MENU = "Welcome. For our opening hours, press 1. To speak with us, press 2. To leave a message, press 3."
HOURS = "We are here Monday to Thursday from nine to five, and on Friday from nine to three."
NOBODY = "Nobody can take your call right now."
CLOSED = "Our office is closed. We are here Monday to Friday from nine."
ORDER = "Please enter your order number, then the hash key. If you have none, just wait."
CALL_BACK = "All of support are talking. We call you back."
SWITCH = "To close the office until tomorrow, press 1. To follow the opening hours again, press 2."


@pytest.fixture
def lab(new_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    """A house with the samples: 500 reception, 510 after hours, 520 support, *28 the night switch."""
    shutil.copytree(SAMPLES, tmp_path / "dialplan")
    settings = {
        "dialplan.folder": str(tmp_path / "dialplan"),
        "extensions.520": {"flow": "support"},
        "extensions.*28": {"flow": "night-switch"},
        "mailboxes.1001": {"pin": "1001", "answers": False, "max_messages": 1},
    }
    return new_lab(**settings)


def reception(lab: Lab) -> Call:
    return lab.phone(Make.BARESIP_PY, "1002").dial("500").established()


def hears(call: Call, text: str, *, since: int = 0, timeout: float = 20.0) -> None:
    """The phone hears the house say `text`."""
    wanted = said(text)
    understood = lambda: ears.understood(wanted, call.recorded()[since:]) > MOST  # noqa: E731
    until(understood, f"{text!r} to be heard", timeout=timeout, every=0.3)


def leaves_a_message(lab: Lab, call: Call) -> Json:
    """Speaks after the beep, and keeps it."""
    after_the_beep(call, seconds=2.0)
    call.send_digits("#")
    hears(call, SAY["vm-review"])
    call.send_digits("1")
    hears(call, SAY["vm-saved"])
    return the_message(lab.house, "1001")


# ---- reception


def test_1_says_the_hours_and_the_menu_again(lab: Lab) -> None:
    call = reception(lab)
    hears(call, MENU)
    call.send_digits("1")
    hears(call, HOURS)
    before = call.recorded().size
    hears(call, MENU, since=before)
    call.hang_up()
    record = lab.record()
    assert (record["flow"], record["result"], record["ended_by"]) == ("reception/welcome.1", "success", "caller")


def test_2_into_the_prompt_dials_1001_and_the_end_of_the_conversation_is_the_end(lab: Lab) -> None:
    person = lab.phone(Make.BARESIP_PY, "1001")
    call = reception(lab)
    call.send_digits("2")
    incoming = person.incoming(timeout=8)
    (live,) = lab.house.calls()
    assert live["flow"] == "reception/person.1"
    incoming.answer()
    talk(call, incoming)
    assert ears.understood(said(MENU), call.recorded()) < 0.3
    incoming.hang_up()
    call.ended()
    record = lab.record()
    assert (record["ended_by"], record["reason"], len(record["legs"])) == ("callee", "the callee hung up", 2)


def test_2_when_1001_is_busy_a_message_is_left_that_1001_is_told_of(lab: Lab) -> None:
    person = lab.phone(Make.PJSUA2, "1001", lamp=True)

    def lamp(text: str) -> None:
        until(lambda: text in person.wait(Kind.LAMP, timeout=8).fields["body"], text, timeout=10)

    lamp("Messages-Waiting: no")
    call = reception(lab)
    call.send_digits("2")
    person.incoming(timeout=8).answer(486)
    hears(call, NOBODY)
    hears(call, SAY["vm-busy"])
    message = leaves_a_message(lab, call)
    hears(call, "Thank you.")
    call.ended()
    assert message["caller"] == "1002"
    assert ears.listen(sound_of(lab.house, message), call.phone.line.tone_hz).present > 0.8
    lamp("Voice-Message: 1/0 (0/0)")
    assert lab.record()["flow"].startswith("reception/mailbox.")


def test_3_leaves_a_message_and_a_full_mailbox_says_so(lab: Lab) -> None:
    call = reception(lab)
    call.send_digits("3")
    hears(call, SAY["vm-greeting"])
    leaves_a_message(lab, call)
    hears(call, "Thank you.")
    call.ended()
    call = call.phone.dial("500").established()
    call.send_digits("3")
    hears(call, SAY["vm-full"])
    hears(call, "This mailbox is full. Please call again later.")
    call.ended()
    assert len(messages(lab.house, "1001")) == 1


def test_3_when_nothing_was_said_nothing_is_left(lab: Lab) -> None:
    call = lab.phone(Make.BARESIP_PY, "1002", tone_dbfs=-80.0).dial("500").established()
    call.send_digits("3")
    hears(call, SAY["vm-too-short"], timeout=30)
    hears(call, "Thank you.")
    call.ended()
    assert messages(lab.house, "1001") == []


def test_something_else_is_not_one_of_the_choices(lab: Lab) -> None:
    call = reception(lab)
    for _ in range(2):
        before = call.recorded().size
        call.send_digits("9")
        hears(call, "That is not one of the choices.", since=before)
        hears(call, MENU, since=before)
    call.send_digits("9")
    hears(call, "Goodbye.")
    call.ended()
    assert lab.record()["ended_by"] == "house"


def test_nothing_pressed_repeats_twice_and_says_goodbye(lab: Lab) -> None:
    call = reception(lab)
    hears(call, "Goodbye.", timeout=60)
    call.ended()
    assert lab.record()["ended_by"] == "house"


# ---- after hours, and the night switch


def test_510_outside_of_the_hours_takes_a_message_without_a_greeting(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1003")
    for opening, words in (("closed", CLOSED), ("holiday", "Our office is closed for the holidays.")):
        lab.house.order("PUT", "/house/v1/schedules/office/override", {"opening": opening})
        call = phone.dial("510").established()
        hears(call, words)
        if opening == "closed":
            leaves_a_message(lab, call)
            call.ended()
        else:
            hears(call, SAY["vm-full"])
            call.ended()
        assert ears.understood(said(SAY["vm-greeting"]), call.recorded()) < 0.35
        assert lab.record()["tags"] == ["message-left"]


def test_510_in_the_hours_rings_both_and_takes_a_message_when_neither_answers(lab: Lab) -> None:
    lab.house.order("PUT", "/house/v1/schedules/office/override", {"opening": "open"})
    phone = lab.phone(Make.BARESIP_PY, "1003")
    people = [lab.phone(Make.BARESIP_PY, number) for number in ("1001", "1002")]
    call = phone.dial("510")
    ringing = [person.incoming(timeout=8) for person in people]
    ringing[1].answer()
    talk(call.established(), ringing[1])
    ringing[0].ended()
    call.hang_up()
    ringing[1].ended()
    call = phone.dial("510")
    for person in people:
        person.incoming(timeout=8).answer(486)
    hears(call.established(), "All of us are talking.")
    leaves_a_message(lab, call)
    call.ended()


def test_the_night_switch_closes_the_office_and_opens_it_again(lab: Lab) -> None:

    def overridden() -> dict[str, str]:
        return {one["schedule"]: one["opening"] for one in overrides(lab)}

    phone = lab.phone(Make.BARESIP_PY, "1003")
    call = phone.dial("*28").established()
    hears(call, SWITCH)
    call.send_digits("1")
    hears(call, "The office is closed.")
    call.ended()
    assert overridden() == {"office": "closed"}
    call = phone.dial("510").established()
    hears(call, CLOSED)
    call.hang_up()
    call = phone.dial("*28").established()
    call.send_digits("2")
    hears(call, "The office follows its opening hours.")
    call.ended()
    assert overridden() == {}


def test_the_night_switch_left_alone_changes_nothing_and_says_when_it_did_not_work(lab: Lab, tmp_path: Path) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1003")
    call = phone.dial("*28").established()
    call.send_digits("5")
    hears(call, SWITCH)
    call.send_digits("55")
    call.ended(timeout=60)
    assert overrides(lab) == []
    (tmp_path / "dialplan" / "schedules.yaml").unlink()  # the flows that need it stay as they were
    eventually(lambda: not lab.house.get("/house/v1/flows")["good"], "the schedule to be missed")
    call = phone.dial("*28").established()
    call.send_digits("1")
    hears(call, "That did not work.")
    call.ended()


def overrides(lab: Lab) -> list[Json]:
    """The schedules that somebody overrode."""
    return list(lab.house.get("/house/v1/schedules/overrides")["overrides"])


# ---- support


def test_support_is_told_who_calls_and_takes_the_call_with_1(lab: Lab) -> None:
    support = lab.phone(Make.BARESIP_PY, "1003")
    call = lab.phone(Make.BARESIP_PY, "1002").dial("520").established()
    hears(call, ORDER)
    call.send_digits("12#")
    hears(call, "An order number has four to eight digits.")
    call.send_digits("12345#")
    hears(call, "One moment, please.")
    incoming = support.incoming(timeout=15).answer()
    hears(incoming, "Support call from Lab 1002, order 12345.")
    hears(incoming, "Press 1 to take it.")
    incoming.send_digits("1")
    talk(call, incoming)
    call.hang_up()
    incoming.ended()
    assert lab.record()["flow"].startswith("support/ring.")


def test_support_has_two_turns_each_and_is_asked_to_call_back(lab: Lab) -> None:
    people = {number: lab.phone(Make.PJSUA2, number) for number in ("1003", "1004", "1005")}
    call = lab.phone(Make.BARESIP_PY, "1002").dial("520").established()
    call.send_digits("4711#")
    for number in ("1003", "1004", "1005", "1004", "1005", "1003"):  # the second turn begins further on
        people[number].incoming(timeout=20).answer(486)
    hears(call, CALL_BACK)
    call.ended()
    text = people["1003"].wait(Kind.MESSAGE, timeout=8).fields
    assert text["text"] == "Support: please call 1002 back, order 4711."


def test_support_without_an_order_number_when_all_have_gone_home(lab: Lab) -> None:
    call = lab.phone(Make.BARESIP_PY, "1002").dial("520").established()
    hears(call, ORDER)
    call.send_digits("1#2#")
    hears(call, "Support has gone home.", timeout=40)
    hears(call, CALL_BACK)
    call.ended()
    assert lab.record()["ended_by"] == "house"


# ---- what people change


def test_what_a_flow_records_is_a_recording_of_the_call(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "dialplan" / "support.yaml").write_text(
        "parts:\n  begin:\n    - record: words\n      prompt: Please speak.\n      review: true\n"
        "    - say: Kept.\n    - tag: ${words}\n"
    )
    eventually(lambda: "Kept." in lab.house.get("/house/v1/flows/support")["text"], "the flow to be live", timeout=10)
    call = lab.phone(Make.BARESIP_PY, "1002").dial("520").established()
    after_the_beep(call, seconds=2.0)
    call.send_digits("#")
    hears(call, "To keep your recording, press 1.")
    before = call.recorded().size
    call.send_digits("2")
    until(lambda: ears.listen(call.recorded()[before:], 850.0).present > 0.1, "one's own words", timeout=8)
    call.send_digits("1")
    hears(call, "Kept.")
    call.ended()
    record = lab.record()
    (recording,) = lab.house.get(f"/house/v1/recordings?call={record['id']}")["recordings"]
    assert (recording["id"], recording["channels"], recording["state"]) == (record["tags"][0], "caller", "done")
    assert recording["sha256"] is not None
    assert recording["seconds"] > 1.5
    file = next((lab.house.data / "recordings").rglob("*-words.wav"))
    words = np.frombuffer(file.read_bytes()[44:], "<i2")
    assert ears.listen(words, 850.0).present > 0.8


def test_a_changed_file_is_live_within_seconds_and_a_bad_one_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "dialplan" / "reception.yaml"
    good = file.read_text()
    call = reception(lab)
    file.write_text(good.replace("Goodbye.", "So long."))
    eventually(lambda: "So long." in lab.house.get("/house/v1/flows/reception")["text"], "the new version")
    call.send_digits("1")
    hears(call, HOURS)  # in the version it began with
    call.hang_up()
    file.write_text(good.replace("choices:", "choises:"))
    eventually(lambda: not lab.house.get("/house/v1/flows")["good"], "the mistake to be seen")
    seen = lab.house.get("/house/v1/flows")
    assert any("choises" in problem["key"] + problem["message"] for problem in seen["problems"])
    assert "So long." in lab.house.get("/house/v1/flows/reception")["text"]
    assert "flows with mistakes stay as they were" in lab.house.log()
    assert lab.house.metrics()["pbxd_flow_problems"] > 0
    file.write_text(good)
    eventually(lambda: bool(lab.house.get("/house/v1/flows")["good"]), "the good file")
