"""Two changes at once (RFC 3261 §14, RFC 3311 §5.2)."""

from __future__ import annotations

import pytest

from tests.sip.ladders import call_up, scripted_callee, scripted_caller, two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

# ---- both at once


def test_glare() -> None:
    """RFC 3261 §14.1: both get 491; the caller, who owns the Call-ID, waits 2.1 to 4 s, the other 0 to 2 s."""
    wire = Wire(Weather(delay=0.05))
    alice, bob = call_up(*two(wire))
    wire.after(1)
    start = wire.now
    alice.act("INVITE", bob)
    bob.act("INVITE", alice)
    wire.after(0.2)
    assert alice.last(491).cseq.method == bob.last(491).cseq.method == "INVITE"
    assert not any(line.startswith(("offer", "reanswer")) for line in alice.heard() + bob.heard())
    wire.after(1.9)
    assert len(wire.sent("bob", "INVITE")) == 2
    assert alice.heard()[-1] == "offer [bob 2]"
    alice.act(200, bob)
    wire.after(2.2)
    assert bob.heard()[-1] == "offer [alice 2]"
    bob.act(200, alice)
    wire.after(1)
    assert alice.heard()[-1] == "reanswer 200 [bob 3]"
    assert bob.heard()[-2:] == ["reanswer 200 [alice 3]", "offer [alice 2]"]
    again = wire.sent("alice", "INVITE")[-1] - (start - 1000)
    assert 2.1 <= again <= 4.2
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("seed", range(20))
def test_glare_always_comes_to_an_end(seed: int) -> None:
    wire = Wire(Weather(delay=0.2, jitter=0.1), seed=seed)
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice.invite(bob)
    wire.after(0.5)
    bob.session.accept(b"bob", wire.now)
    wire.after(1)
    alice.session.offer(b"from alice", wire.now, prefer_update=bool(seed & 1))
    bob.session.offer(b"from bob", wire.now, prefer_update=bool(seed & 2))
    for _ in range(100):
        wire.after(0.3)
        for party, other in ((alice, bob), (bob, alice)):
            if party.session.held is not None:
                party.act(200, other)
    for party in (alice, bob):
        assert any(line.startswith("reanswer 200") for line in party.heard()), wire.ladder
    assert alice.session.local_sdp == bob.session.remote_sdp
    assert alice.session.remote_sdp == bob.session.local_sdp
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_a_glare_that_never_ends_is_given_up() -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    for _ in range(7):
        wire.after(4.1)
        bob.reply(alice, bob.request("INVITE"), 491)
    assert len(bob.requests("INVITE")) == 8
    assert alice.heard()[-1] == "reanswer 491"
    assert alice.session.established
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_a_newer_offer_takes_the_place_of_one_that_met_a_glare() -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"old", wire.now)
    wire.settle()
    alice.session.offer(b"new", wire.now)
    bob.reply(alice, bob.request("INVITE"), 491)
    wire.after(4.1)
    assert bob.request("INVITE").body == b"new"
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"fine")
    wire.after(10)
    assert len(bob.requests("INVITE")) == 3
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_retry_after() -> None:
    """RFC 3261 §14.2: a 500 with Retry-After is tried again then; a long one is a refusal."""
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 500, headers=[("Retry-After", "7 (busy)")])
    wire.after(6.9)
    assert len(bob.requests("INVITE")) == 2
    wire.after(0.2)
    assert len(bob.requests("INVITE")) == 3
    bob.reply(alice, bob.request("INVITE"), 500, headers=[("Retry-After", "3600")])
    assert alice.heard()[-1] == "reanswer 500"
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_two_reinvites_at_once() -> None:
    """RFC 3261 §14.2: the second gets 500 with Retry-After while the first has no answer."""
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"one")
    alice.ask(bob, "INVITE", 3, to_tag=tag, sdp=b"two")
    refused = alice.response("INVITE")
    assert (refused.status, refused.cseq.number) == (500, 3)
    assert 0 <= int(refused.headers.get("Retry-After") or "-1") <= 10
    alice.ask(bob, "UPDATE", 4, to_tag=tag, sdp=b"three")
    assert alice.response("UPDATE").status == 500
    bob.session.answer(b"fine", wire.now)
    wire.settle()
    assert (alice.response("INVITE").status, alice.response("INVITE").cseq.number) == (200, 2)
    alice.ask(bob, "ACK", 2, to_tag=tag)
    alice.ask(bob, "BYE", 5, to_tag=tag)
    assert nothing_left(wire, bob)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_their_change_while_ours_is_out(method: str) -> None:
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    bob.session.offer(b"ours", wire.now)
    wire.settle()
    alice.ask(bob, method, 2, to_tag=tag, sdp=b"theirs")
    assert alice.response(method).status == 491
    alice.reply(bob, alice.request("INVITE"), 200, sdp=b"fine", tag="script")
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_update_without_an_offer_is_never_in_the_way() -> None:
    """It refreshes the target and the timer (RFC 3311 §5.1)."""
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    bob.session.offer(b"ours", wire.now)
    wire.settle()
    alice.contact = f"<sip:moved@{alice.address[0]}:{alice.address[1]}>"
    alice.ask(bob, "UPDATE", 2, to_tag=tag)
    assert alice.response("UPDATE").status == 200
    assert bob.session.dialog is not None
    assert bob.session.dialog.remote_target.user == "moved"
    alice.reply(bob, alice.request("INVITE"), 200, sdp=b"fine")
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_hangup_while_a_change_waits_for_its_turn() -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 491)
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    wire.after(5)
    assert len(bob.requests("INVITE")) == 2
    assert alice.heard() == ["answered [bob]", "ended LOCAL_HANGUP"]
    assert nothing_left(wire, alice)


def test_their_reinvite_while_our_first_invite_is_out() -> None:
    """RFC 3261 §14.2: 491, also after an UPDATE has come and gone."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    reliable = [("Require", "100rel"), ("RSeq", "1"), ("Allow", "UPDATE")]
    bob.reply(alice, invite, 183, headers=reliable, sdp=b"early")
    bob.reply(alice, bob.request("PRACK"), 200)
    alice.session.offer(b"more", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("UPDATE"), 200, sdp=b"fine")
    bob.ask(alice, "INVITE", 1, call_id=invite.call_id, to_tag=invite.from_.tag, sdp=b"theirs")
    assert bob.response("INVITE").status == 491
    bob.reply(alice, invite, 486)
    assert alice.heard() == ["progress 183 [early]", "reanswer 200 [fine]", "ended REJECTED 486"]
    assert nothing_left(wire, alice)


def test_a_hangup_while_an_early_update_is_out() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    reliable = [("Require", "100rel"), ("RSeq", "1"), ("Allow", "UPDATE")]
    bob.reply(alice, invite, 183, tag="one", headers=reliable, sdp=b"early")
    bob.reply(alice, bob.request("PRACK"), 200, tag="one")
    alice.session.offer(b"more", wire.now)
    wire.settle()
    bob.reply(alice, invite, 180, tag="two")
    bob.reply(alice, bob.request("UPDATE"), 200, tag="one", sdp=b"fine")
    assert alice.heard()[-1] == "reanswer 200 [fine]"
    alice.session.offer(b"and more", wire.now)
    alice.session.hangup(wire.now)
    bob.reply(alice, invite, 487)
    assert nothing_left(wire, alice)
