"""Calls that come up and go down, and every way they cross."""

from __future__ import annotations

import pytest

from pbxd.sip.message import Request, Response
from pbxd.sip.offer import OfferError
from pbxd.sip.session import EndCause, SessionSettings, SessionState
from pbxd.sip.stack import DropReason
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire


def two(wire: Wire) -> tuple[Party, Party]:
    return Party(wire, "alice"), Party(wire, "bob")


def call_up(alice: Party, bob: Party) -> None:
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob


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


# ---- rules of the protocol


def test_unknown_require() -> None:
    """RFC 3261 §8.2.2.3; in a dialog as well as for the first INVITE."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=[("Require", "100rel, xyzzy, answermode")])
    refused = alice.response("INVITE")
    assert (refused.status, refused.headers.get("Unsupported")) == (420, "answermode, xyzzy")
    assert bob.calls == []
    alice.ask(bob, "ACK", 1, to_tag=refused.to.tag)
    alice.ask(bob, "INVITE", 2, sdp=b"alice", call_id="second")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 2, to_tag=tag, call_id="second")
    for number, method in ((3, "INFO"), (4, "INVITE"), (5, "UPDATE")):
        alice.ask(bob, method, number, to_tag=tag, call_id="second", headers=[("Require", "xyzzy")])
        assert (alice.response(method).status, alice.response(method).headers.get("Unsupported")) == (420, "xyzzy")
    alice.ask(bob, "BYE", 6, to_tag=tag, call_id="second")
    assert nothing_left(wire, bob)


@pytest.mark.parametrize(
    ("headers", "body", "status", "header", "value"),
    [
        ([("Content-Type", "text/plain")], b"hello", 415, "Accept", "application/sdp"),
        ([("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")], b"x", 415, "Accept-Encoding", "identity"),
    ],
)
def test_a_body_we_cannot_read(headers: list[tuple[str, str]], body: bytes, status: int, header: str, value: str) -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    request = Request("INVITE", bob.uri)
    for name, text in [
        ("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKbody"),
        ("From", "<sip:alice@example.com>;tag=a"),
        ("To", "<sip:bob@example.com>"),
        ("Call-ID", "body"),
        ("CSeq", "1 INVITE"),
        ("Contact", alice.contact),
        *headers,
    ]:
        request.headers.add(name, text)
    request.body = body
    wire.shout(request.to_bytes(), alice, bob)
    assert (alice.response("INVITE").status, alice.response("INVITE").headers.get(header)) == (status, value)
    assert bob.calls == []
    assert nothing_left(wire, bob)


def test_requests_out_of_order() -> None:
    """RFC 3261 §12.2.2: a lower CSeq is answered 500, a gap is nothing."""
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 10, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 10, to_tag=tag)
    alice.ask(bob, "INFO", 20, to_tag=tag)
    bob.act(200, alice)
    wire.settle()
    alice.ask(bob, "INFO", 15, to_tag=tag)
    assert alice.response("INFO").status == 500
    assert bob.heard() == ["established", "request INFO"]
    alice.ask(bob, "BYE", 21, to_tag=tag)
    assert nothing_left(wire, bob)


def test_unknown_dialog() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    alice.ask(bob, "ACK", 1, to_tag=tag)
    alice.ask(bob, "BYE", 2, to_tag="other")
    assert alice.response("BYE").status == 481
    alice.ask(bob, "BYE", 2, to_tag=tag, from_tag="stranger")
    assert alice.response("BYE").status == 481
    alice.ask(bob, "BYE", 2, to_tag=tag, call_id="another")
    assert alice.response("BYE").status == 481
    assert bob.session.established
    alice.ask(bob, "BYE", 3, to_tag=tag)
    assert nothing_left(wire, bob)


# ---- requests of the user's


def test_requests_in_the_dialog() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    finals: list[tuple[int, Response | None]] = []
    alice.session.request(
        "INFO",
        wire.now,
        headers=[("Info-Package", "dtmf")],
        body=b"Signal=5",
        content_type="application/dtmf-relay",
        on_final=lambda status, response, now: finals.append((status, response)),
    )
    alice >> "INFO" >> bob
    transaction, request = bob.call.requests.pop()
    assert (request.body, request.content_type) == (b"Signal=5", "application/dtmf-relay")
    bob.session.respond(transaction, 202, wire.now, headers=[("X-Seen", "yes")], body=b"ok", content_type="text/plain")
    bob >> 202 >> alice
    ((status, response),) = finals
    assert response is not None
    assert (status, response.body, response.headers.get("X-Seen")) == (202, b"ok", "yes")
    bob.session.respond(transaction, 500, wire.now)  # too late, and harmless
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)
    alice.session.request("INFO", wire.now, on_final=lambda status, response, now: finals.append((status, response)))
    assert finals[1] == (481, None)


@pytest.mark.parametrize("method", ["REFER", "NOTIFY", "MESSAGE", "OPTIONS", "XYZZY"])
def test_what_the_session_does_not_know_goes_to_the_user(method: str) -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    alice >> method >> bob
    assert bob.heard() == ["established", f"request {method}"]
    bob >> 603 >> alice
    assert alice.session.established
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize(("status", "cause"), [(481, EndCause.PROTOCOL), (408, EndCause.TIMEOUT)])
def test_a_peer_that_forgot_the_call(status: int, cause: EndCause) -> None:
    """RFC 3261 §12.2.1.2."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob")
    alice.session.request("INFO", wire.now)
    wire.settle()
    bob.reply(alice, bob.request("INFO"), status)
    assert (alice.call.ending.cause, alice.call.ending.status) == (cause, status)
    assert bob.request("BYE").cseq.number == bob.request("INFO").cseq.number + 1
    assert nothing_left(wire, alice)


def test_a_dead_peer_is_noticed_by_any_request() -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    wire.weather = Weather(loss=1)
    alice.session.request("INFO", wire.now)
    wire.after(33)
    assert alice.call.log[-1] == "32 ended TIMEOUT 408"
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize("status", [404, 480, 501, 503])
def test_a_refused_info_does_not_end_the_call(status: int) -> None:
    wire = Wire()
    alice, bob = two(wire)
    call_up(alice, bob)
    alice >> "INFO" >> bob
    bob >> status >> alice
    assert alice.session.established
    alice >> "BYE" >> bob
    assert nothing_left(wire, alice, bob)


# ---- the user acts from inside a callback


@pytest.mark.parametrize("when", ["progress", "answered"])
def test_hangup_from_a_callback_of_the_caller(when: str) -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice.invite(bob)
    alice.call.do[when] = lambda now: alice.session.hangup(now)
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
    bob.call.do["established"] = lambda now: bob.session.hangup(now)
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
