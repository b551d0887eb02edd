"""Voicemail with real phones: what one leaves, another hears; the lamp; hang-ups, crashes, full disks, wrong PINs."""

from __future__ import annotations

import io
import json
import subprocess
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.library import phrases
from media.wav import read
from tests.clients import ears
from tests.clients.house import ADMIN_KEY, PBXD, House, Json
from tests.clients.lab import Lab
from tests.clients.line import Kind
from tests.clients.phone import Call, Phone, talk
from tests.clients.phones import Make
from tests.clients.raw_sip import register
from tests.clients.sound import ULAW, Samples, write_wav
from tests.clients.until import until
from tests.stories.test_house_numbers import said

SAY = phrases("en")
BEEP_HZ = 1000.0
LEAVE = "999"
HEARD = 0.4  # of other sentences less than 0.2 is found
VOICE = Path("/usr/share/asterisk/sounds/en_US_f_Allison/vm-instructions.wav")
SILENT: dict[str, Any] = {"tone_dbfs": -80.0}


@pytest.fixture
def box(new_lab: Callable[..., Lab]) -> Lab:
    """A house in which 999 takes messages for 1002, whose calls its mailbox takes soon."""
    settings: dict[str, Any] = {
        f"extensions.{LEAVE}": {"mailbox": "1002"},
        "mailboxes.1002": {"pin": "1002", "answers": True, "answers_after_s": 2},
        "voicemail.silence_s": 2,
        "voicemail.pin_tries": 3,
    }
    return new_lab(**settings)


def hears(call: Call, text: str, *, since: int = 0) -> None:
    """Most of `text` is heard: a phone on a machine that is busy loses some of it."""
    wanted = said(text)
    until(lambda: ears.understood(wanted, call.recorded()[since:]) > HEARD, f"{text!r}", timeout=25, every=0.4)


def hears_tone(call: Call, hz: float, *, ms: float = 300.0) -> None:
    """For so long, nothing but the tone is heard at some time."""
    until(lambda: ears.longest_tone_ms(call.recorded(), hz) > ms, f"{hz:g} Hz", timeout=15, every=0.2)


def messages(house: House, number: str = "1002") -> list[Json]:
    return list(house.get(f"/house/v1/voicemail/{number}/messages")["messages"])


def the_message(house: House, number: str = "1002", *, timeout: float = 8.0) -> Json:
    """The only message, once it is there."""
    until(lambda: len(messages(house, number)) == 1, "a message", timeout=timeout, every=0.1)
    return messages(house, number)[0]


def sound_of(house: House, message: Json) -> Samples:
    """Its WAV file, as the API gives it."""
    path = f"/house/v1/voicemail/{message['mailbox']}/messages/{message['id']}/sound"
    request = urllib.request.Request(house.http + path, headers={"X-API-Key": ADMIN_KEY})
    with urllib.request.urlopen(request, timeout=5) as answer, wave.open(io.BytesIO(answer.read())) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, 8000, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def after_the_beep(call: Call, *, seconds: float = 0.0, since: int = 0) -> None:
    """Waits for the beep that follows the greeting in what was heard `since`, then speaks for so long."""
    until(lambda: ears.longest_tone_ms(call.recorded()[since:], BEEP_HZ) > 80, "the beep", timeout=20, every=0.1)
    time.sleep(0.4 + seconds)  # the beep ends, and the phone's tone is what is said


def leave(phone: Phone, number: str = LEAVE, *, seconds: float = 2.0) -> Call:
    """Calls, and speaks for so long after the beep."""
    call = phone.dial(number).established()
    after_the_beep(call, seconds=seconds)
    return call


def test_what_one_phone_leaves_another_hears_through_98(box: Lab) -> None:
    caller = box.phone(Make.BARESIP_PY, "1001")
    call = leave(caller, seconds=3.5)
    call.send_digits("#")
    hears(call, SAY["vm-review"])
    call.send_digits("1")
    call.ended(timeout=15)
    assert box.record()["reason"] == "a message was left"
    message = the_message(box.house)
    assert (message["caller"], message["folder"], message["urgent"]) == ("1001", "new", False)
    assert 2.5 < message["seconds"] < 6
    kept = ears.listen(sound_of(box.house, message), 450.0)
    assert kept.dbfs == pytest.approx(-15, abs=1)
    assert kept.present > 0.8
    owner = box.phone(Make.PJSUA2, "1003", **SILENT)
    listening = owner.dial("*98").established()
    hears(listening, SAY["vm-mailbox"])
    listening.send_digits("1002#")
    hears(listening, SAY["enter-pin"])
    listening.send_digits("1002#")
    hears(listening, "New messages: one. Saved messages: zero.")
    listening.send_digits("1")
    hears(listening, "From one zero zero one.")
    hears_tone(listening, 450.0)
    listening.hang_up()


def test_a_message_is_heard_as_it_was_said(box: Lab, tmp_path: Path) -> None:
    voice = read(VOICE)
    spoken = np.asarray(voice.samples[: 6 * 8000], np.int16)
    sound = write_wav(tmp_path / "voice.wav", spoken)
    caller = box.phone(Make.BARESIP_PY, "1001", sound=str(sound))
    leave(caller, seconds=8.0).hang_up()
    message = the_message(box.house)
    kept = sound_of(box.house, message)
    said_on_the_wire = ULAW.decode(ULAW.encode(np.tile(spoken, 4)))
    as_sent, noise_db = ears.sameness(np.tile(spoken, 4), said_on_the_wire, kept)
    assert as_sent > 0.7, f"only {as_sent:.1%} of the message is what the codec makes of the voice"
    assert noise_db > 25, f"{noise_db:.1f} dB above what the codec takes away"
    listening = box.phone(Make.BARESIP_PY, "1002", **SILENT).dial("*97").established()
    hears(listening, "New messages: one. Saved messages: zero.")
    listening.send_digits("1")
    until(lambda: message_is(box.house, "saved"), "it to be heard to its end", timeout=30, every=0.2)
    heard = listening.recorded()
    as_kept, _ = ears.sameness(heard, heard, kept, zero=2)
    assert as_kept > 0.4, f"only {as_kept:.1%} of the message is heard bit for bit"  # the phone skips packets
    listening.hang_up()
    print(f"as sent: {as_sent:.1%} at {noise_db:.1f} dB; as kept: {as_kept:.1%}")


def message_is(house: House, folder: str) -> bool:
    return [one["folder"] for one in messages(house)] == [folder]


def test_a_call_that_is_not_answered_is_taken_and_the_owner_keeps_and_deletes(box: Lab) -> None:
    box.phone(Make.BARESIP_PY, "1002", **SILENT).line  # noqa: B018 - it rings, and nobody is there
    call = leave(box.phone(Make.BARESIP_PY, "1001"), "1002", seconds=1.5)
    call.hang_up()
    message = the_message(box.house)
    assert message["seconds"] > 1.0
    assert box.record()["result"] == "success"


def test_who_is_busy_has_a_mailbox_that_says_so(box: Lab) -> None:
    owner = box.phone(Make.BARESIP_PY, "1002", **SILENT)
    caller = box.phone(Make.BARESIP_PY, "1001")
    call = caller.dial("1002")
    owner.incoming().answer(486)
    hears(call.established(), SAY["vm-busy"])
    call.hang_up()
    time.sleep(0.5)
    assert messages(box.house) == []


def test_silence_and_an_instant_hang_up_leave_nothing(box: Lab) -> None:
    phone = box.phone(Make.BARESIP_PY, "1001", **SILENT)
    call = leave(phone, seconds=0)
    hears(call, SAY["vm-too-short"])
    call.ended()
    phone.dial(LEAVE).established().hang_up()
    until(lambda: box.house.metrics().get('pbxd_voicemail_calls_total{left="nothing"}') == 2, "both to be counted")
    assert messages(box.house) == []
    assert list((box.house.data / "voicemail").rglob("*.wav")) == []


def test_the_lamp_goes_on_and_off(box: Lab) -> None:
    owner = box.phone(Make.PJSUA2, "1002", lamp=True, **SILENT)

    def lamp(said: str) -> None:
        until(lambda: said in owner.wait(Kind.LAMP, timeout=8).fields["body"], said, timeout=10)

    lamp("Messages-Waiting: no")
    leave(box.phone(Make.BARESIP_PY, "1001"), seconds=4.0).hang_up()
    lamp("Voice-Message: 1/0 (0/0)")
    listening = owner.dial("*97").established()
    hears(listening, "New messages: one. Saved messages: zero.")
    listening.send_digits("1")
    hears_tone(listening, 450.0)
    listening.send_digits("7")
    lamp("Messages-Waiting: no\r\n")
    hears(listening, SAY["vm-deleted"])
    listening.hang_up()
    assert [one["folder"] for one in messages(box.house)] == ["deleted"]
    assert box.house.metrics()["pbxd_sip_subscriptions"] == 1


def test_who_left_a_message_is_called_back(box: Lab) -> None:
    caller = box.phone(Make.BARESIP_PY, "1001")
    leave(caller, seconds=3.0).hang_up()
    the_message(box.house)
    owner = box.phone(Make.BARESIP_PY, "1002").dial("*97").established()
    hears(owner, "New messages: one. Saved messages: zero.")
    owner.send_digits("1")
    hears_tone(owner, 450.0)
    owner.send_digits("2")
    incoming = caller.incoming(timeout=10).answer()
    talk(owner, incoming)
    before = owner.recorded().size
    incoming.hang_up()
    hears(owner, SAY["vm-message-menu"], since=before)  # and goes on
    owner.send_digits("7")
    until(lambda: message_is(box.house, "deleted"), "it to be deleted", timeout=8)
    owner.hang_up()


@pytest.mark.parametrize("number", ["1002", "1012"], ids=["with a mailbox", "without one"])
def test_a_phone_that_asks_again_when_refused_has_no_reason_to(box: Lab, number: str) -> None:
    box.phone(Make.BARESIP_DEBIAN, number, lamp=True, **SILENT)

    def subscriptions() -> float:
        return box.house.metrics()["pbxd_sip_subscriptions"]

    until(lambda: subscriptions() == 1, "its subscription", timeout=10, every=0.2)
    time.sleep(3.0)
    metrics = box.house.metrics()
    assert metrics["pbxd_sip_subscriptions"] == 1
    assert metrics["pbxd_sip_notifications_total"] == 1


def test_a_phone_that_is_set_so_is_told_without_asking(new_lab: Callable[..., Lab]) -> None:
    box = new_lab(**{f"extensions.{LEAVE}": {"mailbox": "1002"}, "phones.1002.mwi": "unsolicited"})
    lamp, dark = box.raw(), box.raw()
    assert register(lamp, "1002", "lab-1002").status == 200
    assert register(dark, "1003", "lab-1003").status == 200
    first = lamp.request("NOTIFY")
    assert "Messages-Waiting: no" in first.body
    lamp.respond(first, 200)
    leave(box.phone(Make.BARESIP_PY, "1001"), seconds=1.0).hang_up()
    second = lamp.request("NOTIFY", timeout=10)
    assert "Messages-Waiting: yes" in second.body
    lamp.respond(second, 200)
    assert [message for message in dark.drain(0.3) if message.start.startswith("NOTIFY")] == []


@pytest.mark.unwitnessed  # what the house had seen of the call died with it
def test_what_was_said_before_kill_9_is_delivered_at_the_next_start(box: Lab) -> None:
    leave(box.phone(Make.BARESIP_PY, "1001"), seconds=3.0)
    box.house.kill()
    box.house.start()
    message = the_message(box.house)
    assert message["caller"] == "1001"
    assert 2.0 < message["seconds"] < 5.0
    assert ears.listen(sound_of(box.house, message), 450.0).present > 0.8
    box.house.kill()
    box.house.start()  # and only once
    assert [one["id"] for one in messages(box.house)] == [message["id"]]


def test_wrong_pins_lock_the_mailbox(box: Lab) -> None:
    phone = box.phone(Make.PJSUA2, "1003", **SILENT)
    call = phone.dial("*98").established()
    hears(call, SAY["vm-mailbox"])
    call.send_digits("1002#")
    hears(call, SAY["enter-pin"])
    call.send_digits("9991#")
    hears(call, SAY["wrong-pin"])
    call.send_digits("9992#9993#")
    hears(call, SAY["vm-locked"])
    call.ended()
    assert box.house.get("/house/v1/voicemail/1002")["locked_until"] is not None
    again = phone.dial("*98").established()
    hears(again, SAY["vm-mailbox"])
    again.send_digits("1002#1002#")  # the right one
    hears(again, SAY["vm-locked"])
    again.ended()
    box.house.order("POST", "/house/v1/voicemail/1002/pin", {"pin": "4711"})
    third = phone.dial("*98").established()
    third.send_digits("1002#4711#")
    hears(third, SAY["vm-none"])
    third.hang_up()
    assert b"4711" not in (box.house.data / "pbxd.db").read_bytes()


def test_a_message_is_downloaded_in_parts_and_removed_for_good(box: Lab) -> None:
    leave(box.phone(Make.BARESIP_PY, "1001"), seconds=1.0).hang_up()
    message = the_message(box.house)
    path = f"{box.house.http}/house/v1/voicemail/1002/messages/{message['id']}"
    part = urllib.request.Request(f"{path}/sound", headers={"X-API-Key": ADMIN_KEY, "Range": "bytes=0-3"})
    with urllib.request.urlopen(part, timeout=5) as answer:
        assert (answer.status, answer.read(), answer.headers["Content-Type"]) == (206, b"RIFF", "audio/wav")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{path}/sound", timeout=5)
    box.house.order("DELETE", f"/house/v1/voicemail/1002/messages/{message['id']}")
    until(lambda: list((box.house.data / "voicemail").rglob("*.wav")) == [], "the file to go")
    assert messages(box.house) == []


def test_an_uploaded_greeting_is_played(box: Lab, tmp_path: Any) -> None:
    seconds = np.arange(8000 * 2) / 8000
    tone = (8000 * np.sin(2 * np.pi * 700 * seconds)).astype("<i2")
    body = io.BytesIO()
    with wave.open(body, "wb") as file:
        file.setparams((1, 2, 8000, len(tone), "NONE", ""))
        file.writeframes(tone.tobytes())
    url = f"{box.house.http}/house/v1/voicemail/1002/greetings/unavailable"
    headers = {"X-API-Key": ADMIN_KEY, "Content-Type": "audio/wav"}
    with urllib.request.urlopen(
        urllib.request.Request(url, body.getvalue(), headers, method="PUT"), timeout=20
    ) as done:
        assert done.status == 204
    bad = urllib.request.Request(url, b"no sound at all", headers, method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(bad, timeout=20)
    call = box.phone(Make.BARESIP_PY, "1001", **SILENT).dial(LEAVE).established()
    call.awaits(700.0, timeout=8)
    call.hang_up()


def test_the_command_line(box: Lab) -> None:
    leave(box.phone(Make.BARESIP_PY, "1001"), seconds=1.0).hang_up()
    message = the_message(box.house)

    def pbxd(*words: str, typed: str = "") -> str:
        command = [str(PBXD), "voicemail", *words, "--socket", str(box.house.data / "pbxd.sock")]
        done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "1002     1    0" in pbxd()
    assert message["id"] in pbxd("show", "1002")
    assert pbxd("delete", "1002", message["id"]) == f"{message['id']}: deleted\n"
    assert pbxd("restore", "1002", message["id"]) == f"{message['id']}: saved\n"
    assert pbxd("purge", "1002", message["id"]) == f"{message['id']}: removed\n"
    assert pbxd("show", "1002") == "There are no messages.\n"
    assert pbxd("pin", "1002", typed="4711\n") == "The mailbox 1002 has a new PIN.\n"
    assert json.loads(pbxd("--json"))["mailboxes"][1]["pin_changed"] is True
