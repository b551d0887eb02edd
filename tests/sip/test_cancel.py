"""CANCEL and the races it runs (RFC 3261 §9)."""

import pytest

from pbxd.sip.machine import TransitionError
from pbxd.sip.message import Request, Response, parse_message
from tests.phone import Phone
from tests.wire import Rung, Wire

TIMER_A = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]  # RFC 3261 §17.1.1.2: doubled each time
TIMER_E = [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]  # RFC 3261 §17.1.2.2: doubled up to T2


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def alice(wire: Wire) -> Phone:
    return Phone(wire, "alice")


@pytest.fixture
def bob(wire: Wire, alice: Phone) -> Phone:
    return Phone(wire, "bob")


def request_of(rung: Rung) -> Request:
    message = parse_message(rung.data)
    assert isinstance(message, Request)
    return message


def response_of(rung: Rung) -> Response:
    message = parse_message(rung.data)
    assert isinstance(message, Response)
    return message


def test_a_cancelled_call(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    wire.after(2)
    alice >> "CANCEL" >> bob
    bob >> "200 CANCEL" >> alice
    bob >> "487 INVITE" >> alice
    alice >> "ACK" >> bob
    wire.after(100)
    wire.expect("")
    assert alice.log == ["0 180 INVITE", "2 487 INVITE"]
    assert bob.log == ["0 INVITE", "2 CANCEL"]
    assert alice.stack.idle
    assert bob.stack.idle


def test_a_cancel_has_what_the_rfc_wants(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 3261 §9.1, and the Reason its user gave (RFC 3326)."""
    headers = [("Route", "<sip:10.0.0.2;lr>"), ("Require", "100rel")]
    alice.send("INVITE", [bob.destination()], headers=headers, body=b"v=0\r\n")
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    alice >> "CANCEL" >> bob
    sent, cancel = request_of(wire.rungs[0]), request_of(wire.rungs[2])
    assert (cancel.uri, cancel.via.branch) == (sent.uri, sent.via.branch)
    for name in ("From", "To", "Call-ID", "Route"):
        assert cancel.headers.all(name) == sent.headers.all(name)
    assert str(cancel.cseq) == "1 CANCEL"
    assert "Require" not in cancel.headers
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    bob >> "200 CANCEL" >> alice
    bob >> "487 INVITE" >> alice
    tags = {response_of(rung).to.tag for rung in wire.rungs if rung.label in ("200 CANCEL", "487 INVITE")}
    assert len(tags) == 1, "RFC 3261 §9.2: both answers have the same To tag"


def test_a_cancel_waits_for_a_provisional_response(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    alice.stack.cancel(alice.clients[0], wire.now)
    wire.after(0.1)
    wire.expect("")
    assert alice.clients[0].cancelled
    bob >> 180 >> alice
    alice >> "CANCEL" >> bob
    bob >> "200 CANCEL" >> alice
    bob >> "487 INVITE" >> alice


def test_a_cancel_is_not_sent_when_the_final_response_comes_first(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    alice.stack.cancel(alice.clients[0], wire.now)
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    wire.after(100)
    assert wire.sent("alice", "CANCEL") == []
    assert alice.log == ["0 200 INVITE"]


def test_a_cancel_that_waits_for_nothing_ends_with_the_invite(wire: Wire, alice: Phone, bob: Phone) -> None:
    wire.lose(*["INVITE"] * 9)
    alice.send("INVITE", [bob.destination(), bob.destination()])
    alice.stack.cancel(alice.clients[0], wire.now)
    wire.after(100)
    assert wire.sent("alice", "CANCEL") == []
    assert wire.sent("alice", "INVITE") == TIMER_A, "the second destination is not tried any more"
    assert alice.log == ["32 TIMEOUT INVITE"]


def test_a_cancel_twice_is_sent_once(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    for _ in range(2):
        alice.stack.cancel(alice.clients[0], wire.now)
    wire.settle()
    assert wire.sent("alice", "CANCEL") == [0]


def test_a_cancel_without_answer_gives_up_32_seconds_later(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 3261 §9.1: a server of RFC 2543 may never answer the INVITE it was told to cancel."""
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    wire.after(10)
    wire.lose(*["CANCEL"] * 20)
    alice.stack.cancel(alice.clients[0], wire.now)
    wire.after(100)
    assert alice.log == ["0 180 INVITE", "42 TIMEOUT INVITE"]
    assert wire.sent("alice", "CANCEL") == [10 + at for at in TIMER_E]
    assert alice.stack.idle


def test_a_cancel_that_crosses_a_2xx_changes_nothing(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    bob.answer(200)  # on its way
    alice.stack.cancel(alice.clients[0], wire.now)
    wire.settle()
    bob >> "200 INVITE" >> alice
    alice >> "CANCEL" >> bob
    bob >> "200 CANCEL" >> alice
    alice >> "ACK" >> bob
    assert bob.log == ["0 INVITE", "0 ACK"], "the core hears nothing of the CANCEL"
    assert alice.log == ["0 180 INVITE", "0 200 INVITE"]


def test_a_cancel_after_the_final_response_is_not_sent(wire: Wire, alice: Phone, bob: Phone) -> None:
    for status in (200, 486):
        alice >> "INVITE" >> bob
        bob >> status >> alice
        alice >> "ACK" >> bob
        alice.stack.cancel(alice.clients[-1], wire.now)
    wire.settle()
    assert wire.sent("alice", "CANCEL") == []


def test_a_cancel_for_nothing_is_answered_481(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.stack.request(alice.request("CANCEL"), [bob.destination()], alice, wire.now)
    wire.settle()
    assert alice.log == ["0 481 CANCEL"]
    assert bob.log == []


def test_only_an_invite_can_be_cancelled(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    with pytest.raises(TransitionError, match="has no row for CANCEL"):
        alice.stack.cancel(alice.clients[0], wire.now)
