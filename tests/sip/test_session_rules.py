"""What a session refuses by rule, and the requests that are not its own."""

from __future__ import annotations

import pytest

from pbxd.sip.message import Request, Response
from pbxd.sip.session import EndCause
from tests.sip.ladders import call_up, two
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

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
def test_a_body_we_cannot_read(
    headers: list[tuple[str, str]], body: bytes, status: int, header: str, value: str
) -> None:
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
