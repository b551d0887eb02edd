"""Opening hours: weeks, nights, dates, years, daylight saving, and an override by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.hours import Moment, Opening, Override, Schedule, local_time, parse_date_rule, parse_days, parse_spans
from dialplan.testing import parse_moment
from tests.dialplan.calling import drafts

OPEN, CLOSED, HOLIDAY = Opening.OPEN, Opening.CLOSED, Opening.HOLIDAY

TEXT = """
    parts:
      begin:
        - hangup
    schedules:
      office:
        timezone: Europe/Berlin
        weekly:
          mon-thu: 09:00-12:00, 13:00-17:00
          fri: [09:00-12:00, "13:00-15:30"]
        dates:
          12-24: 09:00-12:00
          12-25..12-26: holiday
          12-30..01-02: closed
          2026-01-02: 10:00-11:00
          2026-08-03..2026-08-14: closed
          2026-08-05: all day
      bar:
        timezone: Europe/Berlin
        weekly:
          fri-sat: 22:00-06:00
          sun: 00:00-24:00
        dates:
          2026-11-28: holiday
      never: {timezone: Asia/Tokyo}
"""


def schedule(name: str) -> Schedule:
    found = drafts(main=TEXT)
    assert found.everything() == []
    flow = found.flows["main"].flow
    assert flow is not None
    return flow.schedules[name]


def at(name: str, moment: str, overrides: Mapping[str, Override] | None = None) -> Opening:
    one = schedule(name)
    return one.at(Moment(parse_moment(moment, one.timezone), overrides or {}))


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2026-11-23 08:59", CLOSED),
        ("2026-11-23 09:00", OPEN),
        ("2026-11-23 11:59", OPEN),
        ("2026-11-23 12:00", CLOSED),
        ("2026-11-23 13:00", OPEN),
        ("2026-11-23 17:00", CLOSED),
        ("2026-11-27 15:29", OPEN),
        ("2026-11-27 15:30", CLOSED),
        ("2026-11-28 10:00", CLOSED),
        ("2026-12-24 09:00", OPEN),
        ("2026-12-24 13:00", CLOSED),
        ("2026-12-25 10:00", HOLIDAY),
        ("2026-12-26 23:59", HOLIDAY),
        ("2026-12-29 10:00", OPEN),
        ("2026-12-30 10:00", CLOSED),
        ("2027-01-01 10:00", CLOSED),
        ("2026-01-02 10:30", OPEN),
        ("2026-01-02 11:30", CLOSED),
        ("2026-08-04 10:00", CLOSED),
        ("2026-08-05 03:00", OPEN),
        ("2027-08-04 10:00", OPEN),
    ],
)
def test_an_office(moment: str, opening: Opening) -> None:
    assert at("office", moment) is opening


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2026-11-20 21:59", CLOSED),
        ("2026-11-20 22:00", OPEN),
        ("2026-11-21 05:59", OPEN),
        ("2026-11-21 06:00", CLOSED),
        ("2026-11-21 23:00", OPEN),
        ("2026-11-22 12:00", OPEN),
        ("2026-11-23 00:00", CLOSED),
        ("2026-11-28 05:00", OPEN),  # Friday's night goes on into the holiday
        ("2026-11-28 23:00", HOLIDAY),
        ("2026-11-29 03:00", OPEN),
    ],
)
def test_a_night(moment: str, opening: Opening) -> None:
    assert at("bar", moment) is opening


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2026-03-27T08:00:00+00:00", OPEN),  # 09:00 in winter
        ("2026-03-30T07:00:00+00:00", OPEN),  # 09:00 in summer
        ("2026-03-30T06:59:59+00:00", CLOSED),
        ("2026-10-26T07:59:59+00:00", CLOSED),
        ("2026-10-26T08:00:00+00:00", OPEN),
    ],
)
def test_daylight_saving_is_the_clock_on_the_wall(moment: str, opening: Opening) -> None:
    assert at("office", moment) is opening


def test_the_night_in_which_an_hour_is_left_out_or_said_twice() -> None:
    bar = schedule("bar")
    for day, hours in (("2026-03-28", 7), ("2026-10-24", 9)):  # Saturdays before the change
        begin = parse_moment(f"{day} 22:00", bar.timezone)
        open_for = [bar.at(Moment(begin + 600 * step)) is OPEN for step in range(-6, 8 * 6 + 12)]
        assert open_for[:6] == [False] * 6
        assert all(open_for[6 : 6 + hours * 6])


def test_a_schedule_without_hours_is_closed() -> None:
    assert at("never", "2026-11-23 10:00") is CLOSED


def test_an_override_holds_until_it_ends() -> None:
    now = parse_moment("2026-11-23 10:00", "Europe/Berlin")
    closed = {"office": Override(CLOSED, until=now + 60)}
    assert at("office", "2026-11-23 10:00", closed) is CLOSED
    assert at("office", "2026-11-23 10:01", closed) is OPEN
    assert at("office", "2026-11-28 10:00", {"office": Override(OPEN)}) is OPEN
    assert at("office", "2026-11-28 10:00", {"bar": Override(OPEN)}) is CLOSED
    assert at("office", "2026-11-23 10:00", {"office": Override(HOLIDAY)}) is HOLIDAY


@given(st.floats(min_value=0, max_value=4e9))
def test_the_clock_is_that_of_the_place(now: float) -> None:
    place = ZoneInfo("America/New_York")
    assert local_time(now, "America/New_York") == datetime.fromtimestamp(max(now, 86_400.0), place)


@given(st.floats(allow_nan=False))
def test_no_moment_is_a_crash(now: float) -> None:
    assert schedule("bar").at(Moment(now)) in Opening


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon", [0]),
        ("Monday", [0]),
        ("mon-fri", [0, 1, 2, 3, 4]),
        ("sat-mon", [5, 6, 0]),
        ("tue, thu", [1, 3]),
        ("daily", [0, 1, 2, 3, 4, 5, 6]),
        ("sun-sun", [6]),
    ],
)
def test_days(text: str, days: list[int]) -> None:
    assert list(parse_days(text)) == days


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing is not a span of hours"),
        ("9-17", "9-17 is not a span of hours"),
        ("09:00-17:60", "hours go from 00:00 to 24:00"),
        ("24:00-25:00", "hours go from 00:00 to 24:00"),
        ("09:00-09:00", "has no length; the whole day is written: all day"),
        ("09:00-12:00,", "nothing is not a span of hours"),
    ],
)
def test_spans_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_spans(text)


@pytest.mark.parametrize("text", ["", "m", "mo-fr", "xyz", "mon-", "1"])
def test_days_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a day of the week"):
        parse_days(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12.24", "12.24 is not a date like 2026-12-24"),
        ("13-01", "there is no 13-01 in the calendar"),
        ("2026-02-29", "there is no 2026-02-29 in the calendar"),
        ("2026-01-01..01-05", "both ends have a year, or neither"),
        ("2026-02-01..2026-01-01", "ends before it begins"),
        ("01-01..", "nothing is not a date"),
    ],
)
def test_dates_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_date_rule(text, (), CLOSED)


def test_the_29th_of_february_of_every_year() -> None:
    rule = parse_date_rule("02-29", (), HOLIDAY)
    assert rule.holds(datetime(2028, 2, 29, tzinfo=ZoneInfo("UTC")).date())
    assert not rule.holds(datetime(2027, 2, 28, tzinfo=ZoneInfo("UTC")).date())
