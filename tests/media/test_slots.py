"""Which slot a leg gets, and commands that are held back."""

from __future__ import annotations

from media.session import Media
from media.wire import Wire
from tests.clients.until import until


def test_a_leg_takes_the_lowest_slot_so_that_memory_stays_at_the_peak(wire: Wire, media: Media) -> None:
    first, second, third = (media.open("127.0.0.1") for _ in range(3))
    assert [session.key[0] for session in (first, second, third)] == [0, 1, 2]
    generation = second.key[1]
    second.close()
    until(lambda: wire.legs_open == 2, "the leg to be closed")
    again = media.open("127.0.0.1")
    assert again.key[0] == 1
    assert again.key[1] > generation


def test_what_was_held_back_is_carried_out_at_the_release(wire: Wire, media: Media) -> None:
    wire.hold()
    session = media.open("127.0.0.1")
    session.close()
    assert wire.legs_open == 1
    wire.release()
    until(lambda: wire.legs_open == 0, "the leg to be closed")


def test_a_release_without_orders_and_a_second_one_do_nothing(wire: Wire, media: Media) -> None:
    wire.release()
    wire.hold()
    wire.release()
    wire.release()
    media.open("127.0.0.1").close()
    until(lambda: wire.legs_open == 0, "the leg to be closed")
