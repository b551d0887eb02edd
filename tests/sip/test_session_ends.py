"""CANCEL and BYE, and every way they cross what comes from the other side."""

from __future__ import annotations

import pytest

from pbxd.sip.session import EndCause, SessionState
from tests.sip.ladders import call_up, two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

# ---- CANCEL


def test_cancel_while_it_rings() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    alice.session.cancel(wire.now, reason='SIP;cause=200;text="Call completed elsewhere"')
    alice >> "CANCEL" >> bob
    bob >> "200 CANCEL" >> alice
    bob >> "487 INVITE" >> alice
    alice >> "ACK" >> bob
    assert alice.heard() == ["progress 180", "ended LOCAL_HANGUP"]
    assert bob.heard() == ["ended REMOTE_CANCEL 487"]
    assert bob.call.ending.reason_header == 'SIP;cause=200;text="Call completed elsewhere"'
    assert nothing_left(wire, alice, bob)


def test_cancel_before_anything_came_waits_for_a_provisional() -> None:
    """RFC 3261 §9.1."""
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    alice.session.hangup(wire.now)
    wire.settle()
    assert wire.sent("alice", "CANCEL") == []
    bob >> 100 >> alice
    alice >> "CANCEL" >> bob
    assert nothing_left(wire, alice, bob)
    assert bob.call.ending.cause is EndCause.REMOTE_CANCEL


def test_200_crosses_cancel() -> None:
    """RFC 3261 §9.1, §15: the call is up on both sides for a moment, then ACK and BYE."""
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    bob.session.accept(b"bob", wire.now)
    alice.session.cancel(wire.now)
    wire.after(1)
    assert alice.heard() == ["progress 180", "ended LOCAL_HANGUP"]
    assert bob.heard() == ["established", "ended REMOTE_BYE"]
    assert [len(wire.sent("alice", what)) for what in ("CANCEL", "ACK", "BYE")] == [1, 1, 1]
    assert nothing_left(wire, alice, bob)


def test_200_long_after_cancel() -> None:
    """A peer that answers all the same is told to stop."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 180)
    alice.session.cancel(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("CANCEL"), 200)
    wire.after(10)
    bob.reply(alice, invite, 200, sdp=b"bob")
    assert bob.request("ACK").cseq.number == invite.cseq.number
    bob.reply(alice, bob.request("BYE"), 200)
    assert alice.heard() == ["progress 180", "ended LOCAL_HANGUP"]
    assert nothing_left(wire, alice)


def test_a_cancelled_peer_that_never_says_anything_again() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 180)
    alice.session.cancel(wire.now)
    wire.after(31.9)
    assert alice.heard() == ["progress 180"]
    wire.after(0.2)
    assert alice.heard() == ["progress 180", "ended LOCAL_HANGUP"]
    assert nothing_left(wire, alice)


def test_cancel_after_the_answer_has_no_effect() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice", branch="z9hG4bKsame")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    answered = alice.response("INVITE")
    alice.ask(bob, "CANCEL", 1, branch="z9hG4bKsame")
    assert alice.response("CANCEL").status == 200
    assert bob.session.state is SessionState.ACCEPTED
    alice.ask(bob, "ACK", 1, to_tag=answered.to.tag)
    alice.ask(bob, "BYE", 2, to_tag=answered.to.tag)
    assert bob.heard() == ["established", "ended REMOTE_BYE"]
    assert nothing_left(wire, bob)


# ---- BYE and its crossings


def test_bye_crosses_bye() -> None:
    wire = Wire(Weather(delay=0.05))
    alice, bob = two(wire)
    call_up(alice, bob)
    alice.session.hangup(wire.now)
    bob.session.hangup(wire.now)
    wire.after(1)
    assert alice.call.ending.cause is bob.call.ending.cause is EndCause.LOCAL_HANGUP
    assert alice.last(200).cseq.method == bob.last(200).cseq.method == "BYE"
    assert nothing_left(wire, alice, bob)


def test_bye_overtakes_the_ack() -> None:
    """The ACK is lost and the caller hangs up: the BYE says as much as the ACK (RFC 5407 §3.1.5)."""
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    wire.lose("ACK")
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    bob >> "200 BYE" >> alice
    assert bob.heard() == ["ended REMOTE_BYE"]
    wire.after(30)
    assert len(wire.sent("bob", "200 INVITE")) == 1
    assert nothing_left(wire, alice, bob)


def test_hangup_before_the_ack_waits_for_it() -> None:
    """RFC 3261 §15: the callee sends no BYE until it has the ACK."""
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob.session.accept(b"bob", wire.now)
    bob.session.hangup(wire.now, reason="Q.850;cause=16")
    assert bob.session.state is SessionState.LEAVING
    wire.after(0.15)
    assert wire.sent("bob", "BYE") == []
    wire.after(0.2)
    assert len(wire.sent("bob", "BYE")) == 1
    assert bob.last("BYE").headers.get("Reason") == "Q.850;cause=16"
    assert nothing_left(wire, alice, bob)
    assert bob.heard() == ["ended LOCAL_HANGUP"]
    assert alice.heard() == ["answered [bob]", "ended REMOTE_BYE"]


def test_no_ack_ever() -> None:
    """RFC 3261 §13.3.1.4: the 2xx is sent for 64*T1, then the session is ended with BYE."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.after(31.9)
    assert bob.heard() == []
    assert wire.sent("bob", "200 INVITE")[:6] == [0, 0.5, 1.5, 3.5, 7.5, 11.5]
    wire.after(0.2)
    assert bob.heard() == ["ended NO_ACK"]
    assert wire.sent("bob", "BYE") == [32.0]
    assert nothing_left(wire, bob)


def test_hung_up_and_no_ack_ever() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    bob.session.hangup(wire.now)
    assert nothing_left(wire, bob)
    assert bob.call.log == ["32 ended LOCAL_HANGUP"]
    assert wire.sent("bob", "BYE")[0] == 32.0


def test_bye_to_a_dead_phone() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    wire.weather = Weather(loss=1)
    alice.session.hangup(wire.now)
    alice.session.hangup(wire.now)
    wire.after(33)
    assert alice.call.log[-1] == "32 ended LOCAL_HANGUP"
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_bye_before_the_answer_is_a_cancel() -> None:
    """RFC 3261 §15: a caller may send BYE in an early dialog; the INVITE gets its 487 (§15.1.2)."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.ring(180, wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "BYE", 2, to_tag=tag, headers=[("Reason", "SIP;cause=600")])
    assert alice.response("BYE").status == 200
    assert alice.response("INVITE").status == 487
    assert bob.heard() == ["ended REMOTE_CANCEL 487"]
    assert bob.call.ending.reason_header == "SIP;cause=600"
    assert nothing_left(wire, bob)


@pytest.mark.parametrize("rings", [True, False])
def test_a_callee_that_says_bye_before_its_answer(rings: bool) -> None:
    """It must not (RFC 3261 §15), but its 2xx may have been lost: nobody is left ringing."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 180 if rings else 100)
    ours = {"call_id": invite.call_id, "to_tag": invite.from_.tag}
    bob.ask(alice, "BYE", 1, **ours)  # type: ignore[arg-type]
    assert bob.response("BYE").status == 200
    assert bob.request("CANCEL").cseq.number == invite.cseq.number
    bob.reply(alice, invite, 487)
    assert alice.heard()[-1] == "ended REMOTE_BYE"
    assert nothing_left(wire, alice)


def test_a_request_that_overtakes_the_first_response() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.ask(alice, "INFO", 1, call_id=invite.call_id, to_tag=invite.from_.tag)
    answer = bob.response("INFO")
    assert (answer.status, answer.headers.get("Retry-After")) == (500, "1")
    bob.reply(alice, invite, 486)
    assert nothing_left(wire, alice)


def test_bye_before_the_delayed_answer() -> None:
    """The callee gives up waiting for our ACK: it still gets one, and its 200."""
    wire = Wire()
    alice, bob = Party(wire, "alice", offers=False), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 200, sdp=b"offer")
    bob.ask(alice, "BYE", 1, call_id=invite.call_id, to_tag=invite.from_.tag)
    assert bob.response("BYE").status == 200
    assert bob.request("ACK").body == b""
    assert alice.heard() == ["answered [offer]", "ended REMOTE_BYE"]
    assert nothing_left(wire, alice)


def test_bye_crosses_our_cancel() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 180)
    alice.session.cancel(wire.now)
    bob.ask(alice, "BYE", 1, call_id=invite.call_id, to_tag=invite.from_.tag)
    assert bob.response("BYE").status == 200
    bob.ask(alice, "INFO", 2, call_id=invite.call_id, to_tag=invite.from_.tag)
    assert bob.response("INFO").status == 481  # we have left
    bob.reply(alice, invite, 487)
    assert alice.heard() == ["progress 180", "ended LOCAL_HANGUP"]
    assert nothing_left(wire, alice)
