"""When a house is open: weekly hours, dates that differ, holidays, an override by hand.

All hours are those on the wall of the schedule's time zone, so daylight saving needs no rule of its own. Hours over
midnight (`22:00-06:00`) belong to the day on which they begin: a Friday night lasts until Saturday, whatever Saturday
is. A date beats the week; among dates one with a year beats one of every year, and a single day beats a span.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60

_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})")
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")


class Opening(StrEnum):
    """What a schedule says of a moment."""

    OPEN = "open"
    CLOSED = "closed"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody said otherwise, until `until` in seconds since 1970, or until it is taken back."""

    opening: Opening
    until: float | None = None

    def holds(self, now: float) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Moment:
    """What a flow may know of the world beside the call: the time, and the overrides in force by name of schedule."""

    now: float
    overrides: Mapping[str, Override] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """Open hours in minutes after midnight; over midnight when the end is not after the begin."""

    begin: int
    end: int

    @property
    def overnight(self) -> bool:
        return self.end <= self.begin


@dataclass(frozen=True, slots=True)
class DateRule:
    """What holds from one date to another. A year of None is every year; the span may then go over the new year."""

    year: int | None
    first: tuple[int, int]
    last_year: int | None
    last: tuple[int, int]
    spans: tuple[Span, ...]
    otherwise: Opening

    @property
    def weight(self) -> tuple[bool, bool]:
        """Lower is stronger."""
        return self.year is None, (self.year, self.first) != (self.last_year, self.last)

    def holds(self, day: date) -> bool:
        at = (day.month, day.day)
        if self.year is not None and self.last_year is not None:
            return (self.year, self.first) <= (day.year, at) <= (self.last_year, self.last)
        if self.first <= self.last:
            return self.first <= at <= self.last
        return at >= self.first or at <= self.last


@dataclass(frozen=True, slots=True)
class Schedule:
    """A named schedule: `weekly` has seven entries from Monday on, `dates` in the order of their strength."""

    name: str
    timezone: str
    weekly: tuple[tuple[Span, ...], ...] = ((),) * 7
    dates: tuple[DateRule, ...] = ()

    def at(self, moment: Moment) -> Opening:
        """Open, closed or holiday at this moment."""
        override = moment.overrides.get(self.name)
        if override is not None and override.holds(moment.now):
            return override.opening
        local = local_time(moment.now, self.timezone)
        minute = local.hour * 60 + local.minute
        yesterday, _ = self._day(local.date() - timedelta(days=1))
        if any(span.overnight and minute < span.end for span in yesterday):
            return Opening.OPEN
        spans, otherwise = self._day(local.date())
        inside = any(span.begin <= minute and (span.overnight or minute < span.end) for span in spans)
        return Opening.OPEN if inside else otherwise

    def _day(self, day: date) -> tuple[tuple[Span, ...], Opening]:
        for rule in self.dates:
            if rule.holds(day):
                return rule.spans, rule.otherwise
        return self.weekly[day.weekday()], Opening.CLOSED


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Raises ValueError when there is no such time zone."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"there is no time zone {name}; they are written like Europe/Berlin") from None


def local_time(now: float, timezone: str) -> datetime:
    """The time on the wall; a moment no calendar holds is the nearest end of time."""
    bounded = min(max(now, 86_400.0), 250_000_000_000.0)
    return datetime.fromtimestamp(bounded, UTC).astimezone(zone(timezone))


def parse_spans(text: str) -> tuple[Span, ...]:
    """Read `09:00-12:00, 13:00-17:00`, `closed` or `all day`. Raises ValueError."""
    if text.strip().lower() == "closed":
        return ()
    if text.strip().lower() == "all day":
        return (Span(0, DAY_MINUTES),)
    return tuple(_span(part.strip()) for part in text.split(","))


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text or 'nothing'} is not a span of hours like 09:00-17:00, nor closed, nor all day")
    hours, minutes, end_hours, end_minutes = map(int, match.groups())
    begin, end = hours * 60 + minutes, end_hours * 60 + end_minutes
    if minutes > 59 or end_minutes > 59 or begin >= DAY_MINUTES or end > DAY_MINUTES:
        raise ValueError(f"{text}: hours go from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"{text} has no length; the whole day is written: all day")
    return Span(begin, end)


def parse_days(text: str) -> tuple[int, ...]:
    """Read `mon-fri`, `sat`, `mon, wed` or `daily` to numbers from Monday 0 on. Raises ValueError."""
    if text.strip().lower() == "daily":
        return tuple(range(7))
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().lower().partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        days += [number % 7 for number in range(begin, end + 1 if end >= begin else end + 8)]
    return tuple(days)


def _day(text: str) -> int:
    word = text.strip()[:3]
    if word not in DAYS or len(text.strip()) < 3:
        raise ValueError(f"{text or 'nothing'} is not a day of the week; they are {', '.join(DAYS)}, daily")
    return DAYS.index(word)


def parse_date_rule(dates: str, spans: tuple[Span, ...], otherwise: Opening) -> DateRule:
    """Read `2026-12-24`, `12-25` (every year) or `2026-08-03..2026-08-14`. Raises ValueError."""
    first, dots, last = dates.partition("..")
    year, begin = _date(first.strip())
    last_year, end = _date(last.strip()) if dots else (year, begin)
    if (year is None) is not (last_year is None):
        raise ValueError(f"{dates}: both ends have a year, or neither")
    if year is not None and last_year is not None and (last_year, end) < (year, begin):
        raise ValueError(f"{dates} ends before it begins")
    return DateRule(year, begin, last_year, end, spans, otherwise)


def _date(text: str) -> tuple[int | None, tuple[int, int]]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text or 'nothing'} is not a date like 2026-12-24, nor one of every year like 12-25")
    year, month, day = match.groups()
    try:
        date(int(year) if year else 2024, int(month), int(day))  # 2024 had a 29 February
    except ValueError:
        raise ValueError(f"there is no {text} in the calendar") from None
    return int(year) if year else None, (int(month), int(day))
