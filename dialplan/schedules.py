"""Opening hours as they are written, in a flow or in `schedules.yaml`, which all flows share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from dialplan.flow import setting
from dialplan.hours import DateRule, Opening, Schedule, Span, parse_date_rule, parse_days, parse_spans, zone
from dialplan.kinds import WORD, JsonSchema, MapKind, Reading, Wrong, scalar, shown
from dialplan.tree import Items, Node, Pair, Pairs, Scalar

_HOURS_SCHEMA: JsonSchema = {"type": ["string", "array"], "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class ZoneKind:
    """A time zone of the IANA database."""

    name: str = "time zone"

    def read(self, node: Node, reading: Reading) -> str:
        text = scalar(node, "a time zone like Europe/Berlin")
        try:
            zone(text)
        except ValueError as error:
            raise Wrong(str(error)) from None
        return text

    def schema(self) -> JsonSchema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class WeeklyKind:
    """Days of the week and their hours. Days that are not named are closed."""

    name: str = "days: hours"

    def read(self, node: Node, reading: Reading) -> tuple[tuple[Span, ...], ...]:
        week: dict[int, tuple[Span, ...]] = {}
        for pair in _pairs(node):
            with _noted(reading, pair):
                spans = _spans(pair.value)
                for day in parse_days(pair.key):
                    if day in week:
                        raise Wrong(f"{pair.key}: one of these days has its hours already", pair.mark)
                    week[day] = spans
        return tuple(week.get(day, ()) for day in range(7))

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": _HOURS_SCHEMA}


@dataclass(frozen=True, slots=True)
class DatesKind:
    """Dates and what holds on them: hours, `closed` or `holiday`."""

    name: str = "dates: hours"

    def read(self, node: Node, reading: Reading) -> tuple[DateRule, ...]:
        rules = []
        for pair in _pairs(node):
            holiday = isinstance(pair.value, Scalar) and pair.value.text.strip().lower() == "holiday"
            with _noted(reading, pair):
                spans = () if holiday else _spans(pair.value)
                otherwise = Opening.HOLIDAY if holiday else Opening.CLOSED
                rules.append(parse_date_rule(pair.key.strip(), spans, otherwise))
        return tuple(sorted(rules, key=lambda rule: rule.weight))

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": _HOURS_SCHEMA}


@dataclass(frozen=True, slots=True)
class ScheduleShape:
    """One schedule, as it is written."""

    timezone: Annotated[str | None, ZoneKind()] = setting("whose clock; that of the flow", None)
    weekly: Annotated[tuple[tuple[Span, ...], ...], WeeklyKind()] = setting(
        "`mon-fri: 09:00-17:00`; several spans with commas; over midnight is fine", ((),) * 7
    )
    dates: Annotated[tuple[DateRule, ...], DatesKind()] = setting(
        "`2026-12-24: 09:00-12:00`, `12-25: holiday`, `2026-08-03..2026-08-14: closed`", ()
    )

    def named(self, name: str, timezone: str) -> Schedule:
        return Schedule(name, self.timezone or timezone, self.weekly, self.dates)


@dataclass(frozen=True, slots=True)
class ScheduleKind:
    """`timezone`, `weekly`, `dates`."""

    name: str = "schedule"

    def read(self, node: Node, reading: Reading) -> ScheduleShape:
        return reading.shape(node, ScheduleShape)

    def schema(self) -> JsonSchema:
        return {"$ref": "#/$defs/schedule"}


_NAME_RULE = "a schedule is named with letters, digits, '-' and '_'"
Schedules = Annotated[Mapping[str, ScheduleShape], MapKind(ScheduleKind(), "schedule", WORD, _NAME_RULE)]


def _pairs(node: Node) -> Iterable[Pair]:
    if not isinstance(node, Pairs):
        raise Wrong(f"must be a mapping, not {shown(node)}")
    return node.pairs


def _spans(node: Node) -> tuple[Span, ...]:
    items = node.items if isinstance(node, Items) else [node]
    found: list[Span] = []
    for item in items:
        try:
            found += parse_spans(scalar(item, "hours like 09:00-17:00, or closed"))
        except ValueError as error:
            raise Wrong(str(error), item.mark) from None
        except Wrong as wrong:
            raise Wrong(str(wrong), item.mark) from None
    return tuple(found)


@contextmanager
def _noted(reading: Reading, pair: Pair) -> Iterator[None]:
    """A mistake in one entry is noted, and the next one read."""
    try:
        yield
    except ValueError as error:
        reading.complain(pair.mark, str(error))
    except Wrong as wrong:
        reading.complain(wrong.mark or pair.value.mark, str(wrong))
