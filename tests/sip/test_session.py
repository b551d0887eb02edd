"""Calls that come up, or do not."""

from __future__ import annotations

import pytest

from pbxd.sip.offer import OfferError
from pbxd.sip.session import EndCause, SessionSettings, SessionState
from pbxd.sip.stack import DropReason
from tests.sip.ladders import call_up, two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

# ---- plain


def test_a_plain_call() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    bob >> 200 >> alice
    assert alice.heard() == ["progress 180", "answered [bob 1]", "ended LOCAL_HANGUP"]
    assert bob.heard() == ["established", "ended REMOTE_BYE"]
    assert nothing_left(wire, alice, bob)


def test_the_callee_hangs_up() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    bob.session.hangup(wire.now, reason="Q.850 ;cause=16")
    bob >> "BYE" >> alice
    alice >> 200 >> bob
    assert alice.call.ending.cause is EndCause.REMOTE_BYE
    assert alice.call.ending.reason_header == "Q.850 ;cause=16"
    assert nothing_left(wire, alice, bob)


def test_what_we_say_of_ourselves() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    for message in (alice.first("INVITE"), bob.first(200)):
        assert message.allow >= {"INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE"}
        assert message.supported == {"100rel", "timer"}
        assert message.headers.get("Accept") == "application/sdp"
        assert message.contacts[0].uri in (alice.uri, bob.uri)
        assert message.content_type == "application/sdp"
    assert alice.session.allow >= {"UPDATE"}
    assert bob.session.peer_supports == {"100rel", "timer"}
    assert alice.session.remote_sdp == bob.session.local_sdp == b"bob 1"
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_delayed_offer() -> None:
    """RFC 3264 §4, RFC 3261 §13.2.1: the offer comes in the 2xx, the answer in the ACK."""
    wire = Wire()
    alice, bob = Party(wire, "alice", offers=False), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    assert alice.heard() == ["answered [bob 1]"]
    assert alice.session.state is SessionState.ANSWERED
    wire.after(1)
    assert len(wire.sent("bob", 200)) > 1  # it waits for the ACK
    alice.session.answer(b"mine", wire.now)
    wire.settle()
    assert bob.heard() == ["established [mine]"]
    wire.after(10)
    assert len(wire.sent("alice", "ACK")) == 1
    bob >> 200 >> alice  # those that were sent again
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_delayed_offer_that_is_refused_ends_the_call() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", offers=False), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice.session.refuse(488, wire.now)
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)
    assert bob.call.ending.cause is EndCause.PROTOCOL  # an ACK without the answer


def test_accept_needs_a_description() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    with pytest.raises(OfferError, match="needs an answer"):
        bob.session.accept(None, wire.now)
    bob >> 486 >> alice
    assert nothing_left(wire, alice, bob)


# ---- early media


def test_early_media_is_repeated_in_the_2xx() -> None:
    """An unreliable 183 previews the answer; the 2xx brings it (RFC 3261 §13.2.1)."""
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob >> 183 >> alice
    bob.session.accept(None, wire.now)
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    assert alice.heard() == ["progress 183 [bob 1]", "answered [bob 1]"]
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


# ---- refused


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
def test_rejected(status: int) -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob.session.reject(status, wire.now, headers=[("Contact", "<sip:other@example.com>"), ("Reason", "Q.850;cause=17")])
    bob >> status >> alice
    alice >> "ACK" >> bob
    assert (alice.call.ending.cause, alice.call.ending.status) == (EndCause.REJECTED, status)
    assert alice.call.ending.reason_header == "Q.850;cause=17"
    message = alice.call.ending.message
    assert message is not None
    assert str(message.contacts[0].uri) == "sip:other@example.com"
    assert (bob.call.ending.cause, bob.call.ending.status) == (EndCause.LOCAL_REJECT, status)
    assert nothing_left(wire, alice, bob)


def test_nobody_is_there() -> None:
    wire = Wire(Weather(loss=1))
    alice, bob = two(wire)
    alice.invite(bob)
    wire.after(32)
    assert alice.call.log == ["32 ended TIMEOUT 408"]
    assert nothing_left(wire, alice)


def test_no_way_to_get_there() -> None:
    wire = Wire()
    alice = Party(wire, "alice")
    alice.invite()
    wire.after(0)
    assert alice.heard() == ["ended TRANSPORT 503"]
    assert nothing_left(wire, alice)


# ---- 2xx again and again


def test_each_2xx_gets_its_ack() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    wire.lose("ACK", "ACK")
    bob >> 200 >> alice
    wire.after(10)
    assert wire.sent("bob", "200 INVITE") == [0, 0.5, 1.5]
    assert wire.sent("alice", "ACK") == [0, 0.5, 1.5]
    assert len({str(ack.via.branch) for ack in alice.sent("ACK")}) == 3
    assert bob.heard() == ["established"]
    assert alice.heard() == ["answered [bob 1]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_an_ack_with_a_tag_of_its_own_making() -> None:
    """There are phones whose ACK names a To tag nobody gave them; Call-ID and From tag will do."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice", branch="z9hG4bKphone")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 1, to_tag="whatever", branch="z9hG4bKphone")
    assert bob.heard() == ["established"]
    alice.ask(bob, "ACK", 1, to_tag="whatever")
    assert bob.stack.counters[DropReason.STRAY_ACK] == 1
    alice.ask(bob, "BYE", 2, to_tag=tag)
    assert nothing_left(wire, bob)


def test_an_ack_for_another_invite_is_not_taken() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 7, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 6, to_tag=tag)
    assert bob.heard() == []
    assert bob.stack.counters[DropReason.STRAY_ACK] == 1
    alice.ask(bob, "ACK", 7, to_tag=tag)
    assert bob.heard() == ["established"]
    alice.ask(bob, "BYE", 8, to_tag=tag)
    assert nothing_left(wire, bob)


def test_a_2xx_without_the_answer() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200)
    assert bob.request("ACK").method == "ACK"
    bob.reply(alice, bob.request("BYE"), 200)
    assert alice.heard() == ["ended PROTOCOL"]
    assert nothing_left(wire, alice)


def test_a_2xx_without_the_offer() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", offers=False), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200, headers=[("Content-Type", "application/sdp")])
    assert bob.request("ACK").body == b""
    bob.reply(alice, bob.request("BYE"), 200)
    assert alice.heard() == ["ended PROTOCOL"]
    assert nothing_left(wire, alice)


# ---- the user acts from inside a callback


@pytest.mark.parametrize("when", ["progress", "answered"])
def test_hangup_from_a_callback_of_the_caller(when: str) -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice.invite(bob)
    alice.call.do[when] = alice.session.hangup
    wire.settle()
    bob.session.ring(180, wire.now)
    wire.settle()
    bob.session.accept(b"bob", wire.now)
    assert nothing_left(wire, alice, bob)
    assert alice.call.ending.cause is EndCause.LOCAL_HANGUP


def test_hangup_from_a_callback_of_the_callee() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "INVITE" >> bob
    bob.call.do["established"] = bob.session.hangup
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    bob >> "BYE" >> alice
    assert nothing_left(wire, alice, bob)


def test_actions_too_late_do_nothing() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    alice >> "BYE" >> bob
    wire.after(1)
    sent = len(wire.rungs)
    for party in (alice, bob):
        session = party.session
        session.ring(180, wire.now)
        session.accept(b"sdp", wire.now)
        session.reject(486, wire.now)
        session.cancel(wire.now)
        session.offer(b"sdp", wire.now)
        session.answer(b"sdp", wire.now)
        session.refuse(488, wire.now)
        session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)
    assert len(wire.rungs) == sent


def test_settings_say_what_we_allow() -> None:
    wire = Wire()
    settings = SessionSettings(allow=("INVITE", "ACK", "BYE", "CANCEL"), supported=())
    alice, bob = Party(wire, "alice", settings=settings), Party(wire, "bob")
    call_up(alice, bob)
    invite = alice.first("INVITE")
    assert invite.allow == {"INVITE", "ACK", "BYE", "CANCEL"}
    assert "Session-Expires" not in invite.headers
    assert bob.first(200).headers.get("Session-Expires") is None
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)
