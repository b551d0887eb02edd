from random import Random

import pytest

from pbxd.sip.timers import RFC, Timers, Timetable


class Bell:
    def __init__(self) -> None:
        self.rang: list[tuple[str, float]] = []

    def ring(self, name: str, now: float) -> None:
        self.rang.append((name, now))


def test_the_values_of_the_rfc() -> None:
    assert (RFC.t1, RFC.t2, RFC.t4, RFC.timeout) == (0.5, 4.0, 5.0, 32.0)


def test_a_non_invite_client_reaches_t2_after_three_and_a_half_seconds() -> None:
    assert RFC.reluctant_trying == 0.5 + 1 + 2
    assert Timers(t1=1.0, t2=4.0).reluctant_trying == 1 + 2


def test_timers_fire_in_order_and_those_of_one_moment_in_the_order_they_were_set() -> None:
    table, bell = Timetable(), Bell()
    for at, name in ((3.0, "third"), (1.0, "first"), (3.0, "fourth"), (2.0, "second")):
        table.schedule(at, bell.ring, name)
    assert table.next_at() == 1.0
    table.run(2.5)
    assert bell.rang == [("first", 2.5), ("second", 2.5)]
    assert table.next_at() == 3.0
    table.run(3.0)
    assert [name for name, _ in bell.rang] == ["first", "second", "third", "fourth"]
    assert table.next_at() is None
    assert not table


def test_a_cancelled_timer_never_fires_and_is_no_reason_to_wake_up() -> None:
    table, bell = Timetable(), Bell()
    handle = table.schedule(1.0, bell.ring, "cancelled")
    table.schedule(2.0, bell.ring, "kept")
    handle.cancel()
    handle.cancel()
    assert (handle.waiting, len(table), table.next_at()) == (False, 1, 2.0)
    table.run(5.0)
    assert bell.rang == [("kept", 5.0)]


def test_a_timer_can_cancel_its_neighbour_of_the_same_moment() -> None:
    table, bell = Timetable(), Bell()
    table.schedule(1.0, lambda _now: neighbour.cancel())
    neighbour = table.schedule(1.0, bell.ring, "neighbour")
    table.run(1.0)
    assert bell.rang == []
    assert len(table) == table.footprint == 0


def test_cancelling_after_it_fired_changes_nothing() -> None:
    table, bell = Timetable(), Bell()
    handle = table.schedule(1.0, bell.ring, "once")
    table.run(1.0)
    handle.cancel()
    assert len(table) == 0
    assert bell.rang == [("once", 1.0)]


def test_what_is_set_while_running_and_due_at_once_fires_in_the_same_run() -> None:
    table, bell = Timetable(), Bell()
    table.schedule(1.0, lambda now: table.schedule(now, bell.ring, "at once"))
    table.run(1.0)
    assert bell.rang == [("at once", 1.0)]


def test_a_callback_that_raises_leaves_the_others_waiting() -> None:
    table, bell = Timetable(), Bell()
    table.schedule(1.0, lambda _now: 1 / 0)
    table.schedule(1.0, bell.ring, "after")
    with pytest.raises(ZeroDivisionError):
        table.run(1.0)
    table.run(1.0)
    assert bell.rang == [("after", 1.0)]


@pytest.mark.parametrize("seed", range(5))
def test_the_heap_does_not_grow_with_cancelled_timers(seed: int) -> None:
    random, table, now = Random(seed), Timetable(), 0.0
    waiting = {}
    fired: list[int] = []
    for number in range(5000):
        now += random.random() * 0.01
        waiting[number] = table.schedule(now + random.random() * 32, lambda n, _now: fired.append(n), number)
        if random.random() < 0.9:
            waiting.pop(random.choice(list(waiting))).cancel()
        table.run(now)
        for done in fired:
            waiting.pop(done, None)
        assert len(table) == len(waiting)
        assert table.footprint <= 2 * len(table) + Timetable.SWEEP_FLOOR + 1
