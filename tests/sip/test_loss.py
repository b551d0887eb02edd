"""Calls and requests over a wire that loses, doubles, delays and reorders: all of them end, and nothing is left."""

from collections import Counter
from random import Random

import pytest

from pbxd.sip.message import Request, Response
from pbxd.sip.timers import RFC
from pbxd.sip.transaction import ClientTransaction, Failure
from pbxd.sip.uri import Uri
from tests.phone import Phone
from tests.wire import Weather, Wire

CALLS = 12
LONG_ENOUGH = 4 * RFC.timeout + 20  # INVITE, ACK, BYE and the longest wait behind each
WEATHERS = [
    pytest.param(Weather(), id="fine"),
    pytest.param(Weather(loss=0.1), id="10 % lost"),
    pytest.param(Weather(loss=0.2, duplicate=0.1, delay=0.05, jitter=0.05), id="20 % lost, 10 % doubled"),
    pytest.param(Weather(loss=0.4), id="40 % lost"),
    pytest.param(Weather(duplicate=1.0, reorder=0.5, hold=2.0), id="all doubled, half reordered"),
    pytest.param(Weather(delay=1.0, jitter=1.0), id="1-2 s late, slower than Timer A"),
    pytest.param(Weather(loss=0.3, duplicate=0.2, reorder=0.3, hold=1.0, delay=0.2, jitter=0.8), id="a bad day"),
]


class Call:
    """The calling side of one call: INVITE, ACK to every 2xx, and BYE after 3 s. `outcomes` says how each ended."""

    def __init__(self, phone: Phone, peer: Phone) -> None:
        self.phone = phone
        self.peer = peer
        self.outcomes: list[str] = []
        self.to = "<sip:peer@example.com>"
        self.call_id = phone.stack.new_call_id()
        self.tag = phone.stack.new_tag()

    def send(self, method: str, number: int, now: float) -> ClientTransaction:
        return self.phone.stack.request(self._made(method, number), [self.peer.destination()], self, now)

    def _made(self, method: str, number: int) -> Request:
        request = Request(method, Uri.parse("sip:peer@example.com"))
        request.headers.add("From", f"<sip:caller@example.com>;tag={self.tag}")
        request.headers.add("To", self.to)
        request.headers.add("Call-ID", self.call_id)
        request.headers.add("CSeq", f"{number} {method}")
        return request

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 200:
            return
        outcome = f"{response.status} {transaction.method}"
        if transaction.method != "INVITE" or response.status >= 300:
            self.outcomes.append(outcome)
            return
        self.to = response.headers.get("To") or ""
        self.phone.stack.ack(self._made("ACK", 1), [self.peer.destination()], now)
        if outcome not in self.outcomes:
            self.outcomes.append(outcome)
            self.phone.stack.schedule(now + 3, lambda at: self.send("BYE", 2, at))

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self.outcomes.append(f"{failure.name} {transaction.method}")


def two_phones(weather: Weather, seed: int, **answers: tuple[int, ...]) -> tuple[Wire, Phone, Phone]:
    wire = Wire(weather, seed=seed)
    alice = Phone(wire, "alice")
    usual = {"INVITE": (180, 200), "BYE": (200,), "REGISTER": (200,), "OPTIONS": (200,), **answers}
    return wire, alice, Phone(wire, "bob", answers=usual)


def asked(phone: Phone, method: str) -> int:
    return sum(line.endswith(f" {method}") and "NO_ACK" not in line for line in phone.log)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("weather", WEATHERS)
def test_calls_are_set_up_and_end(weather: Weather, seed: int) -> None:
    wire, alice, bob = two_phones(weather, seed)
    calls = [Call(alice, bob) for _ in range(CALLS)]
    for call in calls:
        call.send("INVITE", 1, wire.now)
        wire.after(0.37)
    wire.after(LONG_ENOUGH)
    outcomes = Counter(outcome for call in calls for outcome in call.outcomes)
    assert set(outcomes) <= {"200 INVITE", "TIMEOUT INVITE", "200 BYE", "TIMEOUT BYE"}, wire.ladder
    assert outcomes["200 INVITE"] + outcomes["TIMEOUT INVITE"] == CALLS
    assert outcomes["200 BYE"] + outcomes["TIMEOUT BYE"] == outcomes["200 INVITE"]
    assert outcomes["TIMEOUT INVITE"] + outcomes["TIMEOUT BYE"] <= (CALLS // 4 if weather.loss >= 0.3 else 0)
    assert asked(bob, "INVITE") <= CALLS, "no INVITE came to the core twice"
    assert asked(bob, "BYE") <= CALLS
    assert alice.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize("weather", WEATHERS)
def test_a_refused_call_reaches_its_end(weather: Weather) -> None:
    wire, alice, bob = two_phones(weather, 4, INVITE=(486,))
    calls = [Call(alice, bob) for _ in range(CALLS)]
    for call in calls:
        call.send("INVITE", 1, wire.now)
    wire.after(LONG_ENOUGH)
    assert all(call.outcomes in (["486 INVITE"], ["TIMEOUT INVITE"]) for call in calls)
    assert sum(call.outcomes == ["486 INVITE"] for call in calls) >= CALLS - CALLS // 4 * (weather.loss >= 0.3)
    assert asked(bob, "ACK") == 0, "ACKs to failures stay below the core"
    assert alice.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize("method", ["REGISTER", "OPTIONS"])
@pytest.mark.parametrize("weather", WEATHERS)
def test_requests_get_their_answer_once(weather: Weather, method: str) -> None:
    wire, alice, bob = two_phones(weather, 5)
    calls = [Call(alice, bob) for _ in range(CALLS)]
    for call in calls:
        call.send(method, 1, wire.now)
    wire.after(LONG_ENOUGH)
    assert all(call.outcomes in ([f"200 {method}"], [f"TIMEOUT {method}"]) for call in calls)
    assert sum(call.outcomes == [f"200 {method}"] for call in calls) >= CALLS - CALLS // 4 * (weather.loss >= 0.3)
    assert asked(bob, method) <= CALLS
    assert alice.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weather", WEATHERS)
def test_a_cancel_at_any_time_leaves_a_call_that_is_answered_or_not(weather: Weather, seed: int) -> None:
    """The CANCEL may cross 100, 180, 200 or 487, be lost or overtake: RFC 3261 §9."""
    wire, alice, bob = two_phones(weather, seed, INVITE=(180,))
    random = Random(seed)
    calls = [Call(alice, bob) for _ in range(CALLS)]
    for call in calls:
        transaction = call.send("INVITE", 1, wire.now)
        cancel_at = wire.now + random.random() * 4
        alice.stack.schedule(cancel_at, lambda now, invite=transaction: alice.stack.cancel(invite, now))
    for _ in range(CALLS):
        wire.after(random.random())
        if bob.waiting and random.random() < 0.5:
            bob.answer(200)
    wire.after(RFC.timeout)
    for _ in range(len(bob.waiting)):
        bob.answer(480)  # those whose CANCEL never came: RFC 3261 §9.1 lets their caller give up
    wire.after(LONG_ENOUGH)
    ends = Counter(call.outcomes[0] for call in calls)
    assert set(ends) <= {"200 INVITE", "487 INVITE", "480 INVITE", "TIMEOUT INVITE"}
    assert all(len(call.outcomes) == (2 if call.outcomes[0] == "200 INVITE" else 1) for call in calls)
    assert alice.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize(
    ("method", "instants"),
    [
        ("INVITE", [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]),
        ("BYE", [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]),
        ("REGISTER", [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]),
        ("OPTIONS", [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]),
    ],
)
def test_when_all_is_lost_the_timers_are_those_of_the_rfc(method: str, instants: list[float]) -> None:
    wire, alice, bob = two_phones(Weather(loss=1.0), 6)
    call = Call(alice, bob)
    call.send(method, 1, wire.now)
    wire.after(31.99)
    assert call.outcomes == []
    wire.after(0.01)
    assert call.outcomes == [f"TIMEOUT {method}"]
    assert wire.sent("alice", method) == instants
    assert bob.log == []
    assert alice.stack.idle


def test_when_every_answer_is_lost_both_sides_give_up_by_the_rfc() -> None:
    wire, alice, bob = two_phones(Weather(), 7)
    wire.lose(*["180 INVITE"] * 50, *["200 INVITE"] * 50)
    call = Call(alice, bob)
    call.send("INVITE", 1, wire.now)
    wire.after(33)
    assert call.outcomes == ["TIMEOUT INVITE"]
    assert wire.sent("alice", "INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert wire.sent("bob", "200 INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bob.log == ["0 INVITE", "32 NO_ACK INVITE"]
    assert alice.stack.idle
    assert bob.stack.idle


@pytest.mark.parametrize("seed", range(25))
def test_messages_that_come_back_at_any_time_do_no_harm(seed: int) -> None:
    """Anything that was ever sent arrives again, anywhere, any time; and still every transaction ends."""
    random = Random(seed)
    wire, alice, bob = two_phones(Weather(loss=0.2, duplicate=0.2, jitter=0.3), seed, INVITE=(180,))
    phones = [alice, bob]
    for _ in range(60):
        step = random.random()
        if step < 0.2:
            Call(alice, bob).send(random.choice(["INVITE", "OPTIONS", "BYE", "CANCEL"]), 1, wire.now)
        elif step < 0.4 and bob.waiting:
            bob.answer(random.choice([100, 183, 200, 302, 486, 603]))
        elif step < 0.8 and wire.rungs:
            sender, receiver = random.choices(phones, k=2)
            wire.shout(random.choice(wire.rungs).data, sender, receiver)
        else:
            wire.after(random.random() * 6)
    wire.after(RFC.timeout)
    for phone in phones:
        while phone.waiting:
            phone.answer(480)
    wire.after(LONG_ENOUGH)
    wire.weather = Weather()
    assert all(phone.stack.idle for phone in phones), wire.ladder


def test_the_same_seed_gives_the_same_ladder() -> None:
    ladders = []
    for _ in range(2):
        wire, alice, bob = two_phones(Weather(loss=0.3, duplicate=0.2, reorder=0.3, hold=2.0), 8)
        Call(alice, bob).send("INVITE", 1, wire.now)
        wire.after(60)
        ladders.append(wire.ladder)
    assert ladders[0] == ladders[1]
    assert " x " in ladders[0]
