"""re-INVITE and UPDATE, from both ends."""

from __future__ import annotations

import pytest

from pbxd.sip.flow import Transport
from pbxd.sip.session import EndCause, Reliability, SessionSettings
from tests.sip.ladders import call_up, scripted_callee, scripted_caller, two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

NO_UPDATE = SessionSettings(allow=("INVITE", "ACK", "BYE", "CANCEL", "INFO"))


# ---- one side wants


def test_reinvite_of_the_caller() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    alice >> "INVITE" >> bob
    assert bob.heard()[-1] == "offer [alice 2]"
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    assert alice.heard()[-1] == "reanswer 200 [bob 2]"
    assert (bob.session.local_sdp, bob.session.remote_sdp) == (b"bob 2", b"alice 2")
    assert (alice.session.local_sdp, alice.session.remote_sdp) == (b"alice 2", b"bob 2")
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_reinvite_of_the_callee() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    bob >> "INVITE" >> alice
    alice >> 200 >> bob
    bob >> "ACK" >> alice
    assert bob.heard()[-1] == "reanswer 200 [alice 2]"
    bob >> "BYE" >> alice
    assert nothing_left(wire, alice, bob)


def test_refused_offers_leave_everything_as_it_was() -> None:
    """RFC 3261 §14.1, RFC 3311 §5.2."""
    wire = Wire()
    alice, bob = call_up(*two(wire))
    for method in ("INVITE", "UPDATE"):
        alice >> method >> bob
        bob >> 488 >> alice
        if method == "INVITE":
            alice >> "ACK" >> bob
        assert alice.heard()[-1] == "reanswer 488"
        assert (alice.session.local_sdp, alice.session.remote_sdp) == (b"alice 1", b"bob 1")
        assert (bob.session.local_sdp, bob.session.remote_sdp) == (b"bob 1", b"alice 1")
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_update() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    bob >> "UPDATE" >> alice
    alice >> 200 >> bob
    assert bob.heard()[-1] == "reanswer 200 [alice 2]"
    assert alice.last(200).contacts[0].uri == alice.uri
    bob >> "BYE" >> alice
    assert nothing_left(wire, alice, bob)


def test_update_where_the_peer_does_not_allow_it_is_a_reinvite() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire, settings=NO_UPDATE))
    alice.session.offer(b"new", wire.now, prefer_update=True)
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("status", [405, 501])
def test_update_that_was_only_promised(status: int) -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now, prefer_update=True)
    wire.settle()
    bob.reply(alice, bob.request("UPDATE"), status)
    again = bob.request("INVITE")
    assert again.body == b"new"
    bob.reply(alice, again, 200, sdp=b"fine")
    assert alice.heard()[-1] == "reanswer 200 [fine]"
    assert "UPDATE" not in alice.session.allow
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_changes_wait_for_each_other_and_the_newest_wins() -> None:
    wire = Wire(Weather(delay=0.1))
    alice, bob = call_up(*two(wire))
    for sdp in (b"one", b"two", b"three"):
        alice.session.offer(sdp, wire.now)
    wire.after(0.15)
    bob.act(200, alice)
    wire.after(0.25)
    bob.act(200, alice)
    wire.after(1)
    offers = [line for line in bob.heard() if line.startswith("offer")]
    assert offers == ["offer [one]", "offer [three]"]
    assert alice.heard()[-2:] == ["reanswer 200 [bob 2]", "reanswer 200 [bob 3]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_an_offer_before_the_ack_waits_for_it() -> None:
    wire = Wire(Weather(delay=0.1))
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice.invite(bob)
    wire.after(0.1)
    bob.session.accept(b"bob", wire.now)
    bob.session.offer(b"more", wire.now)
    wire.after(0.15)
    assert wire.sent("bob", "INVITE") == []
    wire.after(0.2)
    assert alice.heard() == ["answered [bob]", "offer [more]"]
    alice.act(200, bob)
    wire.after(1)
    assert bob.heard() == ["established", "reanswer 200 [alice 2]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_peer_wants_our_offer() -> None:
    """A re-INVITE without SDP: our offer in the 200, its answer in the ACK."""
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag)
    assert bob.heard()[-1] == "offer"
    bob.session.answer(b"ours", wire.now)
    wire.settle()
    assert alice.response("INVITE").body == b"ours"
    alice.ask(bob, "ACK", 2, to_tag=tag, sdp=b"theirs")
    assert bob.heard()[-1] == "reanswer 200 [theirs]"
    assert (bob.session.local_sdp, bob.session.remote_sdp) == (b"ours", b"theirs")
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_the_peer_wants_our_offer_and_forgets_to_answer() -> None:
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag)
    bob.session.answer(b"ours", wire.now)
    wire.settle()
    alice.ask(bob, "ACK", 2, to_tag=tag)
    assert bob.heard()[-1] == "reanswer 488"
    assert (bob.session.local_sdp, bob.session.remote_sdp) == (b"bob", b"alice")
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_no_ack_to_a_reinvite() -> None:
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"hold")
    bob.session.answer(b"held", wire.now)
    wire.after(32.1)
    assert bob.heard()[-1] == "ended NO_ACK"
    assert nothing_left(wire, bob)


def test_a_reinvite_whose_2xx_comes_again_is_acknowledged_again() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    alice >> "INVITE" >> bob
    wire.lose("ACK")
    bob >> 200 >> alice
    wire.after(5)
    number = alice.last("INVITE").cseq.number
    assert [ack.cseq.number for ack in alice.sent("ACK")][1:] == [number, number]
    assert alice.heard().count("reanswer 200 [bob 2]") == 1
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_a_lost_ack_and_a_new_reinvite() -> None:
    """The ACK of the first INVITE is lost for good, the peer goes on: that says as much."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"hold")
    assert bob.heard() == ["established", "offer [hold]"]
    bob.session.answer(b"held", wire.now)
    wire.settle()
    alice.ask(bob, "ACK", 2, to_tag=tag)
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_the_ack_goes_to_the_new_target() -> None:
    """RFC 3261 §12.2.1.2: the Contact of a 2xx replaces the target, before its ACK is sent."""
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    again = bob.request("INVITE")
    bob.contact = f"<sip:moved@{bob.address[0]}:{bob.address[1]}>"
    bob.reply(alice, again, 200, sdp=b"fine")
    assert bob.request("ACK").uri.user == "moved"
    alice.session.hangup(wire.now)
    wire.settle()
    assert bob.request("BYE").uri.user == "moved"
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_a_2xx_without_the_answer() -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200)
    assert alice.heard()[-1] == "reanswer 200"
    assert (alice.session.local_sdp, alice.session.remote_sdp) == (b"alice 1", b"bob")
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


# ---- before the answer


def test_update_before_the_answer() -> None:
    """RFC 3311 §5.1: as soon as an offer has been answered reliably, each side may send UPDATE."""
    wire = Wire()
    eager = SessionSettings(reliable=Reliability.WHEN_SUPPORTED)
    alice, bob = Party(wire, "alice", settings=eager), Party(wire, "bob", settings=eager)
    alice >> "INVITE" >> bob
    bob.session.ring(183, wire.now, answer=b"early")
    bob.session.offer(b"bob's", wire.now)  # waits for the PRACK
    bob >> 183 >> alice
    alice >> "PRACK" >> bob
    bob >> "200 PRACK" >> alice
    bob >> "UPDATE" >> alice
    assert "Session-Expires" not in bob.first("UPDATE").headers  # RFC 4028 §7.1: not before the session is up
    alice >> 200 >> bob
    assert bob.heard() == ["reanswer 200 [alice 2]"]
    alice.session.offer(b"alice's", wire.now)
    alice >> "UPDATE" >> bob
    bob >> "200 UPDATE" >> alice
    assert alice.heard()[-1] == "reanswer 200 [bob 1]"
    bob.session.accept(None, wire.now)
    bob >> "200 INVITE" >> alice
    assert bob.first("200 INVITE").body == b""
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_an_offer_before_the_answer_without_100rel_waits_for_the_call() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 183 >> alice
    alice.session.offer(b"later", wire.now, prefer_update=True)
    wire.after(1)
    assert wire.sent("alice", "UPDATE") == []
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "UPDATE" >> bob
    bob >> 200 >> alice
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_update_while_the_first_offer_is_open() -> None:
    """RFC 3311 §5.2: their own offer not answered yet: 500 with Retry-After."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.ring(180, wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "UPDATE", 2, to_tag=tag, sdp=b"impatient")
    answer = alice.response("UPDATE")
    assert answer.status == 500
    assert 0 <= int(answer.headers.get("Retry-After") or "-1") <= 10
    alice.ask(bob, "INVITE", 3, to_tag=tag, sdp=b"impatient")  # RFC 3261 §14.2
    assert alice.response("INVITE").status == 500
    bob.session.reject(486, wire.now)
    assert nothing_left(wire, bob)


# ---- and then it ends


def test_cancelled_reinvite() -> None:
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"new", branch="z9hG4bKagain")
    alice.ask(bob, "CANCEL", 2, to_tag=tag, branch="z9hG4bKagain")
    assert alice.response("CANCEL").status == 200
    assert alice.response("INVITE").status == 487
    bob.session.answer(b"too late", wire.now)
    assert bob.session.established
    assert bob.session.remote_sdp == b"alice"
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


def test_bye_answers_what_is_pending() -> None:
    """RFC 3261 §15.1.2: a pending request gets its 487."""
    wire = Wire()
    alice, bob, tag = scripted_caller(wire)
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"new")
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert alice.response("BYE").status == 200
    assert alice.response("INVITE").status == 487
    assert bob.heard() == ["established", "offer [new]", "ended REMOTE_BYE"]
    assert nothing_left(wire, bob)


def test_hangup_answers_what_is_pending() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    alice >> "INVITE" >> bob
    bob.session.hangup(wire.now)
    bob >> "487 INVITE" >> alice
    bob >> "BYE" >> alice
    assert nothing_left(wire, alice, bob)


def test_a_reinvite_that_is_answered_after_our_bye() -> None:
    """Its 2xx crosses the BYE: it is acknowledged all the same."""
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    again = bob.request("INVITE")
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert alice.heard()[-1] == "ended LOCAL_HANGUP"
    bob.reply(alice, again, 200, sdp=b"fine")
    assert bob.request("ACK").cseq.number == again.cseq.number
    assert nothing_left(wire, alice)


def test_a_reinvite_that_is_never_answered_does_not_outlive_the_call() -> None:
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 100)
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert alice.heard()[-1] == "ended LOCAL_HANGUP"
    assert bob.request("CANCEL").cseq.number == bob.request("INVITE").cseq.number
    assert nothing_left(wire, alice)


def test_a_peer_that_is_gone() -> None:
    """RFC 3261 §14.1: no answer to a re-INVITE ends the dialog."""
    wire = Wire()
    alice, bob = call_up(*two(wire))
    wire.weather = Weather(loss=1)
    alice.session.offer(b"new", wire.now)
    wire.after(33)
    assert alice.heard()[-2:] == ["reanswer 408", "ended TIMEOUT 408"]
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("status", [404, 410, 480, 481, 604])
def test_answers_that_end_the_dialog(status: int) -> None:
    """RFC 5057 §5.1."""
    wire = Wire()
    alice, bob = scripted_callee(wire)
    alice.session.offer(b"new", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), status)
    assert alice.call.ending.cause is EndCause.PROTOCOL
    assert alice.heard()[-2:] == [f"reanswer {status}", f"ended PROTOCOL {status}"]
    assert nothing_left(wire, alice)


def test_an_update_that_nobody_answers() -> None:
    """RFC 3311 §5.2: 504 when the user does not decide in time."""
    wire = Wire()
    alice, bob = call_up(*two(wire))
    alice >> "UPDATE" >> bob
    wire.after(28)
    assert alice.heard()[-1] == "reanswer 504"
    bob.session.answer(b"too late", wire.now)
    assert bob.session.local_sdp == b"bob 1"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_user_answers_from_inside_on_offer() -> None:
    wire = Wire()
    alice, bob = call_up(*two(wire))
    bob.call.do["offer"] = lambda now: bob.session.answer(b"at once", now)
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    assert alice.heard()[-1] == "reanswer 200 [at once]"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_way_back_is_lost_while_the_user_thinks() -> None:
    """The connection breaks: the offer is off, and comes again by the address of the Contact (RFC 3263 §4.3)."""
    wire = Wire()
    alice, bob = Party(wire, "alice", transport=Transport.TCP), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "INVITE" >> bob
    bob.call.do["offer"] = lambda now: bob.session.answer(b"fine", now)
    wire.cut(alice)
    wire.settle()
    assert bob.heard() == ["established", "offer [alice 2]", "offer [alice 2]"]
    assert alice.heard() == ["answered [bob 1]", "reanswer 200 [fine]"]
    assert alice.last("INVITE").via.transport == "UDP"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_way_back_is_lost_for_good() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    invite = alice.ask(bob, "INVITE", 1, sdp=b"alice", transport=Transport.TCP)
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 1, to_tag=tag, transport=Transport.TCP)
    alice.ask(bob, "INVITE", 2, to_tag=tag, sdp=b"new", transport=Transport.TCP)
    assert invite.via.transport == "TCP"
    wire.cut(alice)
    assert bob.session.held is None
    bob.session.answer(b"too late", wire.now)
    assert bob.session.established
    assert bob.session.remote_sdp == b"alice"
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)
