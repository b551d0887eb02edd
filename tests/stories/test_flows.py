"""Real phones walk the sample flows; what they hear is recognised by measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.wav import read
from tests.clients import ears
from tests.clients.house import ROOT
from tests.clients.lab import Lab, eventually
from tests.clients.phone import Call, talk
from tests.clients.phones import Make
from tests.stories.test_house_numbers import said

MOST, CHUNK_S = 0.7, 0.2  # of short sentences, a packet that a phone loses must not take half
SAMPLES = ROOT / "etc" / "dialplan"
MENU = "Welcome. For our opening hours, press 1. To speak with us, press 2. To leave a message, press 3."
HOURS = "We are here Monday to Thursday from nine to five, and on Friday from nine to three."
MAILBOX = "- voicemail: 1001"
TAKEN_DOWN = "- record: message\n      prompt: Please leave a message.\n      silence: 2s"


@pytest.fixture
def lab(new_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    """A house with the samples; what is left for 1001 is recorded by the flow itself."""
    folder = tmp_path / "dialplan"
    folder.mkdir()
    for name in ("reception", "after-hours"):
        text = (SAMPLES / f"{name}.yaml").read_text()
        text = text.replace(
            f"{MAILBOX}\n      on_full: full", f"{TAKEN_DOWN}\n      on_silence: goodbye\n      on_failed: full"
        )
        (folder / f"{name}.yaml").write_text(
            text.replace(f"{MAILBOX}\n      greeting: none", TAKEN_DOWN.replace("message\n", "m\n"))
        )
    (folder / "schedules.yaml").write_text((SAMPLES / "schedules.yaml").read_text())
    return new_lab(**{"dialplan.folder": str(folder)})


def reception(lab: Lab) -> Call:
    return lab.phone(Make.BARESIP_PY, "1002").dial("500").established()


def hears(call: Call, text: str, *, since: int = 0, timeout: float = 14.0) -> None:
    """The phone hears the house say `text`."""
    wanted = said(text)
    understood = lambda: ears.understood(wanted, call.recorded()[since:], chunk_s=CHUNK_S) > MOST  # noqa: E731
    eventually(understood, f"{text!r} to be heard", timeout=timeout)


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
    assert ears.understood(said(MENU), call.recorded()) < 0.5
    incoming.hang_up()
    call.ended()
    record = lab.record()
    assert (record["ended_by"], record["reason"], len(record["legs"])) == ("callee", "the callee hung up", 2)


def test_2_when_1001_is_busy_a_message_can_be_left(lab: Lab) -> None:
    person = lab.phone(Make.BARESIP_PY, "1001")
    call = reception(lab)
    call.send_digits("2")
    person.incoming(timeout=8).answer(486)
    hears(call, "Nobody can take your call right now.")
    call.hang_up()


def test_3_leaves_a_message_whose_sound_is_the_callers(lab: Lab) -> None:
    call = reception(lab)
    call.send_digits("3")
    hears(call, "Please leave a message.")
    call.listen(2.0)
    call.send_digits("#")
    hears(call, "Thank you.")
    call.ended()
    (file,) = (lab.house.data / "flow-recordings").glob("rec_*.wav")
    kept = read(file)
    assert 1.0 < kept.seconds < 12
    middle = np.asarray(kept.samples[kept.rate // 2 : -kept.rate // 4], dtype="<i2")
    heard = ears.listen(middle, call.phone.line.tone_hz)
    assert heard.present > 0.9
    assert lab.record()["flow"].startswith("reception/mailbox.")


def test_nothing_pressed_repeats_twice_and_says_goodbye(lab: Lab) -> None:
    call = reception(lab)
    hears(call, "Goodbye.", timeout=60)
    call.ended()
    assert lab.record()["ended_by"] == "house"


def test_510_follows_the_hours_and_whoever_overrides_them(lab: Lab) -> None:
    house = lab.house
    phone = lab.phone(Make.BARESIP_PY, "1003")
    house.order("PUT", "/house/v1/schedules/office/override", {"opening": "closed"})
    call = phone.dial("510").established()
    hears(call, "Our office is closed. We are here Monday to Friday from nine.")
    call.hang_up()
    house.order("PUT", "/house/v1/schedules/office/override", {"opening": "open"})
    people = [lab.phone(Make.BARESIP_PY, number) for number in ("1001", "1002")]
    call = phone.dial("510")
    ringing = [person.incoming(timeout=8) for person in people]
    ringing[1].answer()
    talk(call.established(), ringing[1])
    ringing[0].ended()
    call.hang_up()
    ringing[1].ended()


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
