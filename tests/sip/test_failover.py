"""Destinations that fail, and connections that are lost."""

import pytest

from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.machine import State
from pbxd.sip.message import parse_message, response_to
from pbxd.sip.transaction import Failure
from tests.phone import Phone
from tests.sip.lonely import AWAY, HOME, Lonely, options
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


@pytest.fixture
def carol(wire: Wire, bob: Phone) -> Phone:
    return Phone(wire, "carol")


# ---- failover (RFC 3263 §4.3)


def test_the_next_destination_is_tried_after_a_timeout_with_a_new_branch(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    wire.lose(*["OPTIONS"] * 11)
    transaction = alice.send("OPTIONS", [bob.destination(), carol.destination()])
    wire.after(32)
    assert transaction.destination == carol.destination()
    carol >> 200 >> alice
    assert alice.log == ["32 200 OPTIONS"]
    branches = [parse_message(rung.data).via.branch for rung in wire.rungs if rung.label == "OPTIONS"]
    assert len(set(branches[:11])) == 1
    assert branches[11] not in branches[:11]


def test_the_user_hears_of_a_failure_after_the_last_destination(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    wire.lose(*["INVITE"] * 14)
    alice.send("INVITE", [bob.destination(), carol.destination()])
    wire.after(63.9)
    assert alice.log == []
    wire.after(0.1)
    assert alice.log == ["64 TIMEOUT INVITE"]
    assert alice.stack.idle


def test_a_503_goes_to_the_next_destination_and_is_acknowledged(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    wire.lose("ACK")
    alice.send("INVITE", [bob.destination(), carol.destination()])
    alice >> "INVITE" >> bob
    bob >> 503 >> alice
    wire.expect(
        """
        0.000 alice ACK x bob
        0.000 alice INVITE > carol
        """
    )
    carol >> 180 >> alice
    wire.after(0.5)
    wire.expect(
        """
        0.500 bob 503 INVITE > alice
        0.500 alice ACK > bob
        """
    )
    carol >> 200 >> alice
    alice >> "ACK" >> carol
    wire.after(100)
    assert alice.log == ["0 180 INVITE", "0.5 200 INVITE"]
    assert alice.stack.idle


def test_the_503_of_the_last_destination_is_the_answer(wire: Wire, alice: Phone, bob: Phone, carol: Phone) -> None:
    bob.answers["OPTIONS"] = carol.answers["OPTIONS"] = (503,)
    alice.send("OPTIONS", [bob.destination(), carol.destination()])
    wire.after(100)
    assert alice.log == ["0 503 OPTIONS"]
    assert wire.sent("alice", "OPTIONS") == [0, 0]


def test_a_cancelled_invite_is_not_tried_elsewhere(wire: Wire, alice: Phone, bob: Phone, carol: Phone) -> None:
    alice.send("INVITE", [bob.destination(), carol.destination()])
    alice >> "INVITE" >> bob
    alice.stack.cancel(alice.clients[0], wire.now)
    bob >> 503 >> alice
    wire.after(100)
    assert alice.log == ["0 503 INVITE"]
    assert carol.log == []


def test_a_refused_connection_goes_to_the_next_destination(wire: Wire, alice: Phone, bob: Phone) -> None:
    nowhere = Destination(Transport.TCP, "10.0.0.99", 5060)
    alice.send("OPTIONS", [nowhere, bob.destination()])
    wire.settle()
    wire.expect(
        """
        0.000 alice OPTIONS x nowhere
        0.000 alice OPTIONS > bob
        """
    )


def test_a_refused_connection_to_the_last_destination_is_a_failure(wire: Wire, alice: Phone) -> None:
    alice.send("INVITE", [Destination(Transport.TCP, "10.0.0.99", 5060)])
    wire.settle()
    assert alice.log == ["0 TRANSPORT INVITE"]
    assert alice.stack.idle


def test_a_destination_that_fails_after_a_100_is_left_for_the_next(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    """A request that is no INVITE may be repeated elsewhere as long as it has no final response."""
    alice.send("OPTIONS", [bob.destination(), carol.destination()])
    alice >> "OPTIONS" >> bob
    bob >> 100 >> alice
    alice.stack.transport_failed(bob.destination(), wire.now)
    wire.settle()
    wire.expect("0.000 alice OPTIONS > carol")
    carol >> 200 >> alice
    assert alice.log == ["0 100 OPTIONS", "0 200 OPTIONS"]


def test_an_invite_that_rings_is_not_tried_elsewhere(wire: Wire, alice: Phone, bob: Phone, carol: Phone) -> None:
    alice.send("INVITE", [bob.destination(), carol.destination()])
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    alice.stack.transport_failed(bob.destination(), wire.now)
    assert alice.log == ["0 180 INVITE", "0 TRANSPORT INVITE"]
    assert carol.log == []


def test_news_of_an_earlier_destination_does_not_hit_the_present_one(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    transaction = alice.send("OPTIONS", [bob.destination(), carol.destination()])
    first = alice.stack.take_outgoing()[0]
    alice.stack.transport_failed(first, wire.now)
    alice.stack.transport_failed(first, wire.now)
    assert transaction.destination == carol.destination()
    assert transaction.state is State.TRYING
    assert alice.log == []


def test_an_unreachable_destination_hits_all_that_wait_for_it(
    wire: Wire, alice: Phone, bob: Phone, carol: Phone
) -> None:
    for place in (bob, carol, bob):
        alice.send("OPTIONS", [place.destination()])
    alice.stack.transport_failed(bob.destination(), wire.now)
    assert alice.log == ["0 TRANSPORT OPTIONS"] * 2


def test_no_destination_at_all_is_a_failure_but_not_before_request_returns(wire: Wire, alice: Phone) -> None:
    transaction = alice.send("INVITE", [])
    assert alice.log == []
    assert not transaction.dead
    wire.after(0)
    assert alice.log == ["0 TRANSPORT INVITE"]
    assert alice.stack.idle


# ---- connections


@pytest.fixture
def tcp(wire: Wire, alice: Phone, bob: Phone) -> Phone:
    alice.transport = Transport.TCP
    return alice


def test_a_lost_connection_ends_what_waits_on_it(wire: Wire, tcp: Phone, bob: Phone) -> None:
    tcp >> "INVITE" >> bob
    bob >> 180 >> tcp
    tcp >> "OPTIONS" >> bob
    wire.cut(tcp)
    assert sorted(tcp.log) == ["0 180 INVITE", "0 TRANSPORT INVITE", "0 TRANSPORT OPTIONS"]
    assert sorted(bob.log) == ["0 INVITE", "0 OPTIONS", "0 TRANSPORT INVITE", "0 TRANSPORT OPTIONS"]
    assert tcp.stack.idle
    bob.answer(480, "INVITE")  # RFC 6026 §8.8: the INVITE is still there to be answered, on a new connection
    wire.after(0)
    assert tcp.log[-1] == "0 stray 480 INVITE"
    wire.after(100)
    assert bob.stack.idle


def test_an_invite_whose_way_back_is_lost_is_forgotten_even_if_nobody_answers_it(
    wire: Wire, tcp: Phone, bob: Phone
) -> None:
    tcp >> "INVITE" >> bob
    wire.cut(bob)
    wire.after(31)
    assert bob.stack.server_transactions == 1
    wire.after(1)
    assert bob.stack.idle


def test_a_lost_connection_tells_the_core_while_it_waits_for_the_ack_of_a_2xx(
    wire: Wire, tcp: Phone, bob: Phone
) -> None:
    tcp >> "INVITE" >> bob
    bob >> 200 >> tcp
    wire.cut(bob)
    assert bob.log == ["0 INVITE", "0 TRANSPORT INVITE"]
    wire.after(31)
    assert bob.servers[0].state is State.ACCEPTED


def test_a_connection_that_is_lost_after_all_is_said_concerns_nobody(wire: Wire, tcp: Phone, bob: Phone) -> None:
    tcp >> "INVITE" >> bob
    bob >> 200 >> tcp
    tcp >> "ACK" >> bob
    wire.cut(bob)
    wire.after(100)
    assert (tcp.log, bob.log) == (["0 200 INVITE"], ["0 INVITE", "0 ACK"])
    assert tcp.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize(
    ("status", "acked", "state"),
    [
        (486, False, State.COMPLETED),
        (486, True, State.CONFIRMED),
        (200, False, State.ACCEPTED),
    ],
)
def test_an_answered_invite_outlives_its_connection(status: int, acked: bool, state: State) -> None:
    """RFC 6026 §8.8."""
    lonely = Lonely()
    flow = Flow(Transport.TCP, HOME, AWAY, connection=1)
    lonely.ask(options(method="INVITE"), flow)
    transaction = lonely.asked[0]
    lonely.stack.respond(transaction, response_to(transaction.request, status), 0.0)
    if acked:
        lonely.ask(options(method="ACK"), flow)
    lonely.stack.transport_failed(flow, 0.0)
    assert transaction.state is state
    lonely.stack.handle_timer(100.0)
    assert lonely.stack.idle


def test_an_answered_request_ends_with_its_connection() -> None:
    lonely = Lonely()
    flow = Flow(Transport.TCP, HOME, AWAY, connection=1)
    lonely.ask(options(), flow)
    lonely.stack.respond(lonely.asked[0], response_to(lonely.asked[0].request, 200), 0.0)
    lonely.stack.transport_failed(flow, 0.0)
    assert lonely.stack.idle


def test_an_answer_over_a_stream_needs_no_100_any_more() -> None:
    lonely = Lonely()
    lonely.ask(options(method="INVITE"), Flow(Transport.TCP, HOME, AWAY, connection=1))
    lonely.stack.respond(lonely.asked[0], response_to(lonely.asked[0].request, 486), 0.0)
    lonely.stack.take_outgoing()
    lonely.stack.handle_timer(1.0)
    assert lonely.stack.take_outgoing() == []


def test_another_connection_to_the_same_peer_is_another(wire: Wire) -> None:
    lonely = Lonely()
    first = Flow(Transport.TCP, HOME, AWAY, connection=1)
    lonely.ask(options(), first)
    lonely.stack.transport_failed(Flow(Transport.TCP, HOME, AWAY, connection=2), 0.0)
    assert lonely.asked[0].state is State.TRYING
    lonely.stack.transport_failed(first, 0.0)
    assert lonely.asked[0].dead


@pytest.mark.parametrize("provisional", [False, True])
def test_a_request_whose_way_back_is_lost_is_given_up(provisional: bool) -> None:
    """RFC 3261 §17.2.2."""
    lonely = Lonely()
    flow = Flow(Transport.TCP, HOME, AWAY, connection=1)
    lonely.ask(options(), flow)
    if provisional:
        lonely.stack.respond(lonely.asked[0], response_to(lonely.asked[0].request, 100), 0.0)
    lonely.stack.transport_failed(flow, 0.0)
    assert lonely.failures == [Failure.TRANSPORT]
    assert lonely.stack.idle
