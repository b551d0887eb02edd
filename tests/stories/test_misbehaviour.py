"""Phones that break the rules: wrong tags, missing ACKs, odd ACKs, repeated requests, glare."""

import time

from tests.clients import ears
from tests.clients.lab import Lab, eventually
from tests.clients.phones import Make
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_sip import RawDialog, register
from tests.clients.until import until

PEER = "127.0.0.11"


def echo_call(lab: Lab, *, port: int = 20_000) -> tuple[RawDialog, RawMessage]:
    """The trunk lab-peer in a call with the echo, before its ACK."""
    dialog = RawDialog.calling(lab.raw(address=PEER), "outside", "600")
    ok, _ = dialog.invite(sdp(PEER, port, formats="0"))
    assert ok.status == 200
    return dialog, ok


def hang_up(dialog: RawDialog) -> None:
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 200


def test_requests_with_wrong_tags_do_not_touch_the_call(lab: Lab) -> None:
    dialog, ok = echo_call(lab)
    dialog.acknowledge(ok)
    right = dialog.local, dialog.remote
    for local, remote in (
        (right[0], right[1] + "x"),
        (right[0] + "x", right[1]),
        (right[0], right[1].partition(";tag=")[0] + ";tag=other"),
    ):
        dialog.local, dialog.remote = local, remote
        dialog.send("BYE")
        assert dialog.sip.response(method="BYE").status == 481
    dialog.local, dialog.remote = right
    assert len(lab.house.calls()) == 1
    hang_up(dialog)
    dialog.send("BYE")
    assert dialog.sip.response(method="BYE").status == 481


def test_an_ack_with_a_wrong_tag_and_the_branch_of_the_invite(lab: Lab) -> None:
    """As pyVoIP does it: matched by Call-ID and From tag alone."""
    rtp = lab.rtp(PEER, hz=750.0)
    dialog = RawDialog.calling(lab.raw(address=PEER), "outside", "600")
    ok, sent = dialog.invite(sdp(PEER, rtp.port, formats="0"))
    to = dialog.remote
    dialog.follow(ok)
    headers = dialog.headers("ACK", sequence=1, via=dict(sent)["Via"])
    headers = [(name, to + ";tag=random" if name == "To" else value) for name, value in headers]
    dialog.sip.send(f"ACK sip:600@{dialog.sip.server[0]} SIP/2.0", headers)
    rtp.send_to(ok.media())
    until(lambda: ears.listen(rtp.heard(), rtp.hz).present > 0.8, "the echo")
    dialog.sip.drain(1.2)
    assert not dialog.sip.repeated, "the house did not take the ACK"
    hang_up(dialog)


def test_a_200_is_repeated_until_the_ack_comes(lab: Lab) -> None:
    dialog, ok = echo_call(lab)
    dialog.sip.drain(1.8)
    assert sum(dialog.sip.repeated.values()) == 2, "T1 and 2 T1 after the first"
    dialog.acknowledge(ok)
    before = sum(dialog.sip.repeated.values())
    dialog.sip.drain(1.0)
    assert sum(dialog.sip.repeated.values()) == before
    hang_up(dialog)


def test_a_call_that_is_never_acknowledged_is_ended(lab: Lab) -> None:
    """RFC 3261 §13.3.1.4: after 64 T1 without an ACK a BYE."""
    start = time.monotonic()
    dialog, _ = echo_call(lab)
    bye = dialog.sip.request("BYE", timeout=40)
    assert 31 < time.monotonic() - start < 34
    assert sum(dialog.sip.repeated.values()) >= 8
    dialog.sip.respond(bye, 200)
    assert lab.record()["result"] != "success"


def test_a_repeated_invite_is_one_call(lab: Lab) -> None:
    raw = lab.raw(address=PEER)
    dialog = RawDialog.calling(raw, "outside", "600")
    headers = [*dialog.headers("INVITE"), ("Content-Type", "application/sdp")]
    for _ in range(3):
        raw.send(f"INVITE {dialog.target} SIP/2.0", headers, sdp(PEER, 20_000))
    ok = raw.response(200, method="INVITE")
    dialog.acknowledge(ok)
    assert len(lab.house.calls()) == 1
    hang_up(dialog)


def test_an_invite_that_came_by_two_ways_is_merged(lab: Lab) -> None:
    """RFC 3261 §8.2.2.2: same From tag, Call-ID and CSeq in another transaction."""
    raw = lab.raw(address=PEER)
    dialog = RawDialog.calling(raw, "outside", "1002")
    phone = lab.phone(Make.BARESIP_PY, "1002")
    first = dialog.send("INVITE", body=sdp(PEER, 20_000), sequence=1)
    phone.incoming()
    second = dialog.send("INVITE", body=sdp(PEER, 20_000), sequence=1)
    merged = raw.response(482, method="INVITE")
    dialog.acknowledge_failure(second, merged)
    dialog.cancel(first)
    dialog.acknowledge_failure(first, raw.response(487, method="INVITE"))


def test_two_reinvites_meet(lab: Lab) -> None:
    """RFC 3261 §14: ours crosses the phone's; the phone says 491, ours comes again later."""
    phone = lab.raw()
    register(phone, "1002", "lab-1002")
    caller = RawDialog.calling(lab.raw(address=PEER), "outside", "1002")
    caller.send("INVITE", body=sdp(PEER, 20_000, formats="0"))
    invite = phone.request("INVITE")
    contact = [("Contact", f"<sip:1002@{phone.host}>")]
    phone.respond(invite, 200, tag="raw", headers=contact, body=sdp(phone.address, 20_000, formats="0"))
    callee = RawDialog.called(phone, invite, "raw")
    ok = caller.sip.response(200, method="INVITE")
    caller.acknowledge(ok)
    phone.request("ACK")

    caller.send("INVITE", body=sdp(PEER, 20_000, formats="0", direction="sendonly", version=2))
    ours = phone.request("INVITE")
    theirs = callee.send("INVITE", body=sdp(phone.address, 20_000, formats="0", version=2))
    glare = phone.response(method="INVITE")
    assert glare.status == 491
    callee.acknowledge_failure(theirs, glare)
    phone.respond(ours, 491, headers=contact)
    again = phone.request("INVITE", timeout=6)
    assert "a=sendonly" in again.body
    phone.respond(
        again, 200, headers=contact, body=sdp(phone.address, 20_000, formats="0", direction="recvonly", version=2)
    )
    held = caller.sip.response(200, method="INVITE", timeout=6)
    assert "a=recvonly" in held.body
    caller.acknowledge(held)
    hang_up(caller)
    phone.respond(phone.request("BYE"), 200)


def test_a_response_to_nothing_does_no_harm(lab: Lab) -> None:
    raw = lab.raw(address=PEER)
    for status in (100, 180, 200, 404, 999):
        raw.send(f"SIP/2.0 {status} Stray", RawDialog.calling(raw, "outside", "600").headers("INVITE"))
    dialog, ok = echo_call(lab)
    dialog.acknowledge(ok)
    hang_up(dialog)
    eventually(lambda: not lab.house.calls(), "the call to be over")


def test_a_slow_connection_and_a_hasty_one(lab: Lab) -> None:
    """Messages end where Content-Length says, however the bytes come (RFC 3261 §18.3)."""
    raw = lab.raw(tcp=True)
    messages = []
    for _ in range(3):
        dialog = RawDialog.calling(raw, "1001", "600")
        headers = "".join(f"{name}: {value}\r\n" for name, value in dialog.headers("OPTIONS"))
        messages.append(f"OPTIONS {dialog.target} SIP/2.0\r\n{headers}Content-Length: 0\r\n\r\n".encode())
    for byte in messages[0]:
        raw.send_bytes(bytes([byte]))
    assert raw.response(method="OPTIONS").status == 200
    raw.send_bytes(messages[1] + messages[2])
    for _ in range(2):
        assert raw.response(method="OPTIONS").status == 200
