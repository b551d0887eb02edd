"""The four transactions on the wire, with the instants of the RFC."""

from collections.abc import Callable

import pytest

from pbxd.sip.flow import Transport
from pbxd.sip.machine import State, TransitionError
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.stack import DropReason
from pbxd.sip.timers import Timers
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


def dropped(phone: Phone) -> dict[DropReason, int]:
    return {reason: count for reason, count in phone.stack.counters.items() if count}


# ---- INVITE client (RFC 3261 §17.1.1, RFC 6026)


def test_an_invite_without_answer_is_sent_seven_times_and_given_up_after_32_seconds(wire: Wire, alice: Phone) -> None:
    nobody = Phone(wire, "bob").destination()
    del wire.hosts["bob"]
    transaction = alice.send("INVITE", [nobody])
    wire.after(31.999)
    assert transaction.state is State.CALLING
    wire.after(100)
    assert wire.sent("alice", "INVITE") == TIMER_A
    assert len({rung.data for rung in wire.rungs}) == 1, "a retransmission is the same message"
    assert alice.log == ["32 TIMEOUT INVITE"]
    assert alice.stack.idle


def test_an_invite_over_tcp_is_sent_once(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.transport = Transport.TCP
    alice >> "INVITE" >> bob
    wire.after(100)
    assert wire.sent("alice", "INVITE") == [0]
    assert alice.stack.client_transactions == 1, "a 100 came after 200 ms, so it may ring for as long as it likes"


def test_a_shorter_patience_can_be_asked_for(wire: Wire, alice: Phone, bob: Phone) -> None:
    wire.lose(*["INVITE"] * 9)
    alice.send("INVITE", [bob.destination()], timeout=4.0)
    wire.after(40)
    assert wire.sent("alice", "INVITE") == [0, 0.5, 1.5, 3.5]
    assert alice.log == ["4 TIMEOUT INVITE"]


def test_a_provisional_response_ends_retransmission_and_the_wait_has_no_end(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    wire.after(3600)
    wire.expect("")
    assert alice.clients[0].state is State.PROCEEDING
    bob >> 200 >> alice
    assert alice.log == ["0 180 INVITE", "3600 200 INVITE"]


def test_every_provisional_response_reaches_the_user(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    for status in (100, 180, 183, 180):
        bob >> status >> alice
    assert alice.log == ["0 100 INVITE", "0 180 INVITE", "0 183 INVITE", "0 180 INVITE"]


def test_an_ack_that_cannot_be_sent_ends_the_transaction(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    alice.stack.transport_failed(bob.destination(), wire.now)
    assert alice.clients[0].dead
    assert alice.log == ["0 486 INVITE"], "its user has its answer"


def test_a_failure_is_acknowledged_by_the_transaction(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    alice >> "ACK" >> bob
    wire.after(100)
    wire.expect("")
    assert (alice.log, bob.log) == (["0 486 INVITE"], ["0 INVITE"]), "the ACK to a failure is not the core's"
    assert alice.stack.idle
    assert bob.stack.idle


def test_the_ack_to_a_failure_has_what_the_rfc_wants(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 3261 §17.1.1.3."""
    routes = [("Route", "<sip:10.0.0.2;lr>"), ("Route", "<sip:second.example.com;lr>")]
    alice.send("INVITE", [bob.destination()], headers=routes, body=b"v=0\r\n")
    alice >> "INVITE" >> bob
    bob >> 404 >> alice
    alice >> "ACK" >> bob
    sent, answer, ack = request_of(wire.rungs[0]), response_of(wire.rungs[1]), request_of(wire.rungs[2])
    assert ack.uri == sent.uri
    assert ack.via.branch == sent.via.branch
    assert len(ack.vias) == 1
    assert ack.headers.get("To") == answer.headers.get("To")
    assert ack.to.tag is not None
    for name in ("From", "Call-ID", "Route"):
        assert ack.headers.all(name) == sent.headers.all(name)
    assert str(ack.cseq) == "1 ACK"
    assert ack.max_forwards == 70
    assert ack.body == b""


def test_a_failure_that_comes_again_gets_its_ack_again_for_32_seconds(wire: Wire, alice: Phone, bob: Phone) -> None:
    wire.lose("ACK", "ACK")
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    wire.after(31)
    assert wire.sent("bob", 486) == [0, 0.5, 1.5]
    assert wire.sent("alice", "ACK") == [0, 0.5, 1.5]
    assert alice.log == ["0 486 INVITE"], "its user hears of it once"
    assert alice.clients[0].state is State.COMPLETED
    wire.after(1)
    assert alice.clients[0].dead, "Timer D"


def test_over_tcp_a_failure_leaves_nothing_behind(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.transport = Transport.TCP
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    alice >> "ACK" >> bob
    wire.after(0)
    assert alice.stack.idle, "Timer D is 0 s"
    assert bob.stack.idle, "Timer I is 0 s"


def test_every_2xx_reaches_the_user_for_32_seconds(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    wire.after(3)
    assert alice.log == ["0 200 INVITE", "0.5 200 INVITE", "1.5 200 INVITE"]
    wire.after(28.9)
    assert alice.clients[0].state is State.ACCEPTED
    wire.after(0.1)
    assert alice.clients[0].dead, "Timer M"


def test_a_2xx_of_another_fork_reaches_the_user(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    other = response_of(wire.rungs[-1])
    other.headers.set("To", "<sip:peer@example.com>;tag=fork")
    wire.shout(other.to_bytes(), bob, alice)
    assert alice.log == ["0 200 INVITE", "0 200 INVITE"]


def test_what_comes_after_the_final_response_is_dropped_by_name(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    late = response_of(wire.rungs[-2])
    for status in (180, 200):
        wire.shout(Response(status, headers=late.headers).to_bytes(), bob, alice)
    assert dropped(alice) == {DropReason.LATE_PROVISIONAL: 1, DropReason.SECOND_FINAL: 1}
    assert alice.log == ["0 486 INVITE"]


def test_a_failure_after_a_2xx_is_dropped_by_name(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    wire.shout(Response(486, headers=response_of(wire.rungs[-1]).headers).to_bytes(), bob, alice)
    assert dropped(alice) == {DropReason.SECOND_FINAL: 1}


# ---- non-INVITE client (RFC 3261 §17.1.2)


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "BYE", "MESSAGE"])
def test_a_request_without_answer_is_sent_eleven_times(wire: Wire, alice: Phone, bob: Phone, method: str) -> None:
    wire.lose(*[method] * 20)
    alice.send(method, [bob.destination()])
    wire.after(100)
    assert wire.sent("alice", method) == TIMER_E
    assert alice.log == [f"32 TIMEOUT {method}"]
    assert alice.stack.idle


def test_a_request_over_tls_is_sent_once(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.send("OPTIONS", [bob.destination(Transport.TLS)])
    wire.after(100)
    assert wire.sent("alice", "OPTIONS") == [0]
    assert alice.log == ["3.5 100 OPTIONS", "32 TIMEOUT OPTIONS"]


def test_after_a_provisional_response_a_request_is_sent_again_every_four_seconds(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    alice >> "OPTIONS" >> bob
    wire.after(0.6)
    bob >> 100 >> alice
    wire.lose(*[100] * 20)
    wire.after(40)
    assert wire.sent("alice", "OPTIONS") == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert alice.log == ["0.6 100 OPTIONS", "32 TIMEOUT OPTIONS"]


def test_a_final_response_ends_proceeding(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    for status in (100, 100, 200):
        bob >> status >> alice
    wire.after(4.9)
    assert alice.log == ["0 100 OPTIONS", "0 100 OPTIONS", "0 200 OPTIONS"]
    assert alice.clients[0].state is State.COMPLETED
    wire.after(0.1)
    assert wire.sent("alice", "OPTIONS") == [0]
    assert alice.stack.idle, "Timer K"


def test_completed_absorbs_for_five_seconds(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    bob >> 200 >> alice
    answer = response_of(wire.rungs[-1])
    wire.after(4.5)
    for status in (100, 200):
        wire.shout(Response(status, headers=answer.headers).to_bytes(), bob, alice)
    alice.stack.transport_failed(bob.destination(), wire.now)
    assert alice.clients[0].state is State.COMPLETED
    assert dropped(alice) == {}
    wire.after(0.5)
    assert alice.stack.idle, "Timer K"
    wire.shout(answer.to_bytes(), bob, alice)
    assert dropped(alice) == {DropReason.STRAY_RESPONSE: 1}
    assert alice.log == ["0 200 OPTIONS", "5 stray 200 OPTIONS"]


# ---- INVITE server (RFC 3261 §17.2.1, RFC 6026)


def test_an_invite_nobody_answers_gets_100_after_200_ms(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    wire.after(10)
    wire.expect("0.200 bob 100 INVITE > alice")
    assert response_of(wire.rungs[-1]).to.tag is None


def test_an_invite_that_comes_again_gets_the_last_provisional_response_again(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    alice >> "INVITE" >> bob
    invite = wire.rungs[0].data
    wire.shout(invite, alice, bob)
    assert [rung for rung in wire.rungs if rung.sender is bob] == [], "nothing was said yet"
    bob >> 183 >> alice
    wire.after(1)
    wire.shout(invite, alice, bob)
    assert wire.sent("bob", 183) == [0, 1]
    assert bob.log == ["0 INVITE"]


def test_a_failure_is_sent_until_it_is_acknowledged(wire: Wire, alice: Phone, bob: Phone) -> None:
    wire.lose(*["ACK"] * 20)
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    wire.after(100)
    assert wire.sent("bob", 486) == TIMER_E, "Timer G has the rhythm of Timer E"
    assert bob.log == ["0 INVITE"], "Timer H informs nobody"
    assert bob.stack.idle


def test_an_invite_that_comes_again_gets_its_failure_again(wire: Wire, alice: Phone, bob: Phone) -> None:
    wire.lose("ACK")
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    wire.after(0.25)
    wire.shout(wire.rungs[0].data, alice, bob)
    assert wire.sent("bob", 486) == [0, 0.25]


def test_a_failure_over_tcp_is_sent_once_and_waits_for_its_ack(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.transport = Transport.TCP
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    assert bob.servers[0].state is State.CONFIRMED
    assert wire.sent("bob", 486) == [0]


def test_confirmed_absorbs_for_five_seconds(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    alice >> "ACK" >> bob
    invite, ack = wire.rungs[0].data, wire.rungs[-1].data
    wire.after(4.9)
    wire.shout(invite, alice, bob)
    wire.shout(ack, alice, bob)
    assert dropped(bob) == {}
    assert wire.sent("bob", 486) == [0]
    assert bob.log == ["0 INVITE"]
    wire.after(0.1)
    assert bob.stack.idle, "Timer I"


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_2xx_is_sent_until_the_core_has_its_ack_over_any_transport(wire: Wire, transport: Transport) -> None:
    """RFC 3261 §13.3.1.4."""
    alice, bob = Phone(wire, "alice", transport=transport), Phone(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    wire.after(100)
    assert wire.sent("bob", 200) == TIMER_E
    assert bob.log == ["0 INVITE", "32 NO_ACK INVITE"]
    assert bob.stack.idle


def test_the_ack_of_a_2xx_ends_its_retransmission(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    wire.after(0.7)
    alice >> "ACK" >> bob
    wire.after(31)
    assert wire.sent("bob", 200) == [0, 0.5]
    assert bob.servers[0].state is State.ACKNOWLEDGED
    wire.after(0.3)
    assert bob.stack.idle, "Timer L"
    assert bob.log == ["0 INVITE", "0.7 ACK"]


def test_an_invite_that_comes_again_after_its_2xx_is_absorbed(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 6026 §7.1: it neither becomes a second call nor is it answered."""
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    invite = wire.rungs[0].data
    wire.shout(invite, alice, bob)
    alice >> "ACK" >> bob
    wire.after(20)
    wire.shout(invite, alice, bob)
    assert bob.log == ["0 INVITE", "0 ACK"]
    assert dropped(bob) == {}
    assert wire.sent("bob", 200) == [0]


def test_an_ack_with_the_branch_of_its_invite_reaches_the_core(wire: Wire, alice: Phone, bob: Phone) -> None:
    """pyVoIP acknowledges a 2xx with its INVITE's branch and a To tag nobody gave."""
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    ack = request_of(wire.rungs[0])
    ack.method = "ACK"
    ack.headers.set("CSeq", "1 ACK")
    ack.headers.set("To", "<sip:peer@example.com>;tag=random")
    for _ in range(2):
        wire.shout(ack.to_bytes(), alice, bob)
    wire.after(100)
    assert bob.log == ["0 INVITE", "0 ACK", "0 ACK"]
    assert wire.sent("bob", 200) == [0]


def test_an_ack_before_the_final_response_is_dropped_by_name(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    ack = request_of(wire.rungs[0])
    ack.method = "ACK"
    ack.headers.set("CSeq", "1 ACK")
    wire.shout(ack.to_bytes(), alice, bob)
    assert dropped(bob) == {DropReason.EARLY_ACK: 1}
    assert bob.log == ["0 INVITE"]


def test_an_ack_for_nothing_reaches_the_core(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.stack.ack(alice.request("ACK"), [bob.destination()], wire.now)
    wire.settle()
    assert bob.log == ["0 ACK"]
    assert bob.stack.counters[DropReason.STRAY_ACK] == 1
    assert bob.stack.idle


def test_a_second_final_response_to_an_invite_is_a_bug(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    request = bob.servers[0].request
    bob >> 486 >> alice
    with pytest.raises(TransitionError, match=r"INVITE Confirmed 10\.0\.0\.1> has no row for 2xx from TU"):
        bob.stack.respond(bob.servers[0], response_to(request, 200), wire.now)


def test_acknowledging_what_was_never_answered_is_a_bug(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    with pytest.raises(TransitionError, match="TU saw the ACK"):
        bob.stack.acknowledged(bob.servers[0], wire.now)


# ---- non-INVITE server (RFC 3261 §17.2.2, RFC 4320)


def test_a_request_that_comes_again_is_absorbed_and_then_gets_its_answer_again(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    alice >> "OPTIONS" >> bob
    options = wire.rungs[0].data
    wire.shout(options, alice, bob)
    assert [rung for rung in wire.rungs if rung.sender is bob] == []
    assert dropped(bob) == {}
    bob >> 200 >> alice
    wire.after(31.5)
    wire.shout(options, alice, bob)
    assert wire.sent("bob", 200) == [0, 31.5]
    wire.after(0.5)
    assert bob.stack.idle, "Timer J"
    assert bob.log == ["0 OPTIONS"]


def test_over_tcp_an_answered_request_leaves_nothing_behind(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.transport = Transport.TCP
    alice >> "OPTIONS" >> bob
    bob >> 200 >> alice
    wire.after(0)
    assert alice.stack.idle
    assert bob.stack.idle


def test_a_slow_answer_is_announced_by_a_100_once_the_client_has_reached_t2(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    """RFC 4320 §4.1."""
    alice.transport = Transport.TCP
    alice >> "OPTIONS" >> bob
    wire.after(3.4)
    assert wire.sent("bob", 100) == []
    wire.after(0.2)
    assert wire.sent("bob", 100) == [3.5]
    assert bob.servers[0].state is State.PROCEEDING


def test_a_request_the_core_never_answers_is_forgotten_after_32_seconds(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 4320 §4.2: by then its client has given up, and there is nothing to send."""
    alice >> "OPTIONS" >> bob
    wire.after(31.9)
    assert bob.stack.server_transactions == 1
    wire.after(0.1)
    assert bob.stack.idle
    transaction, request = bob.waiting[0]
    bob.stack.respond(transaction, response_to(request, 200), wire.now)
    assert bob.stack.counters[DropReason.DEAD_TRANSACTION] == 1
    assert wire.sent("bob", 200) == []


def test_a_request_is_forgotten_in_time_even_where_t2_is_never_reached(wire: Wire, alice: Phone) -> None:
    bob = Phone(wire, "bob", timers=Timers(t1=0.01, t2=4.0))
    alice >> "OPTIONS" >> bob
    wire.after(0.45)
    assert bob.servers[0].state is State.TRYING
    wire.after(0.2)
    assert bob.servers[0].dead, "64*T1"
    assert dropped(bob) == {}


def test_a_request_that_comes_again_gets_its_100_again(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    bob >> 100 >> alice
    wire.after(0.25)
    wire.shout(wire.rungs[0].data, alice, bob)
    assert wire.sent("bob", 100) == [0, 0.25]
    assert bob.log == ["0 OPTIONS"]


def test_a_408_is_never_sent_to_a_request_that_is_no_invite(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 4320 §4.2."""
    alice >> "OPTIONS" >> bob
    transaction = bob.servers[0]
    bob.stack.respond(transaction, response_to(transaction.request, 408), wire.now)
    wire.settle()
    assert wire.sent("bob", 408) == []
    assert bob.stack.counters[DropReason.NON_INVITE_408] == 1


def test_a_second_final_response_is_discarded(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "OPTIONS" >> bob
    request = bob.servers[0].request
    bob >> 200 >> alice
    bob.stack.respond(bob.servers[0], response_to(request, 500), wire.now)
    wire.settle()
    assert wire.sent("bob", 500) == []


# ---- what transactions hold on to


@pytest.mark.parametrize("status", [200, 486])
def test_messages_are_forgotten_once_they_are_answered(wire: Wire, alice: Phone, bob: Phone, status: int) -> None:
    alice >> "INVITE" >> bob
    client, server = alice.clients[0], bob.servers[0]
    assert client.request.method == server.request.method == "INVITE"
    bob >> status >> alice
    for transaction in (client, server):
        with pytest.raises(RuntimeError, match="forgotten"):
            _ = transaction.request
    assert server.answered


def test_the_user_can_still_read_the_request_in_its_final_response(wire: Wire, bob: Phone) -> None:
    seen = []

    class Reader(Phone):
        def on_response(self, transaction, response, now) -> None:  # type: ignore[no-untyped-def]
            seen.append(transaction.request.method)

    carol = Reader(wire, "carol")
    carol >> "OPTIONS" >> bob
    bob >> 200 >> carol
    assert seen == ["OPTIONS"]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda wire, bob: wire.lose(*["INVITE"] * 9), id="timeout"),
        pytest.param(lambda wire, bob: bob.answers.update(INVITE=(486,)), id="failure"),
        pytest.param(lambda wire, bob: bob.answers.update(INVITE=(200,)), id="success"),
    ],
)
def test_a_dead_transaction_knows_nobody(
    wire: Wire, alice: Phone, bob: Phone, end: Callable[[Wire, Phone], None]
) -> None:
    end(wire, bob)
    alice.send("INVITE", [bob.destination()])
    wire.after(100)
    for transaction in (*alice.clients, *bob.servers):
        assert transaction.dead
        assert transaction.user is None  # type: ignore[attr-defined]


def test_a_transaction_says_what_it_is(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    assert repr(alice.clients[0]) == "<INVITE client transaction INVITE Calling 10.0.0.2>"
    assert repr(bob.servers[0]) == "<INVITE server transaction INVITE Proceeding 10.0.0.1>"
