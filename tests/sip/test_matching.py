"""Which transaction a message belongs to, and where responses go."""

import pytest

from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.machine import State
from pbxd.sip.message import parse_message, response_to
from pbxd.sip.stack import DropReason
from tests.phone import Phone
from tests.sip.lonely import AWAY, HOME, OVER_UDP, Lonely, options, status_of
from tests.wire import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def alice(wire: Wire) -> Phone:
    return Phone(wire, "alice")


@pytest.fixture
def bob(wire: Wire, alice: Phone) -> Phone:
    return Phone(wire, "bob")


# ---- where responses go (RFC 3261 §18.2, RFC 3581)


@pytest.mark.parametrize(
    ("via", "goes_to", "top"),
    [
        pytest.param(
            "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa;rport",
            ("192.0.2.7", 40_000),
            {"received": "192.0.2.7", "rport": "40000"},
            id="rport: to the source",
        ),
        pytest.param(
            "SIP/2.0/UDP 192.168.1.2:5099;branch=z9hG4bKa;rport",
            ("192.0.2.7", 40_000),
            {"received": "192.0.2.7", "rport": "40000"},
            id="rport behind a NAT",
        ),
        pytest.param(
            "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa", ("192.0.2.7", 5099), {}, id="no rport: to the port in Via"
        ),
        pytest.param(
            "SIP/2.0/UDP host.example.com;branch=z9hG4bKa",
            ("192.0.2.7", 5060),
            {"received": "192.0.2.7"},
            id="a name: to the source address, default port",
        ),
        pytest.param(
            "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa;maddr=198.51.100.1",
            ("192.0.2.7", 5099),
            {},
            id="maddr is ignored",
        ),
        pytest.param(
            "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa;received=198.51.100.1;rport=9",
            ("192.0.2.7", 40_000),
            {"received": "192.0.2.7", "rport": "40000"},
            id="a client cannot say where it was received",
        ),
        pytest.param(
            "SIP/2.0/TLS 192.0.2.7:5099;branch=z9hG4bKa", ("192.0.2.7", 5099), {}, id="a transport that is not true"
        ),
    ],
)
def test_a_response_over_udp_leaves_by_the_socket_its_request_came_in_on(
    via: str, goes_to: tuple[str, int], top: dict[str, str]
) -> None:
    lonely = Lonely()
    lonely.ask(options(via))
    lonely.stack.respond(lonely.asked[0], response_to(lonely.asked[0].request, 200), 0.0)
    sent = lonely.stack.take_outgoing()
    places = [goes_to] if goes_to == AWAY else [goes_to, AWAY]
    assert [outgoing.destination for outgoing in sent] == [
        Destination(Transport.UDP, *place, OVER_UDP) for place in places
    ]
    params = parse_message(sent[0].data).via.params
    assert {name: params[name] for name in ("received", "rport") if name in params} == top


def test_only_the_topmost_via_is_touched() -> None:
    lonely = Lonely()
    lonely.ask(options("SIP/2.0/UDP proxy.example.com;branch=z9hG4bKa, SIP/2.0/UDP 192.168.0.9;branch=z9hG4bKb"))
    assert [str(via) for via in lonely.asked[0].request.vias] == [
        "SIP/2.0/UDP proxy.example.com;branch=z9hG4bKa;received=192.0.2.7",
        "SIP/2.0/UDP 192.168.0.9;branch=z9hG4bKb",
    ]


def test_a_response_over_a_stream_goes_back_on_it_or_to_where_the_peer_listens() -> None:
    """RFC 3261 §18.2.2: the connection, and if it is gone the source address and the port in Via."""
    lonely = Lonely()
    flow = Flow(Transport.TLS, HOME, AWAY, connection=5)
    lonely.ask(options("SIP/2.0/TLS 192.168.1.2;branch=z9hG4bKa;rport"), flow)
    lonely.stack.respond(lonely.asked[0], response_to(lonely.asked[0].request, 200), 0.0)
    assert lonely.stack.take_outgoing()[0].destination == Destination(Transport.TLS, "192.0.2.7", 5061, flow)


def test_a_phone_behind_a_nat_can_call(wire: Wire, alice: Phone) -> None:
    dave = Phone(wire, "dave", behind=("203.0.113.1", 61_000))
    dave >> "INVITE" >> alice
    alice >> 200 >> dave
    dave >> "ACK" >> alice
    assert alice.log == ["0 INVITE", "0 ACK"]


# ---- which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3)


def test_a_response_with_several_vias_is_not_for_us(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    transaction = bob.servers[0]
    response = response_to(transaction.request, 200)
    response.headers.add("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother")
    bob.stack.respond(transaction, response, wire.now)
    wire.settle()
    assert alice.log == []
    assert alice.stack.counters[DropReason.SEVERAL_VIAS] == 1


def test_a_response_is_ours_by_its_branch_whatever_sent_by_says(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    response = response_to(bob.servers[0].request, 200)
    response.headers.set("Via", str(response.via).replace("10.0.0.1", "203.0.113.9"))
    wire.shout(response.to_bytes(), bob, alice)
    assert alice.log == ["0 200 OPTIONS"]


def test_a_response_of_another_method_is_not_ours(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    response = response_to(bob.servers[0].request, 200)
    response.headers.set("CSeq", "1 REGISTER")
    wire.shout(response.to_bytes(), bob, alice)
    assert alice.log == ["0 stray 200 REGISTER"]
    assert alice.stack.counters[DropReason.STRAY_RESPONSE] == 1


@pytest.mark.parametrize(
    "via",
    [
        pytest.param("SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa", id="RFC 3261"),
        pytest.param("SIP/2.0/UDP 192.0.2.7:5099", id="RFC 2543, no branch"),
        pytest.param("SIP/2.0/UDP 192.0.2.7:5099;branch=17", id="RFC 2543, a branch without cookie"),
        pytest.param("SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bK", id="the cookie and nothing else (RFC 4475)"),
    ],
)
def test_retransmission_cancel_and_ack_find_their_invite(via: str) -> None:
    lonely = Lonely()
    invite = options(via, "INVITE")
    for _ in range(3):
        lonely.ask(invite)
    assert len(lonely.asked) == 1
    assert [status_of(each) for each in lonely.ask(options(via, "CANCEL"))] == [200, 487]
    lonely.ask(options(via, "ACK", To=f"<sip:b@example.com>;tag={lonely.asked[0].to_tag}"))
    assert lonely.asked[0].state is State.CONFIRMED
    assert lonely.acked == []


@pytest.mark.parametrize("changed", ["Call-ID", "From", "CSeq", "Via"])
def test_rfc_2543_requests_that_differ_are_different(changed: str) -> None:
    lonely = Lonely()
    other = {"Call-ID": "two", "From": "<sip:a@example.com>;tag=2", "CSeq": "2 OPTIONS", "Via": "SIP/2.0/UDP other"}
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7"))
    again = options("SIP/2.0/UDP 192.0.2.7", **{"To": "<sip:b@example.com>;tag=2", changed: other[changed]})
    lonely.ask(again)
    assert len(lonely.asked) == 2


def test_the_same_branch_from_another_host_is_another_transaction() -> None:
    lonely = Lonely()
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa"))
    lonely.ask(options("SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKa", Call_ID="two"))
    assert len(lonely.asked) == 2


def test_a_request_that_came_over_two_paths_is_482_the_second_time() -> None:
    """RFC 3261 §8.2.2.2."""
    lonely = Lonely()
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa", "INVITE"))
    (answer,) = lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKb", "INVITE"))
    assert status_of(answer) == 482
    assert len(lonely.asked) == 1
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKb", "ACK"))
    assert lonely.acked == [], "the ACK to the 482 is not taken for one to the first INVITE's 2xx"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"CSeq": "2 OPTIONS"}, id="with credentials, after a 401"),
        pytest.param({"Call_ID": "two"}, id="another call"),
        pytest.param({"To": "<sip:b@example.com>;tag=2"}, id="inside a dialog"),
    ],
)
def test_a_request_of_its_own_is_not_merged(headers: dict[str, str]) -> None:
    lonely = Lonely()
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa"))
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKb", **headers))
    assert len(lonely.asked) == 2


def test_a_request_is_merged_only_while_the_first_is_known() -> None:
    lonely = Lonely()
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa"))
    lonely.stack.handle_timer(32.0)
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKb"), now=32.0)
    assert len(lonely.asked) == 2
