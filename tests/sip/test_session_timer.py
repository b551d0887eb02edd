"""Session timers (RFC 4028): the arithmetic, and calls that live or die by it."""

from __future__ import annotations

import pytest

from pbxd.sip.headers import Headers
from pbxd.sip.message import Request, Response
from pbxd.sip.refresh import SessionTimer
from pbxd.sip.session import EndCause, SessionSettings
from pbxd.sip.uri import Uri
from tests.sip.ladders import call_up
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import START, Weather, Wire

BRISK = SessionSettings(session_expires=100)
BRISK_WITHOUT_UPDATE = SessionSettings(session_expires=100, allow=("INVITE", "ACK", "BYE", "CANCEL"))


def invite(**headers: str) -> Request:
    lines = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return Request("INVITE", Uri.parse("sip:bob@example.com"), lines)


def ok(**headers: str) -> Response:
    return Response(200, None, Headers((name.replace("_", "-"), value) for name, value in headers.items()))


# ---- the arithmetic


@pytest.mark.parametrize(
    ("headers", "granted", "required", "we_refresh"),
    [  # RFC 4028 §9, table 2
        ({}, None, None, False),
        ({"Session_Expires": "600"}, "600;refresher=uas", None, True),
        ({"Supported": "timer"}, "1800;refresher=uac", "timer", False),
        ({"Supported": "timer", "Session_Expires": "600"}, "600;refresher=uac", "timer", False),
        ({"Supported": "timer", "Session_Expires": "600;refresher=uac"}, "600;refresher=uac", "timer", False),
        ({"Supported": "timer", "Session_Expires": "600;refresher=uas"}, "600;refresher=uas", "timer", True),
        ({"Supported": "timer", "Session_Expires": "600 ; Refresher = UAS"}, "600;refresher=uas", "timer", True),
        ({"Supported": "timer", "Session_Expires": "7200"}, "1800;refresher=uac", "timer", False),
        ({"Supported": "timer", "Session_Expires": "7200", "Min_SE": "3600"}, "3600;refresher=uac", "timer", False),
        ({"Session_Expires": "30"}, "90;refresher=uas", None, True),
        ({"Supported": "timer", "Session_Expires": "soon"}, "1800;refresher=uac", "timer", False),
    ],
)
def test_grant(headers: dict[str, str], granted: str | None, required: str | None, we_refresh: bool) -> None:
    timer = SessionTimer(1800, 90)
    answer = Headers()
    timer.grant(invite(**headers), answer)
    assert answer.get("Session-Expires") == granted
    assert answer.get("Require") == required
    assert timer.we_refresh is we_refresh
    assert (timer.refresh_after is None) is not we_refresh


def test_the_clock() -> None:
    """RFC 4028 §7.2: refresh at half; §10: BYE at min(32 s, a third) before the end."""
    timer = SessionTimer(1800, 90)
    assert (timer.refresh_after, timer.expires_after) == (None, None)
    timer.accept(ok(Session_Expires="1800;refresher=uac"))
    assert (timer.refresh_after, timer.expires_after) == (900, 1768)
    timer.accept(ok(Session_Expires="90;refresher=uas"))
    assert (timer.refresh_after, timer.expires_after) == (None, 60)
    timer.accept(ok())
    assert (timer.refresh_after, timer.expires_after) == (None, None)
    timer.accept(ok(Session_Expires="0;refresher=uac"))
    assert timer.refresh_after == 5
    timer.accept(ok(Session_Expires=f"{10**9};refresher=uac"))
    assert timer.refresh_after == 10**9 / 2
    timer.accept(ok(Session_Expires=f"{10**30};refresher=uac"))
    assert timer.interval == 2**32 - 1


def test_ask() -> None:
    headers = Headers()
    SessionTimer(0, 90).ask(headers)
    assert list(headers) == []
    timer = SessionTimer(1800, 120)
    timer.ask(headers)
    assert list(headers) == [("Session-Expires", "1800"), ("Min-SE", "120")]
    timer.accept(ok(Session_Expires="600;refresher=uas"))
    headers = Headers()
    timer.ask(headers)
    assert headers.get("Session-Expires") == "600;refresher=uas"


def test_too_small() -> None:
    timer = SessionTimer(100, 60)
    assert timer.min_se == 90  # RFC 4028 §4
    refusal = Response(422, None, Headers([("Min-SE", "300;x=y")]))
    assert timer.too_small(refusal)
    assert (timer.expires, timer.min_se) == (300, 300)
    assert not timer.too_small(refusal)
    assert not timer.too_small(Response(422))


def test_plain_data() -> None:
    timer = SessionTimer(1800, 120)
    timer.accept(ok(Session_Expires="600;refresher=uas"))
    assert SessionTimer.from_plain(timer.to_plain()).to_plain() == timer.to_plain()


# ---- calls


def test_refreshed_by_update() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Party(wire, "bob", settings=BRISK)
    call_up(alice, bob)
    assert bob.last(200).headers.get("Session-Expires") == "100;refresher=uac"
    wire.after(210)
    assert wire.sent("alice", "UPDATE") == [50, 100, 150, 200]
    assert wire.sent("bob", "UPDATE") == []
    assert alice.last("UPDATE").body == b""
    assert alice.last("UPDATE").headers.get("Session-Expires") == "100;refresher=uac"
    assert bob.heard() == ["established"]  # nobody is bothered
    assert alice.heard() == ["answered [bob 1]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_refreshed_by_reinvite_with_the_same_description() -> None:
    """RFC 4028 §7.4: the same SDP, so that the peer sees the same o= version."""
    wire = Wire()
    alice = Party(wire, "alice", settings=BRISK_WITHOUT_UPDATE)
    bob = Party(wire, "bob", settings=BRISK_WITHOUT_UPDATE)
    call_up(alice, bob)
    wire.after(50)
    alice >> "INVITE" >> bob
    assert alice.last("INVITE").body == alice.first("INVITE").body
    bob.session.answer(b"bob 1", wire.now)
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    assert alice.heard() == ["answered [bob 1]"]
    wire.after(50)
    alice >> "INVITE" >> bob
    bob.session.answer(b"bob changed", wire.now)
    bob >> 200 >> alice
    assert alice.heard()[-1] == "reanswer 200 [bob changed]"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_a_change_is_a_refresh() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Party(wire, "bob", settings=BRISK)
    call_up(alice, bob)
    wire.after(40)
    bob >> "INVITE" >> alice
    alice >> 200 >> bob
    bob >> "ACK" >> alice
    wire.after(49)
    assert wire.sent("alice", "UPDATE") == []
    wire.after(2)
    assert wire.sent("alice", "UPDATE") == [90]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_nobody_refreshes() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    headers = [("Supported", "timer"), ("Session-Expires", "120;refresher=uac")]
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=headers)
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    answer = alice.response("INVITE")
    assert answer.headers.get("Session-Expires") == "120;refresher=uac"
    assert answer.require == {"timer"}
    alice.ask(bob, "ACK", 1, to_tag=answer.to.tag)
    wire.after(87)
    assert bob.session.established
    wire.after(2)
    assert bob.call.log[-1] == "88 ended SESSION_EXPIRED"
    assert "408" in (alice.request("BYE").headers.get("Reason") or "")
    assert nothing_left(wire, bob)


def test_our_refresh_gets_no_answer() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Party(wire, "bob", settings=BRISK)
    call_up(alice, bob)
    wire.after(40)
    wire.weather = Weather(loss=1)
    wire.after(100)
    # the UPDATE of 50 s has no answer by 100 - 32 s: nobody waits for its own 82 s
    assert alice.call.log[-1] == "68 ended SESSION_EXPIRED"
    assert bob.call.log[-1] == "68 ended SESSION_EXPIRED"
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("status", [481, 408])
def test_our_refresh_is_told_that_there_is_no_call(status: int) -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    headers = [("Session-Expires", "100;refresher=uac"), ("Require", "timer"), ("Allow", "UPDATE")]
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob", headers=headers)
    wire.after(50)
    bob.reply(alice, bob.request("UPDATE"), status)
    assert alice.call.ending.cause is (EndCause.PROTOCOL if status == 481 else EndCause.TIMEOUT)
    assert alice.heard() == ["answered [bob]", alice.heard()[-1]]
    assert nothing_left(wire, alice)


def test_a_refresh_that_is_refused_does_no_harm_until_it_is_too_late() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    headers = [("Session-Expires", "100;refresher=uac"), ("Require", "timer"), ("Allow", "UPDATE")]
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob", headers=headers)
    wire.after(50)
    bob.reply(alice, bob.request("UPDATE"), 405)
    bob.reply(alice, bob.request("INVITE"), 488)
    assert alice.session.established
    wire.after(20)
    assert alice.call.log[-1] == "68 ended SESSION_EXPIRED"
    assert nothing_left(wire, alice)


def test_a_peer_that_does_not_know_timers_is_left_alone() -> None:
    wire = Wire()
    plain = SessionSettings(supported=())
    alice, bob = Party(wire, "alice", settings=plain), Party(wire, "bob", settings=BRISK)
    call_up(alice, bob)
    wire.after(3600)
    assert alice.session.established
    assert bob.session.established
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_422_to_us() -> None:
    """RFC 4028 §7.3: tried again with the peer's Min-SE, first INVITE and refresh alike."""
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Party(wire, "bob", settings=SessionSettings(min_se=300))
    alice >> "INVITE" >> bob
    bob >> 422 >> alice
    alice >> "ACK" >> bob
    assert bob.first(422).headers.get("Min-SE") == "300"
    alice >> "INVITE" >> bob
    again = alice.last("INVITE")
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("300", "300")
    assert again.cseq.number == alice.first("INVITE").cseq.number + 1
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    assert alice.heard() == ["answered [bob 1]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_422_in_the_dialog() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob")
    alice.session.offer(b"hold", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 422, headers=[("Min-SE", "5000")])
    again = bob.request("INVITE")
    assert (again.body, again.headers.get("Session-Expires")) == (b"hold", "5000")
    bob.reply(alice, again, 200, sdp=b"held")
    assert alice.heard()[-1] == "reanswer 200 [held]"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice)


def test_422_that_asks_for_nothing_new_is_a_refusal() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 422, headers=[("Min-SE", "90")])
    assert alice.heard() == ["ended REJECTED 422"]
    assert nothing_left(wire, alice)


def test_422_of_ours_in_the_dialog() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 1, to_tag=tag)
    alice.ask(bob, "UPDATE", 2, to_tag=tag, headers=[("Supported", "timer"), ("Session-Expires", "60")])
    assert (alice.response("UPDATE").status, alice.response("UPDATE").headers.get("Min-SE")) == (422, "90")
    alice.ask(bob, "UPDATE", 3, to_tag=tag, headers=[("Supported", "timer"), ("Session-Expires", "90;refresher=uas")])
    assert alice.response("UPDATE").headers.get("Session-Expires") == "90;refresher=uas"
    wire.after(45)  # now it is our turn
    assert wire.sent("bob", "INVITE") == [pytest.approx(wire.now - START)]
    alice.ask(bob, "BYE", 4, to_tag=tag)
    assert nothing_left(wire, bob)


def test_a_refresh_meets_a_glare() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=BRISK), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    headers = [("Session-Expires", "100;refresher=uac"), ("Require", "timer")]
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob", headers=headers)
    wire.after(50)
    bob.reply(alice, bob.request("INVITE"), 491)
    wire.after(4.1)
    again = bob.request("INVITE")
    bob.reply(alice, again, 200, sdp=b"bob", headers=headers)
    assert len(bob.requests("INVITE")) == 3
    assert alice.heard() == ["answered [bob]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice)
