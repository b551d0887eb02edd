"""The wire itself: a harness that cannot fail proves nothing."""

from math import sqrt

import pytest

from pbxd.sip.flow import Transport
from tests.phone import Phone
from tests.wire import Weather, Wire


def two(wire: Wire) -> tuple[Phone, Phone]:
    return Phone(wire, "alice"), Phone(wire, "bob")


def test_a_step_that_does_not_happen_fails_with_the_ladder() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice >> "OPTIONS" >> bob
    bob >> 200 >> alice
    alice.send("MESSAGE", [bob.destination()])
    with pytest.raises(AssertionError, match=r"not OPTIONS but 0.000 alice MESSAGE > bob:\n0.000 alice OPTIONS > bob"):
        alice >> "OPTIONS" >> bob


def test_what_is_never_sent_is_not_waited_for_for_ever() -> None:
    class Mute(Phone):
        def act(self, what: object, peer: object) -> None:
            """Says nothing, whatever the ladder wants."""

    wire = Wire()
    alice, bob = Mute(wire, "alice"), Phone(wire, "bob")
    with pytest.raises(AssertionError, match="alice never sent OPTIONS to bob"):
        alice >> "OPTIONS" >> bob


def test_a_difference_is_shown_as_a_diff() -> None:
    wire = Wire()
    alice, bob = two(wire)
    alice.send("OPTIONS", [bob.destination()])
    wire.settle()
    with pytest.raises(AssertionError, match=r"-0.000 alice REGISTER > bob\n\+0.000 alice OPTIONS > bob"):
        wire.expect("0.000 alice REGISTER > bob")


def test_the_ladder_tells_what_became_of_each_message() -> None:
    wire = Wire()
    alice, bob = two(wire)
    wire.lose("OPTIONS")
    alice >> "OPTIONS" >> bob
    wire.weather = Weather(duplicate=1.0)
    wire.after(0.5)
    bob >> 200 >> alice
    wire.cut(alice)
    assert wire.ladder.splitlines() == [
        "0.000 alice OPTIONS x bob",
        "0.500 alice OPTIONS >> bob",
        "0.500 bob 200 OPTIONS >> alice",
    ]


@pytest.mark.parametrize("loss", [0.1, 0.4])
def test_as_much_is_lost_as_was_asked_for(loss: float) -> None:
    wire = Wire(Weather(loss=loss))
    alice, bob = two(wire)
    for _ in range(5000):
        wire.shout(b"\r\n\r\n", alice, bob)
    lost = sum(rung.arrives == 0 for rung in wire.rungs)
    assert abs(lost - 5000 * loss) < 4 * sqrt(5000 * loss * (1 - loss)), "four standard deviations"


def test_datagrams_overtake_each_other_only_when_asked_to() -> None:
    def order(weather: Weather) -> list[str]:
        wire = Wire(weather)
        alice, bob = two(wire)
        for method in ("OPTIONS", "REGISTER", "MESSAGE", "BYE", "INFO") * 4:
            alice.send(method, [bob.destination()])
        wire.after(0.4)
        return [line.split()[1] for line in bob.log]

    straight = ["OPTIONS", "REGISTER", "MESSAGE", "BYE", "INFO"] * 4
    assert order(Weather(delay=0.1)) == straight
    shuffled = order(Weather(reorder=0.5, hold=0.3))
    assert shuffled != straight
    assert sorted(shuffled) == sorted(straight)


def test_a_message_arrives_after_its_delay() -> None:
    wire = Wire(Weather(delay=0.25))
    alice, bob = two(wire)
    alice >> "OPTIONS" >> bob
    assert bob.log == ["0.25 OPTIONS"]
    bob >> 200 >> alice
    assert alice.log == ["0.5 200 OPTIONS"]


def test_a_stream_loses_nothing_until_it_is_cut() -> None:
    wire = Wire(Weather(loss=1.0, delay=0.25))
    alice, bob = Phone(wire, "alice", transport=Transport.TCP), Phone(wire, "bob")
    alice >> "OPTIONS" >> bob
    bob.answer(200)
    wire.settle()
    wire.cut(bob)
    wire.after(1)
    assert alice.log == ["0.25 TRANSPORT OPTIONS"], "what was on its way is gone with the connection"
