"""What the stack does around its transactions: writing, refusing, counting, keeping time."""

from collections.abc import Callable
from random import Random

import pytest

from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.machine import State
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.stack import DropReason, Limits, Stack
from tests.phone import Phone
from tests.sip.lonely import OVER_UDP, Lonely, options, status_of
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


# ---- writing


def test_via_max_forwards_and_user_agent_go_in_and_the_request_stays_as_it_is(
    wire: Wire, alice: Phone, bob: Phone
) -> None:
    request = alice.request("OPTIONS", b"body")
    before = list(request.headers)
    alice.stack.request(request, [bob.destination()], alice, wire.now)
    wire.settle()
    sent = parse_message(wire.rungs[0].data)
    via = sent.via
    assert (via.transport, via.host, via.port, via.wants_rport) == ("UDP", "10.0.0.1", 5060, True)
    assert (via.branch or "").startswith("z9hG4bK")
    assert sent.max_forwards == 70
    assert sent.headers.get("User-Agent") == "alice"
    assert sent.body == b"body"
    assert list(request.headers) == before


def test_what_the_user_wrote_is_kept(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.send("OPTIONS", [bob.destination()], headers=[("Max-Forwards", "3"), ("User-Agent", "mine")])
    wire.settle()
    sent = parse_message(wire.rungs[0].data)
    assert sent.headers.all("Max-Forwards") == ["3"]
    assert sent.headers.all("User-Agent") == ["mine"]


def test_a_large_request_stays_on_udp(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice.send("MESSAGE", [bob.destination()], body=b"x" * 4000)
    assert alice.stack.take_outgoing()[0].destination.transport is Transport.UDP


def test_an_ipv6_address_has_its_brackets_in_the_via() -> None:
    stack = Stack(via=lambda _: ("2001:db8::1", 5060), user_agent="six", rng=Random(1))
    request = Request("ACK", parse_message(options().encode()).uri)  # type: ignore[union-attr]
    stack.ack(request, [Destination(Transport.TCP, "2001:db8::2", 5060)], 0.0)
    assert b"\r\nVia: SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK" in stack.take_outgoing()[0].data


def test_every_response_above_100_has_the_tag_of_its_transaction(wire: Wire, alice: Phone, bob: Phone) -> None:
    """RFC 3261 §8.2.6.2."""
    alice >> "INVITE" >> bob
    for status in (100, 180, 183, 200):
        bob >> status >> alice
    tags = [parse_message(rung.data).to.tag for rung in wire.rungs[1:5]]
    assert tags == [None, *[bob.servers[0].to_tag] * 3]


def test_a_tag_that_the_core_chose_is_kept(wire: Wire, alice: Phone, bob: Phone) -> None:
    alice >> "INVITE" >> bob
    transaction = bob.servers[0]
    bob.stack.respond(transaction, response_to(transaction.request, 180, to_tag="mine"), wire.now)
    bob >> 180 >> alice
    bob >> 200 >> alice
    assert [parse_message(rung.data).to.tag for rung in wire.rungs[1:3]] == ["mine", "mine"]


# ---- what is refused without troubling the core


def test_a_faulty_request_gets_its_answer_the_same_each_time() -> None:
    """RFC 3261 §8.2.7: a stateless answer has the same To tag each time."""
    lonely = Lonely()
    faulty = options(CSeq="1 INVITE")
    answers = [lonely.ask(faulty)[0] for _ in range(2)]
    assert [status_of(each) for each in answers] == [400, 400]
    assert answers[0].data == answers[1].data
    assert parse_message(answers[0].data).to.tag is not None
    assert answers[0].destination == Destination(Transport.UDP, "192.0.2.7", 5099, OVER_UDP)
    assert lonely.stack.counters[DropReason.MALFORMED_REQUEST] == 2
    assert lonely.stack.idle


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\r\n\r\n", DropReason.KEEP_ALIVE),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42", DropReason.MALFORMED_RESPONSE),
        (b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n", DropReason.MALFORMED_RESPONSE),
        (b"ACK sip:a SIP/2.0\r\n\r\n", DropReason.MALFORMED_RESPONSE),
    ],
)
def test_what_cannot_be_answered_is_dropped_by_name(data: bytes, reason: DropReason) -> None:
    lonely = Lonely()
    lonely.stack.receive(data, OVER_UDP, 0.0)
    assert lonely.stack.take_outgoing() == []
    assert lonely.stack.counters == {**dict.fromkeys(DropReason, 0), reason: 1}


def test_a_parse_error_in_the_core_is_the_answer() -> None:
    lonely = Lonely()
    lonely.raises = ParseError("Bad Something", 416)
    (answer,) = lonely.ask(options())
    assert answer.data.startswith(b"SIP/2.0 416 Bad Something\r\n")
    assert lonely.asked[0].state is State.COMPLETED


def test_a_bug_in_the_core_is_answered_500_and_goes_up() -> None:
    lonely = Lonely()
    lonely.raises = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        lonely.ask(options(method="INVITE"))
    assert [status_of(each) for each in lonely.taken()] == [500]
    lonely.stack.handle_timer(100.0)
    assert lonely.stack.idle


def full(bound: int) -> Lonely:
    lonely = Lonely(Limits(server_transactions=bound, retry_after_s=7))
    for number in range(bound):
        lonely.ask(options(f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{number}", "INVITE", Call_ID=str(number)))
    return lonely


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE"])
def test_overload_is_answered_503_without_keeping_anything(method: str) -> None:
    lonely = full(3)
    (answer,) = lonely.ask(options(method=method))
    assert status_of(answer) == 503
    assert parse_message(answer.data).headers.get("Retry-After") == "7"
    assert lonely.stack.server_transactions == 3
    assert lonely.stack.counters[DropReason.OVERLOADED] == 1


def test_what_makes_load_less_passes_under_overload() -> None:
    lonely = full(3)
    lonely.ask(options(method="BYE"))
    assert lonely.asked[-1].method == "BYE"
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1", "CANCEL", Call_ID="1"))
    assert lonely.asked[1].answered
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx", "ACK"))
    assert len(lonely.acked) == 1


def test_a_retransmission_is_no_load() -> None:
    lonely = full(3)
    lonely.ask(options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK0", "INVITE", Call_ID="0"))
    assert lonely.stack.counters[DropReason.OVERLOADED] == 0


def test_twice_the_bound_is_a_wall() -> None:
    lonely = full(3)
    for number in range(9):
        lonely.ask(options(f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKbye{number}", "BYE", Call_ID=f"bye{number}"))
    assert lonely.stack.server_transactions == 6
    assert lonely.ask(options()) == [], "not even a 503"
    assert lonely.stack.counters[DropReason.OVERLOADED] == 7


# ---- time


def test_users_share_the_stacks_clock(wire: Wire, alice: Phone) -> None:
    rang: list[float] = []
    alice.stack.schedule(wire.now + 2, rang.append)
    alice.stack.schedule(wire.now + 1, rang.append).cancel()
    assert alice.stack.timer() == wire.now + 2
    wire.after(5)
    assert rang == [1002.0]
    assert alice.stack.timer() is None


@pytest.mark.parametrize("make", [Stack.new_tag, Stack.new_call_id, Stack.new_branch])
def test_tags_call_ids_and_branches_do_not_repeat(make: Callable[[Stack], str]) -> None:
    stack = Lonely().stack
    made = {make(stack) for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(each) >= 16 for each in made)


def test_a_call_costs_little_memory_once_it_is_over(wire: Wire) -> None:
    """What a stack holds after a message was answered: the bytes to send again, and no message."""
    lonely = Lonely()
    body = "x" * 2000
    invite = options("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa;rport", "INVITE").replace(
        "Content-Length: 0\r\n\r\n", f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    lonely.ask(invite)
    transaction = lonely.asked[0]
    lonely.stack.respond(transaction, response_to(transaction.request, 200), 0.0)
    lonely.stack.acknowledged(transaction, 0.0)
    held = [getattr(transaction, name) for kind in type(transaction).__mro__ for name in getattr(kind, "__slots__", ())]
    assert not any(isinstance(each, (Request, Response)) for each in held)
    assert b"" in held
    assert max(len(each) for each in held if isinstance(each, (bytes, str))) < 100
