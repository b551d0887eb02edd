"""What the house's API tells of queues is what their service shows, rounded, in its own words."""

from __future__ import annotations

from pbxd.api.house.queues import DayView, OperatorRow, QueueDetail, QueueRow
from pbxd.services.queues import OperatorView, QueueView, Strategy
from pbxd.services.queues.model import Exit
from pbxd.services.queues.statistics import Day, OperatorFigures, QueueFigures
from pbxd.services.queues.table import Activity, Status


def figures() -> QueueFigures:
    counted = QueueFigures(entered=3, in_time=1, waited_s=20.04, longest_wait_s=12.06, talked_s=61.0, wrapped_s=9.96)
    counted.exits |= {Exit.ANSWERED.value: 2, Exit.ABANDON.value: 1}
    return counted


def test_a_queue() -> None:
    seen = QueueView("shop", "", Strategy.RING_ALL, 1, 0, 3.14159, None, 2, 1, 1, 1, "2026-03-01", figures())
    row = QueueRow.of(seen)
    assert (row.longest_wait_s, row.expected_wait_s, row.strategy) == (3.1, None, Strategy.RING_ALL)
    said = QueueDetail(**dict(row), callers=[], operators=[]).model_dump(mode="json")["today"]
    assert said | {"exits": {}} == {
        "entered": 3,
        "handled": 2,
        "abandoned": 1,
        "exits": {},
        "service_level_percent": 33.3,
        "mean_wait_s": 10.0,
        "longest_wait_s": 12.1,
        "talked_s": 61.0,
        "mean_talk_s": 30.5,
        "wrapped_up_s": 10.0,
        "mean_wrap_up_s": 5.0,
    }
    assert said["exits"]["answered"] == 2


def test_an_operator_and_a_day() -> None:
    today = OperatorFigures(offered=2, wrapped_s=1.25)
    seen = OperatorView(
        "1004", Status.AVAILABLE, Activity.WAITING, True, False, {"shop": 0}, 7.77, 1.11, None, None, 3, 0, today
    )
    row = OperatorRow.of(seen).model_dump(mode="json")
    assert (row["status_s"], row["activity_s"], row["queues"]) == (7.8, 1.1, {"shop": 0})
    assert row["today"]["wrapped_up_s"] == 1.2
    day = DayView.of(Day("2026-03-01", {"shop": figures()}, {"1004": today}))
    assert (day.day, day.queues["shop"].handled, day.operators["1004"].offered) == ("2026-03-01", 2, 2)
