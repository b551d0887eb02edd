"""Recordings of real phones: each in its own channel and nothing of the other, also after a kill -9."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media import wav
from media.library import phrases
from tests.clients.ears import level_of_tone, listen, understood
from tests.clients.house import House, Json
from tests.clients.lab import Lab, converse
from tests.clients.phone import Call
from tests.clients.phones import Make
from tests.clients.sound import RATE, Samples
from tests.clients.until import until
from tests.stories.test_house_numbers import hears_said, said

Labs = Callable[..., Lab]

QUIET = {"announce": "none"}
CHANNELS_APART_DB = 40


def channels_of(data: bytes) -> tuple[int, Samples]:
    """Rate, and the samples of shape (n, channels)."""
    file = io.BytesIO(data)
    form = wav.probe(file)
    file.seek(form.offset)
    return form.rate, np.frombuffer(file.read(form.octets), "<i2").reshape(-1, form.channels)


def finished(house: House, recording_id: str, *, timeout: float = 8.0) -> Json:
    """The recording, once it is checked and closed."""

    def looked() -> Json | None:
        seen: Json = house.get(f"/house/v1/recordings/{recording_id}")
        return seen if seen["state"] in ("done", "cut", "lost") else None

    return until(looked, f"{recording_id} to be finished", timeout=timeout) or {}


def only_call(house: House) -> str:
    return str(house.calls()[0]["id"])


def each_has_a_channel(samples: Samples, left_hz: float, right_hz: float, *, rate: int = RATE) -> None:
    """The caller left, the callee right, for a second in the middle, and nothing of one in the other."""
    middle = samples[len(samples) // 2 - rate // 2 :][:rate]
    for channel, own, other in ((0, left_hz, right_hz), (1, right_hz, left_hz)):
        heard = listen(middle[:, channel], own, rate=rate)
        assert heard.present > 0.95, heard
        level = level_of_tone(middle[:, channel], own, rate=rate)
        assert level_of_tone(middle[:, channel], other, rate=rate) < level - CHANNELS_APART_DB


def hears_most_of(call: Call, prompt: str) -> None:
    """The phone hears a prompt of the house; a late tick costs 20 ms, and with it a chunk of the comparison."""
    hears_said(call, phrases("en")[prompt], most=0.35)


def heard_for(call: Call, seconds: float) -> None:
    """Lets the call go on for so long, by what it hears."""
    call.listen(seconds)


def test_each_phone_has_a_channel_of_its_own(lab: Lab) -> None:
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002")
    outgoing, incoming = converse(caller, callee)
    call_id = only_call(lab.house)
    begun = lab.house.tell("POST", f"/house/v1/calls/{call_id}/recording", QUIET)
    assert (begun["state"], begun["channels"], begun["call_id"]) == ("recording", "stereo", call_id)
    heard_for(outgoing, 2.5)
    incoming.hang_up()
    outgoing.ended()
    recording = finished(lab.house, begun["id"])
    assert (recording["state"], recording["reason"]) == ("done", "the call ended")
    data = lab.house.sound_of(begun["id"])
    assert hashlib.sha256(data).hexdigest() == recording["sha256"]
    assert len(data) == recording["octets"]
    rate, samples = channels_of(data)
    assert (rate, samples.shape[1]) == (8000, 2)
    assert 2.3 < len(samples) / rate < 6
    each_has_a_channel(samples, caller.line.tone_hz, callee.line.tone_hz)
    listed = lab.house.get(f"/house/v1/recordings?call={call_id}")["recordings"]
    assert [one["id"] for one in listed] == [begun["id"]]


def test_talking_goes_on_undisturbed_while_a_recording_begins_and_ends(lab: Lab) -> None:
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    outgoing, incoming = converse(caller, callee)
    call_id, start = only_call(lab.house), outgoing.recorded().size
    lab.house.tell("POST", f"/house/v1/calls/{call_id}/recording", QUIET)
    heard_for(outgoing, 0.8)
    lab.house.tell("POST", f"/house/v1/calls/{call_id}/recording/stop")
    heard_for(outgoing, 0.8)
    samples = outgoing.recorded()[start:][: 2 * RATE]
    heard = listen(samples, callee.line.tone_hz)
    assert heard.longest_gap_ms <= 100, heard
    outgoing.hang_up()
    incoming.ended()


def test_a_pause_leaves_a_tone_out(lab: Lab) -> None:
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    outgoing, incoming = converse(caller, callee)
    way = f"/house/v1/calls/{only_call(lab.house)}/recording"
    begun = lab.house.tell("POST", way, QUIET)
    heard_for(outgoing, 1.0)
    assert lab.house.tell("POST", f"{way}/pause")["state"] == "paused"
    heard_for(outgoing, 2.0)
    assert lab.house.tell("POST", f"{way}/resume")["state"] == "recording"
    heard_for(outgoing, 1.0)
    lab.house.tell("POST", f"{way}/stop")
    recording = finished(lab.house, begun["id"])
    passed = recording["seconds"]
    assert recording["reason"] == "it was stopped"
    assert 1.8 < passed < 3.8
    outgoing.hang_up()
    incoming.ended()


@pytest.mark.unwitnessed  # what the house had seen of the call died with it
def test_kill_nine_amid_the_call_leaves_a_whole_recording(new_lab: Labs) -> None:
    lab = new_lab(**{"recordings.calls": "all", "recordings.announce": "none"})
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    outgoing, _ = converse(caller, callee)
    (recording,) = lab.house.get("/house/v1/recordings")["recordings"]
    heard_for(outgoing, 2.5)
    lab.house.kill()
    (file,) = (lab.house.data / "recordings").rglob("*.wav")
    with file.open("rb") as opened:
        assert wav.probe(opened).octets < file.stat().st_size - 44  # the header does not know all of it yet
    lab.house.start()
    ended = finished(lab.house, recording["id"])
    assert (ended["state"], ended["reason"]) == ("cut", "the daemon was restarted under this recording")
    assert ended["ended_at"] is not None
    rate, samples = channels_of(lab.house.sound_of(recording["id"]))
    assert len(samples) / rate > 2.0
    assert ended["seconds"] == pytest.approx(len(samples) / rate, abs=0.01)
    each_has_a_channel(samples, caller.line.tone_hz, callee.line.tone_hz)


def test_what_the_house_says_is_the_other_side_and_opus_is_made_after_the_call(lab: Lab, tmp_path: Path) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("601").established()
    wish = {"announce": "none", "format": "opus"}
    begun = lab.house.tell("POST", f"/house/v1/calls/{only_call(lab.house)}/recording", wish)
    hears_most_of(call, "press-digits")
    call.hang_up()
    recording = finished(lab.house, begun["id"], timeout=15)
    assert (recording["state"], recording["format"]) == ("done", "opus")
    data = lab.house.sound_of(begun["id"])
    assert data[:4] == b"OggS"
    assert hashlib.sha256(data).hexdigest() == recording["sha256"]
    until(lambda: not list((lab.house.data / "recordings").rglob(f"*{recording['call_id']}.wav")), "the WAV to be gone")


def test_a_prompt_tells_both_that_they_are_recorded(lab: Lab) -> None:
    caller = lab.phone(Make.BARESIP_PY, "1001", tone_dbfs=-80)
    callee = lab.phone(Make.BARESIP_PY, "1002", tone_dbfs=-80)
    outgoing = caller.dial("1002")
    incoming = callee.incoming(timeout=8)
    incoming.answer()
    outgoing.established()
    lab.house.tell("POST", f"/house/v1/calls/{only_call(lab.house)}/recording", {"announce": "prompt"})
    for call in (outgoing, incoming):
        hears_most_of(call, "recorded")
    outgoing.hang_up()
    incoming.ended()


def test_a_disk_without_room_records_nothing_and_the_call_goes_on(new_lab: Labs) -> None:
    lab = new_lab(**{"recordings.calls": "all", "recordings.min_free_mb": 10_000_000})
    caller, callee = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    outgoing, incoming = converse(caller, callee)
    assert lab.house.refuses("POST", f"/house/v1/calls/{only_call(lab.house)}/recording", QUIET) == 503
    until(lambda: lab.house.get("/house/v1/recordings")["recordings"], "a row that says so")
    (row,) = lab.house.get("/house/v1/recordings")["recordings"]
    assert (row["state"], row["reason"]) == ("lost", "there is too little room on the disk to record")
    assert lab.house.metrics()["pbxd_recordings_refused_total"] == 1
    assert lab.house.get("/health/ready")["status"] == "ready"
    outgoing.hang_up()
    incoming.ended()


def test_a_host_records_the_conference_and_its_call_is_recorded_through_every_room(new_lab: Labs) -> None:
    room = {"pin": "1111", "host_pin": "4711"}
    lab = new_lab(**{"conferences.750": room, "recordings.calls": "all", "recordings.announce": "none"})
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("750").established()
    hears_most_of(call, "enter-pin")
    call.send_digits("4711#")
    hears_most_of(call, "conference-alone")
    call.send_digits("*8")
    hears_most_of(call, "recorded")
    (conference,) = lab.house.get("/house/v1/conferences")["conferences"]
    of_room = conference["recording"]
    assert lab.house.get(f"/house/v1/recordings/{of_room}")["room"] == "750"
    heard_for(call, 1.5)
    call.send_digits("*8")
    hears_most_of(call, "recording-stopped")
    call.hang_up()
    recorded = finished(lab.house, of_room)
    assert (recorded["state"], recorded["call_id"], recorded["channels"]) == ("done", None, "mixed")
    rate, samples = channels_of(lab.house.sound_of(of_room))
    assert level_of_tone(samples[-rate:, 0], phone.line.tone_hz, rate=rate) > -30
    (own,) = [one for one in lab.house.get("/house/v1/recordings")["recordings"] if one["call_id"]]
    finished(lab.house, own["id"])
    rate, samples = channels_of(lab.house.sound_of(own["id"]))
    said_to_it = samples[:, 1]
    for prompt in ("enter-pin", "recorded"):  # before and after it moved into the room
        assert understood(said(phrases("en")[prompt]), said_to_it) > 0.35
    assert level_of_tone(samples[-2 * rate : -rate, 0], phone.line.tone_hz, rate=rate) > -30
