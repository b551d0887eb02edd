"""Hold and resume: silence while held, the tone again after it, on both sides; the stream never starts anew."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from media import wav
from media.tones import ToneShape
from tests.clients import ears
from tests.clients.lab import Lab, both_silent, converse, end
from tests.clients.phone import Call, talk
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_rtp import RawRtp
from tests.clients.raw_sip import RawDialog, register
from tests.clients.until import until

ADDRESS_OF_NOBODY = "0.0.0.0"


@pytest.mark.parametrize("holder", ["caller", "callee"])
@pytest.mark.parametrize(
    "makes",
    [(Make.BARESIP_PY, Make.BARESIP_PY), (Make.PJSUA2, Make.PJSUA2), (Make.BARESIP_PY, Make.PJSUA2)],
    ids=lambda makes: "-".join(make.name.lower() for make in makes),
)
def test_hold_and_resume(lab: Lab, makes: tuple[Make, Make], holder: str) -> None:
    outgoing, incoming = converse(lab.phone(makes[0], "1001"), lab.phone(makes[1], "1002"))
    holding = outgoing if holder == "caller" else incoming
    for _ in range(2):
        holding.hold()
        both_silent(outgoing, incoming)
        holding.resume()
        talk(outgoing, incoming)
    end(outgoing, incoming)
    assert lab.record()["result"] == "success"


def test_whom_a_phone_holds_hears_the_music_of_the_house(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    (tmp_path / "tunes").mkdir()
    wav.write(tmp_path / "tunes" / "tune.wav", ToneShape((1900,), -15, (2.0, 0.0)).sound(8000))
    (tmp_path / "tunes" / "broken.mp3").write_bytes(b"this is no sound")
    lab = new_lab(**{"sound.music": str(tmp_path / "tunes"), "sound.music_on_hold": True})
    outgoing, incoming = converse(lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002"))
    for holding, held in ((outgoing, incoming), (incoming, outgoing)):
        holding.hold()
        held.hears(1900.0, dbfs=-18.1, max_gap_ms=500)  # the broken one is a moment of silence
        both_silent(holding)
        holding.resume()
        talk(outgoing, incoming)
    end(outgoing, incoming)
    assert "broken.mp3 is left out of the music" in lab.house.log()


def test_both_hold_and_both_resume(lab: Lab) -> None:
    outgoing, incoming = converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002"))
    outgoing.hold()
    both_silent(outgoing, incoming)
    incoming.hold()
    both_silent(outgoing, incoming)
    incoming.resume()
    both_silent(outgoing)
    outgoing.resume()
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_a_held_call_can_be_ended_by_either_side(lab: Lab) -> None:
    one, other = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    for leaving in (0, 1):
        calls = converse(one, other)
        calls[0].hold()
        both_silent(*calls)
        end(calls[leaving], calls[1 - leaving])


def raw_call(lab: Lab, rtp: RawRtp, address: str) -> tuple[RawDialog, Call]:
    """A scripted caller in a call with phone 1002, both talking."""
    raw = lab.raw(address=address)
    assert register(raw, "1001", "lab-1001").status == 200
    phone = lab.phone(Make.BARESIP_PY, "1002")
    dialog = RawDialog.calling(raw, "1001", "1002")
    dialog.invite(sdp(address, rtp.port, formats="0"), user="1001", password="lab-1001")
    incoming = phone.incoming().answer()
    ok = raw.response(200, method="INVITE")
    dialog.acknowledge(ok)
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    return dialog, incoming


@pytest.mark.parametrize(
    ("direction", "connection"),
    [("sendonly", None), ("inactive", None), ("sendrecv", ADDRESS_OF_NOBODY)],
    ids=["sendonly", "inactive", "rfc2543"],
)
def test_every_way_to_say_hold(lab: Lab, direction: str, connection: str | None) -> None:
    address = lab.house.block.address()
    rtp = lab.rtp(address, hz=1250.0)
    dialog, incoming = raw_call(lab, rtp, address)
    tone = incoming.phone.line.tone_hz

    offer = sdp(address, rtp.port, formats="0", direction=direction, version=2)
    if connection:
        offer = offer.replace(f"c=IN IP4 {address}", f"c=IN IP4 {connection}")
    dialog.send("INVITE", body=offer)
    held = dialog.sip.response(200, method="INVITE")
    dialog.acknowledge(held)
    if not connection:
        assert f"a={'recvonly' if direction == 'sendonly' else 'inactive'}" in held.body
    rtp.stop_sending()
    incoming.hears_nothing()
    before = len(rtp.packets)
    incoming.hears_nothing()
    assert len(rtp.packets) == before, "the house goes on sending to a phone that holds"

    dialog.send("INVITE", body=sdp(address, rtp.port, formats="0", version=3))
    resumed = dialog.sip.response(200, method="INVITE")
    dialog.acknowledge(resumed)
    rtp.send_to(resumed.media())
    incoming.hears(rtp.hz)
    fresh = until(lambda: rtp.packets[before + 40 :], "sound after the hold")
    assert ears.listen(rtp.heard(rtp.packets[before : before + 40]), tone).longest_gap_ms <= 60
    assert {packet.ssrc for packet in rtp.packets} == {fresh[0].ssrc}, "a new SSRC after the hold"
    numbers = [packet.sequence for packet in rtp.packets]
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(numbers)] == [1] * (len(numbers) - 1)
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 200
    incoming.ended()


def test_a_reinvite_that_changes_nothing_is_not_heard(lab: Lab) -> None:
    address = lab.house.block.address()
    rtp = lab.rtp(address, hz=1250.0)
    dialog, incoming = raw_call(lab, rtp, address)
    start = incoming.recorded().size
    for version in (2, 3, 4):
        dialog.send("INVITE", body=sdp(address, rtp.port, formats="0", version=version))
        dialog.acknowledge(dialog.sip.response(200, method="INVITE"))
    incoming.judge(incoming.heard_since(start, 1.0), rtp.hz, seconds=1.0)
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 200
    incoming.ended()
