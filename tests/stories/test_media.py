"""Sound and digits on the wire: who may send it, what passes, and what the lack of it does."""

from collections.abc import Callable

import pytest

from tests.clients import ears
from tests.clients.lab import Lab, connect, converse, end, eventually
from tests.clients.phone import Call, Phone, talk
from tests.clients.phones import Make
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_rtp import RawRtp
from tests.clients.raw_sip import RawDialog
from tests.clients.until import until

PEER = "127.0.0.11"


@pytest.mark.parametrize(
    "makes",
    [(Make.PJSUA2, Make.PJSUA2), (Make.BARESIP_PY, Make.PJSUA2), (Make.PJSUA2, Make.BARESIP_PY)],
    ids=lambda makes: "-".join(make.name.lower() for make in makes),
)
def test_digits_pass_through_both_ways(lab: Lab, makes: tuple[Make, Make]) -> None:
    outgoing, incoming = converse(lab.phone(makes[0], "1001"), lab.phone(makes[1], "1002"))
    outgoing.send_digits("1590*#")
    assert incoming.receive_digits(6) == "1590*#"
    incoming.send_digits("2468")
    assert outgoing.receive_digits(4) == "2468"
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_digits_pass_between_the_two_laws(lab: Lab) -> None:
    one = lab.phone(Make.PJSUA2, "1001", codecs=("PCMA",))
    other = lab.phone(Make.PJSUA2, "1002", codecs=("PCMU",))
    outgoing, incoming = connect(one, other)
    outgoing.send_digits("73")
    assert incoming.receive_digits(2) == "73"
    talk(outgoing, incoming)
    end(outgoing, incoming)


def peer_calls(
    lab: Lab, rtp: RawRtp, phone: Phone, *, announced: int | None = None
) -> tuple[RawDialog, RawMessage, Call]:
    """The trunk lab-peer calls a phone, which answers; gives also the 200."""
    dialog = RawDialog.calling(lab.raw(address=PEER), "outside", phone.line.extension)
    dialog.invite(sdp(PEER, announced or rtp.port, formats="0 8 101"))
    incoming = phone.incoming().answer()
    ok = dialog.sip.response(200, method="INVITE")
    dialog.acknowledge(ok)
    return dialog, ok, incoming


def hang_up(dialog: RawDialog, call: Call) -> None:
    """The trunk hangs up."""
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 200
    call.ended()


@pytest.mark.parametrize("address", ["127.0.0.99", PEER], ids=["another-host", "another-port"])
def test_a_third_party_is_not_heard(lab: Lab, address: str) -> None:
    rtp, thief = lab.rtp(PEER, hz=750.0), lab.rtp(address, hz=1850.0, ssrc=0xBAD)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.BARESIP_PY, "1001"))
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    thief.send_to(ok.media())
    heard = incoming.judge(incoming.listen(1.5), rtp.hz, seconds=1.5)
    assert heard.purity > 0.99
    assert ears.listen(incoming.listen(0.5), thief.hz).present == 0
    assert not thief.packets, "the thief was sent sound"
    hang_up(dialog, incoming)


def test_sound_goes_where_sound_comes_from(lab: Lab) -> None:
    """A phone behind a NAT announces a port that is not the one it is seen to send from."""
    rtp, announced = lab.rtp(PEER, hz=750.0), lab.rtp(PEER)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.BARESIP_PY, "1001"), announced=announced.port)
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    fresh = until(lambda: rtp.packets[50:], "sound where sound comes from")
    assert fresh
    heard = ears.listen(rtp.heard(rtp.packets[10:]), incoming.phone.line.tone_hz)
    assert heard.present > 0.95
    hang_up(dialog, incoming)


def test_streams_keep_their_identity_through_the_house(lab: Lab) -> None:
    rtp = lab.rtp(PEER, hz=750.0)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.BARESIP_PY, "1001"))
    rtp.send_to(ok.media())
    packets = until(lambda: rtp.packets[100:], "two seconds of sound", timeout=8)
    assert packets
    assert len({packet.ssrc for packet in rtp.packets}) == 1
    assert {packet.source for packet in rtp.packets} == {ok.media()}
    pairs = list(zip(rtp.packets, rtp.packets[1:], strict=False))
    assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairs)
    assert all((b.timestamp - a.timestamp) & 0xFFFFFFFF == 160 for a, b in pairs)
    assert not any(packet.marker for packet in rtp.packets[1:])
    hang_up(dialog, incoming)


def test_what_is_no_rtp_does_no_harm(lab: Lab) -> None:
    rtp = lab.rtp(PEER, hz=750.0)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.BARESIP_PY, "1001"))
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    start = incoming.recorded().size
    for junk in (
        b"",
        b"\x80",
        b"\x00" * 12,
        b"\xff" * 200,
        b"OPTIONS sip:x SIP/2.0\r\n\r\n",
        b"\x80\x7f" + b"\x55" * 1400,
    ):
        rtp.send_raw(ok.media(), junk)
    incoming.judge(incoming.heard_since(start, 1.0), rtp.hz, seconds=1.0)
    hang_up(dialog, incoming)


def test_a_call_that_falls_silent_is_ended(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"calls.rtp_timeout_s": 2})
    rtp = lab.rtp(PEER, hz=750.0)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.PJSUA2, "1001"))
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz, seconds=3.0)
    rtp.stop_sending()
    bye = dialog.sip.request("BYE", timeout=6)
    dialog.sip.respond(bye, 200)
    incoming.ended()
    record = lab.record()
    assert record["result"] not in ("success", "unknown")
    assert record["reason"]


def test_a_call_on_hold_may_be_silent(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"calls.rtp_timeout_s": 2})
    outgoing, incoming = converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002"))
    outgoing.hold()
    incoming.hears_nothing(seconds=5.0)
    assert outgoing.is_up()
    outgoing.resume()
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_a_dead_phone_does_not_hold_the_line(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"calls.rtp_timeout_s": 2})
    one, other = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002")
    _, incoming = converse(one, other)
    one.kill()
    incoming.ended(timeout=8)
    eventually(lambda: not lab.house.calls(), "the call to be over", timeout=2)
    assert lab.record()["result"] != "success"


def test_the_house_offers_when_the_caller_does_not(lab: Lab) -> None:
    rtp = lab.rtp(PEER, hz=750.0, payload_type=8)
    phone = lab.phone(Make.PJSUA2, "1001")
    dialog = RawDialog.calling(lab.raw(address=PEER), "outside", "1001")
    dialog.invite("")
    incoming = phone.incoming()
    incoming.answer_soon()
    ok = dialog.sip.response(200, method="INVITE")
    assert "m=audio" in ok.body
    dialog.acknowledge(ok, body=sdp(PEER, rtp.port, formats="8"))
    incoming.established()
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    hang_up(dialog, incoming)


def test_a_reinvite_without_an_offer_is_given_one(lab: Lab) -> None:
    rtp = lab.rtp(PEER, hz=750.0)
    dialog, ok, incoming = peer_calls(lab, rtp, lab.phone(Make.BARESIP_PY, "1001"))
    rtp.send_to(ok.media())
    incoming.hears(rtp.hz)
    dialog.send("INVITE")
    offered = dialog.sip.response(200, method="INVITE")
    assert offered.media() == ok.media()
    dialog.acknowledge(offered, body=sdp(PEER, rtp.port, formats="0", version=2))
    incoming.hears(rtp.hz)
    hang_up(dialog, incoming)


def test_media_lines_that_are_not_served_are_answered_with_port_zero(lab: Lab) -> None:
    rtp = lab.rtp(PEER, hz=750.0)
    dialog = RawDialog.calling(lab.raw(address=PEER), "outside", "600")
    video = "m=video 20002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=image 20004 udptl t38\r\n"
    ok, _ = dialog.invite(sdp(PEER, rtp.port, formats="0") + video)
    assert ok.status == 200
    dialog.acknowledge(ok)
    lines = [line for line in ok.body.splitlines() if line.startswith("m=")]
    assert [line.split()[0] for line in lines] == ["m=audio", "m=video", "m=image"]
    assert [line.split()[1] for line in lines[1:]] == ["0", "0"]
    rtp.send_to(ok.media())
    until(lambda: ears.listen(rtp.heard(), rtp.hz).present > 0.8, "the echo")
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 200
