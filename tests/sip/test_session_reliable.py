"""100rel and PRACK (RFC 3262), from both ends."""

from __future__ import annotations

import pytest

from pbxd.sip.session import EndCause, Reliability, SessionSettings, SessionState
from tests.sip.ladders import two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

EAGER = SessionSettings(reliable=Reliability.WHEN_SUPPORTED)
NEVER = SessionSettings(supported=("timer",))


def test_ringing_that_arrives() -> None:
    wire = Wire()
    alice, bob = two(wire, settings=EAGER)
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    ringing = bob.first(180)
    assert ringing.require == {"100rel"}
    number = int(ringing.headers.get("RSeq") or "0")
    assert 1 <= number < 2**31
    alice >> "PRACK" >> bob
    assert alice.first("PRACK").headers.get("RAck") == f"{number} {alice.first('INVITE').cseq.number} INVITE"
    bob >> "200 PRACK" >> alice
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("settings", [NEVER, SessionSettings()])
def test_only_where_both_want_it(settings: SessionSettings) -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=NEVER), Party(wire, "bob", settings=settings)
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    assert bob.first(180).require == frozenset()
    wire.after(5)
    assert wire.sent("bob", 180) == [0]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_required() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice.headers = [("Require", "100rel")]
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    alice >> "PRACK" >> bob
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_required_of_one_that_cannot() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob", settings=NEVER)
    alice.headers = [("Require", "100rel")]
    alice >> "INVITE" >> bob
    bob >> 420 >> alice
    assert alice.call.ending.status == 420
    assert nothing_left(wire, alice, bob)


def test_it_is_sent_again_until_the_prack_comes() -> None:
    """RFC 3262 §3: at T1, then doubling."""
    wire = Wire()
    alice, bob = two(wire, settings=EAGER)
    alice >> "INVITE" >> bob
    wire.after(1)  # a 100 has stopped the INVITE
    wire.lose("183", "183", "183", "183")
    bob.act(183, alice)
    wire.after(20)
    assert wire.sent("bob", 183) == [1, 1.5, 2.5, 4.5, 8.5]
    assert alice.heard() == ["progress 183 [bob 1]"]
    assert wire.sent("alice", "PRACK") == [8.5]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_it_comes_again_though_acknowledged() -> None:
    """A PRACK that is late does not make the user hear it twice."""
    wire = Wire()
    alice, bob = two(wire, settings=EAGER)
    alice >> "INVITE" >> bob
    wire.lose("PRACK", "PRACK")
    bob.act(183, alice)
    wire.after(5)
    assert wire.sent("bob", 183) == [0, 0.5, 1.5]
    assert wire.sent("alice", "PRACK") == [0, 0.5, 1.5]
    assert alice.heard() == ["progress 183 [bob 1]"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_no_prack_ever() -> None:
    """RFC 3262 §3: after 64*T1 the INVITE is refused."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob", settings=EAGER)
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=[("Supported", "100rel")])
    bob.session.ring(180, wire.now)
    wire.after(31.9)
    assert wire.sent("bob", 180) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bob.heard() == []
    wire.after(0.2)
    assert bob.heard() == ["ended NO_ACK 504"]
    assert alice.response("INVITE").status == 504
    assert nothing_left(wire, bob)


def test_the_next_waits_for_the_prack() -> None:
    """RFC 3262 §3: one reliable response at a time."""
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire, settings=EAGER)
    alice.invite(bob)
    wire.after(0.1)
    bob.session.ring(183, wire.now, answer=b"early")
    bob.session.ring(180, wire.now)
    bob.session.ring(182, wire.now)
    wire.after(0.1)
    assert alice.heard() == ["progress 183 [early]"]
    wire.after(0.2)
    assert alice.heard() == ["progress 183 [early]", "progress 180"]
    wire.after(0.2)
    assert alice.heard() == ["progress 183 [early]", "progress 180", "progress 182"]
    numbers = [int(each.headers.get("RSeq") or "") for each in (bob.first(183), bob.first(180), bob.first(182))]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_2xx_waits_for_the_prack_of_an_answer() -> None:
    """RFC 3262 §5: no 2xx while a reliable 18x with SDP is not acknowledged; then it carries none."""
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire, settings=EAGER)
    alice.invite(bob)
    wire.after(0.1)
    bob.session.ring(183, wire.now, answer=b"early")
    bob.session.accept(b"early", wire.now)
    wire.after(0.15)
    assert wire.sent("bob", "200 INVITE") == []
    wire.after(0.3)
    assert bob.first("200 INVITE").body == b""
    assert alice.heard() == ["progress 183 [early]", "answered"]
    assert alice.session.remote_sdp == b"early"
    wire.after(1)
    assert bob.heard() == ["established"]
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_the_2xx_does_not_wait_for_mere_ringing() -> None:
    """A final response stops the 18x; its PRACK, late, is still answered 200."""
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire, settings=EAGER)
    alice.invite(bob)
    wire.after(0.1)
    bob.session.ring(180, wire.now)
    bob.session.accept(b"bob", wire.now)
    wire.after(2)
    assert len(wire.sent("bob", 180)) == 1
    assert alice.heard() == ["progress 180", "answered [bob]"]
    assert len(wire.sent("bob", "200 PRACK")) == 1
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_refused_while_the_prack_is_out() -> None:
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire, settings=EAGER)
    alice.invite(bob)
    wire.after(0.1)
    bob.session.ring(183, wire.now, answer=b"early")
    bob.session.reject(486, wire.now)
    assert nothing_left(wire, alice, bob)
    assert alice.call.ending.status == 486


def test_the_answer_in_a_2xx_after_a_reliable_one_is_not_looked_at() -> None:
    """RFC 3261 §13.2.1, RFC 6337 §3.1.1."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 183, headers=[("Require", "100rel"), ("RSeq", "7")], sdp=b"first")
    bob.reply(alice, bob.request("PRACK"), 200)
    bob.reply(alice, invite, 200, sdp=b"first")
    assert alice.heard() == ["progress 183 [first]", "answered"]
    assert alice.session.remote_sdp == b"first"
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_out_of_order() -> None:
    """RFC 3262 §4: one that is too early is not acknowledged, nor heard of; it will come again."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 180, headers=[("Require", "100rel"), ("RSeq", "7")])
    bob.reply(alice, bob.request("PRACK"), 200)
    bob.reply(alice, invite, 182, headers=[("Require", "100rel"), ("RSeq", "9")])
    bob.reply(alice, invite, 181, headers=[("Require", "100rel"), ("RSeq", "8")])
    bob.reply(alice, bob.request("PRACK"), 200)
    bob.reply(alice, invite, 182, headers=[("Require", "100rel"), ("RSeq", "9")])
    bob.reply(alice, bob.request("PRACK"), 200)
    bob.reply(alice, invite, 183, headers=[("Require", "100rel"), ("RSeq", "many")])
    bob.reply(alice, invite, 183, headers=[("Require", "100rel"), ("RSeq", "²")])
    assert alice.heard() == ["progress 180", "progress 181", "progress 182"]
    assert [(each.headers.get("RAck") or "").split()[0] for each in bob.requests("PRACK")] == ["7", "8", "9"]
    bob.reply(alice, invite, 486)
    assert nothing_left(wire, alice)


@pytest.mark.parametrize(
    "rack", ["1 1 INVITE", "{} 2 INVITE", "{} 1 BYE", "{}", "x y z", "² 1 INVITE", "1 ² INVITE", ""]
)
def test_a_prack_for_nothing(rack: str) -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob", settings=EAGER)
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=[("Supported", "100rel")])
    bob.session.ring(180, wire.now)
    wire.settle()
    ringing = alice.response("INVITE")
    headers = [("RAck", rack.format(ringing.headers.get("RSeq")))] if rack else []
    alice.ask(bob, "PRACK", 2, to_tag=ringing.to.tag, headers=headers)
    assert alice.response("PRACK").status == 481
    bob.session.reject(486, wire.now)
    assert nothing_left(wire, bob)


def test_a_prack_without_any_reliable_response() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.ring(180, wire.now)
    wire.settle()
    alice.ask(bob, "PRACK", 2, to_tag=alice.response("INVITE").to.tag, headers=[("RAck", "1 1 INVITE")])
    assert alice.response("PRACK").status == 481
    bob.session.reject(486, wire.now)
    assert nothing_left(wire, bob)


# ---- offers in 18x and PRACK


def test_an_offer_in_the_18x_is_answered_in_the_prack() -> None:
    """RFC 3262 §5, RFC 6337 pattern 4."""
    wire = Wire()
    alice, bob = two(wire, settings=EAGER, offers=False)
    alice >> "INVITE" >> bob
    bob >> 183 >> alice
    assert alice.heard() == ["progress 183 [bob 1]"]
    wire.after(0.1)
    assert wire.sent("alice", "PRACK") == []
    alice.session.answer(b"mine", wire.now)
    alice >> "PRACK" >> bob
    assert bob.heard() == ["reanswer 200 [mine]"]
    bob >> "200 PRACK" >> alice
    bob.session.accept(None, wire.now)
    bob >> "200 INVITE" >> alice
    alice >> "ACK" >> bob
    assert alice.heard() == ["progress 183 [bob 1]", "answered"]
    assert bob.heard() == ["reanswer 200 [mine]", "established"]
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


def test_an_offer_in_the_18x_that_the_prack_does_not_answer() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob", settings=EAGER)
    alice.ask(bob, "INVITE", 1, headers=[("Supported", "100rel")])
    bob.session.ring(183, wire.now, answer=b"offer")
    wire.settle()
    ringing = alice.response("INVITE")
    assert ringing.body == b"offer"
    headers = [("RAck", f"{ringing.headers.get('RSeq')} 1 INVITE")]
    alice.ask(bob, "PRACK", 2, to_tag=ringing.to.tag, headers=headers)
    assert bob.heard() == ["reanswer 488"]
    bob.session.reject(488, wire.now)
    assert nothing_left(wire, bob)


def test_an_unreliable_18x_carries_no_offer() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1)
    bob.session.ring(183, wire.now, answer=b"offer")
    wire.settle()
    assert alice.response("INVITE").body == b""
    bob.session.reject(488, wire.now)
    assert nothing_left(wire, bob)


@pytest.mark.parametrize("status", [200, 488])
def test_an_offer_in_the_prack(status: int) -> None:
    """RFC 3262 §5, RFC 6337 pattern 5: answered in its 200, and the 2xx to the INVITE waits for that."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob", settings=EAGER)
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=[("Supported", "100rel")])
    bob.session.ring(183, wire.now, answer=b"bob")
    wire.settle()
    ringing = alice.response("INVITE")
    headers = [("RAck", f"{ringing.headers.get('RSeq')} 1 INVITE")]
    alice.ask(bob, "PRACK", 2, to_tag=ringing.to.tag, headers=headers, sdp=b"more")
    assert bob.heard() == ["offer [more]"]
    bob.session.accept(None, wire.now)
    wire.settle()
    assert alice.response("INVITE").status == 183
    bob.act(status, alice)
    wire.settle()
    assert alice.response("PRACK").status == status
    assert alice.response("INVITE").status == 200
    assert bob.session.remote_sdp == (b"more" if status == 200 else b"alice")
    alice.ask(bob, "ACK", 1, to_tag=ringing.to.tag)
    alice.ask(bob, "BYE", 3, to_tag=ringing.to.tag)
    assert nothing_left(wire, bob)


def test_an_offer_in_the_prack_that_nobody_answers() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob", settings=EAGER)
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=[("Supported", "100rel")])
    bob.session.ring(183, wire.now, answer=b"bob")
    wire.settle()
    ringing = alice.response("INVITE")
    headers = [("RAck", f"{ringing.headers.get('RSeq')} 1 INVITE")]
    alice.ask(bob, "PRACK", 2, to_tag=ringing.to.tag, headers=headers, sdp=b"more")
    wire.after(28)
    assert alice.response("PRACK").status == 504
    bob.session.hangup(wire.now)
    assert nothing_left(wire, bob)


def test_a_reliable_18x_to_a_reinvite() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob")
    alice.session.offer(b"hold", wire.now)
    wire.settle()
    again = bob.request("INVITE")
    reliable = [("Require", "100rel"), ("RSeq", "5")]
    bob.reply(alice, again, 183, headers=reliable, sdp=b"held")
    bob.reply(alice, again, 183, headers=reliable, sdp=b"held")
    (prack,) = bob.requests("PRACK")
    assert prack.headers.get("RAck") == f"5 {again.cseq.number} INVITE"
    bob.reply(alice, prack, 200)
    bob.reply(alice, again, 200)
    assert alice.heard() == ["answered [bob]", "reanswer 183 [held]"]
    assert bob.request("ACK").cseq.number == again.cseq.number
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_cancelled_between_18x_and_prack() -> None:
    wire = Wire(Weather(delay=0.1))
    alice, bob = two(wire, settings=EAGER)
    alice.invite(bob)
    wire.after(0.1)
    bob.session.ring(183, wire.now, answer=b"early")
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)
    assert bob.call.ending.cause is EndCause.REMOTE_CANCEL
    assert alice.call.session.state is SessionState.ENDED


def test_a_prack_to_the_caller() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 180)
    bob.ask(alice, "PRACK", 1, call_id=invite.call_id, to_tag=invite.from_.tag, headers=[("RAck", "1 1 INVITE")])
    assert bob.response("PRACK").status == 481
    bob.reply(alice, invite, 486)
    assert nothing_left(wire, alice)


def test_a_2xx_that_does_not_wait_for_our_prack() -> None:
    """The peer's offer in its 18x has no answer yet, it answers the call all the same: the PRACK still brings ours."""
    wire = Wire()
    alice, bob = Party(wire, "alice", offers=False), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    invite = bob.request("INVITE")
    bob.reply(alice, invite, 183, headers=[("Require", "100rel"), ("RSeq", "1")], sdp=b"offer")
    bob.reply(alice, invite, 200)
    assert alice.heard() == ["progress 183 [offer]", "answered"]
    alice.session.answer(b"mine", wire.now)
    wire.settle()
    assert bob.request("PRACK").body == b"mine"
    bob.reply(alice, bob.request("PRACK"), 200)
    assert (alice.session.local_sdp, alice.session.remote_sdp) == (b"mine", b"offer")
    alice.session.hangup(wire.now)
    wire.settle()
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)
