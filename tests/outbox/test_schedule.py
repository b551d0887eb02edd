"""Who is tried when, in virtual time."""

from __future__ import annotations

import random

import pytest

from pbxd.outbox.schedule import LAST_REST_S, Entry, Rules, Schedule
from pbxd.outbox.verdict import Outcome, Verdict, temporary

DONE = Verdict(Outcome.DELIVERED, "250 OK")
BUSY = temporary("450 busy")
DOWN = temporary("no connection", everyone=True)
MIDDLE = 0.5  # the roll that leaves a pause as it is


def _schedule(*ids: str, destination: str = "mail", rules: Rules | None = None) -> Schedule:
    schedule = Schedule(rules or Rules())
    for item_id in ids:
        schedule.add(Entry(item_id, destination, 0, 0.0, 0.0))
    return schedule


def _started(schedule: Schedule, now: float) -> list[str]:
    return [entry.id for entry in schedule.step(now).start]


def _fail(schedule: Schedule, item_id: str, now: float, verdict: Verdict = BUSY) -> float | None:
    due = schedule.next_try(item_id, now, MIDDLE, verdict.retry_after_s)
    schedule.release(item_id, verdict, now, due)
    return due


def test_what_is_due_starts_oldest_first_and_within_the_bound() -> None:
    schedule = _schedule("a", "b", "c")
    assert _started(schedule, 0.0) == ["a", "b"]
    assert _started(schedule, 0.0) == []
    assert schedule.timer() is None
    schedule.release("a", DONE, 1.0, None)
    assert schedule.timer() is not None
    assert _started(schedule, 1.0) == ["c"]
    assert len(schedule) == 2


def test_a_failure_waits_for_its_pauses_and_then_for_the_last_one() -> None:
    schedule = _schedule("a", rules=Rules(retry_s=(10, 60), max_age_s=1000.0))
    now, pauses = 0.0, []
    for _ in range(4):
        assert _started(schedule, now) == ["a"]
        due = _fail(schedule, "a", now)
        assert due is not None
        assert schedule.timer() == due
        assert _started(schedule, due - 0.001) == []
        pauses.append(due - now)
        now = due
    assert pauses == [10, 60, 60, 60]


def test_pauses_are_varied_by_a_fifth() -> None:
    schedule = _schedule("a", rules=Rules(retry_s=(100,)))
    schedule.step(0.0)
    rng = random.Random(1)
    dues = [schedule.next_try("a", 0.0, rng.random()) or 0.0 for _ in range(1000)]
    assert 80 <= min(dues) < 82
    assert 118 < max(dues) <= 120
    assert len(set(dues)) == 1000


def test_the_last_try_is_the_one_after_which_it_would_be_too_old() -> None:
    schedule = _schedule("a", rules=Rules(retry_s=(100,), max_age_s=250.0))
    for now in (0.0, 100.0):
        assert _started(schedule, now) == ["a"]
        assert _fail(schedule, "a", now) == now + 100
    assert _started(schedule, 200.0) == ["a"]
    assert _fail(schedule, "a", 200.0) is None
    assert "a" not in schedule
    assert schedule.timer() is None


@pytest.mark.parametrize(("asked", "got"), [(5.0, 60.0), (600.0, 600.0), (1e9, 14_400.0), (None, 60.0)])
def test_a_far_side_may_ask_for_a_longer_pause_but_not_for_any(asked: float | None, got: float) -> None:
    schedule = _schedule("a")
    schedule.step(0.0)
    assert schedule.next_try("a", 0.0, MIDDLE, asked) == got


def test_a_dead_destination_is_tried_by_one_and_holds_nobody_else_up() -> None:
    schedule = _schedule("a", "b", "c", "d")
    schedule.add(Entry("x", "https://alive:443", 0, 0.0, 0.0))
    assert _started(schedule, 0.0) == ["a", "b", "x"]
    _fail(schedule, "a", 30.0, DOWN)
    _fail(schedule, "b", 30.0, DOWN)
    schedule.release("x", DONE, 30.0, None)
    assert schedule.timer() == 40.0  # 5 s, then 10 s
    assert _started(schedule, 39.9) == []
    assert _started(schedule, 40.0) == ["c"]
    _fail(schedule, "c", 70.0, DOWN)
    rests: list[float] = []
    last = now = 70.0
    while len(rests) < 8:
        timer = schedule.timer()
        assert timer is not None
        now = max(now, timer)
        for probe in _started(schedule, now):
            rests.append(now - last)
            last = now
            _fail(schedule, probe, now, DOWN)
    assert [round(rest) for rest in rests] == [20, 40, 80, 160, 300, 300, 300, 300]
    assert max(rests) == LAST_REST_S
    entry = schedule.get("d")
    assert entry is not None
    assert entry.attempts <= 3  # waiting for a dead server uses up no tries


def test_a_destination_that_is_back_gets_everything_at_once() -> None:
    schedule = _schedule("a", "b", "c")
    assert _started(schedule, 0.0) == ["a", "b"]
    _fail(schedule, "a", 0.0, DOWN)
    _fail(schedule, "b", 0.0, DOWN)
    assert _started(schedule, 60.0) == ["c"]
    schedule.release("c", DONE, 60.0, None)
    assert sorted(_started(schedule, 60.0)) == ["a", "b"]


def test_a_refusal_of_one_item_is_no_reason_to_rest() -> None:
    schedule = _schedule("a", "b", "c", "d")
    schedule.step(0.0)
    schedule.release("a", Verdict(Outcome.PERMANENT, "550 no such user"), 0.0, None)
    _fail(schedule, "b", 0.0, BUSY)
    assert _started(schedule, 0.0) == ["c", "d"]


def test_what_grows_too_old_behind_a_dead_server_expires() -> None:
    schedule = _schedule("a", "b", "c", "d", rules=Rules(retry_s=(10,), max_age_s=100.0))
    schedule.step(0.0)
    _fail(schedule, "a", 0.0, DOWN)
    _fail(schedule, "b", 0.0, DOWN)
    step = schedule.step(100.0)
    assert [entry.id for entry in step.start] == ["c"]
    assert sorted(entry.id for entry in step.expired) == ["a", "b", "d"]
    assert _fail(schedule, "c", 100.0, DOWN) is None
    assert len(schedule) == 0


def test_everything_is_tried_once_however_old_where_the_destination_is_well() -> None:
    schedule = _schedule("a", rules=Rules(max_age_s=100.0))
    assert [entry.id for entry in schedule.step(1e6).start] == ["a"]


def test_the_total_is_bounded_too() -> None:
    schedule = Schedule(Rules(total=3))
    for number in range(5):
        schedule.add(Entry(f"i{number}", f"https://host{number}:443", 0, 0.0, 0.0))
    assert len(_started(schedule, 0.0)) == 3
    assert schedule.timer() is None


def test_hurrying_lifts_the_rest_and_removing_takes_it_away() -> None:
    schedule = _schedule("a", "b")
    schedule.step(0.0)
    _fail(schedule, "a", 0.0, DOWN)
    assert schedule.remove("b") is None  # under way
    _fail(schedule, "b", 0.0, DOWN)
    schedule.hurry("b", 1.0)
    assert _started(schedule, 1.0) == ["b"]
    schedule.release("b", DONE, 1.0, None)
    removed = schedule.remove("a")
    assert removed is not None
    assert (len(schedule), schedule.timer(), _started(schedule, 1e6)) == (0, None, [])
    schedule.add(removed)
    assert schedule.timer() == removed.due


def test_a_try_that_did_not_happen_is_not_counted() -> None:
    schedule = _schedule("a")
    schedule.step(0.0)
    schedule.postpone("a", 5.0)
    entry = schedule.get("a")
    assert entry is not None
    assert (entry.attempts, entry.due, schedule.timer()) == (0, 5.0, 5.0)
    assert _started(schedule, 5.0) == ["a"]


def test_nothing_is_lost_and_the_bounds_hold_whatever_happens() -> None:
    """A long life by chance: every item ends once, no destination has more under way than it may."""
    rng = random.Random(7)
    schedule = Schedule(Rules(retry_s=(5, 20), max_age_s=500.0, per_destination=2, total=5))
    under_way: dict[str, str] = {}
    ended: list[str] = []
    now = 0.0
    for number in range(300):
        schedule.add(Entry(f"i{number}", f"place{number % 7}", 0, now, now))
        for _ in range(3):
            now += rng.random() * 3
            step = schedule.step(now)
            ended += [entry.id for entry in step.expired]
            under_way |= {entry.id: entry.destination for entry in step.start}
            assert len(under_way) <= 5
            assert all(list(under_way.values()).count(place) <= 2 for place in under_way.values())
            for item_id in rng.sample(sorted(under_way), k=rng.randint(0, len(under_way))):
                verdict = rng.choice([DONE, BUSY, DOWN])
                due = schedule.next_try(item_id, now, rng.random()) if verdict is not DONE else None
                schedule.release(item_id, verdict, now, due)
                del under_way[item_id]
                if due is None:
                    ended.append(item_id)
    while (timer := schedule.timer()) is not None or under_way:
        for item_id in list(under_way):
            schedule.release(item_id, DONE, now, None)
            ended.append(under_way.pop(item_id) and item_id)
        now = max(now, timer or now)
        step = schedule.step(now)
        ended += [entry.id for entry in step.expired]
        under_way |= {entry.id: entry.destination for entry in step.start}
    assert sorted(ended) == sorted(f"i{number}" for number in range(300))
    assert len(schedule) == 0
