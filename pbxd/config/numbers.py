"""Numbers that the world dials, and where their calls go: by day, outside hours, on holidays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from dialplan.hours import DateRule, Opening, Schedule, parse_date_rule, parse_days, parse_spans, zone
from pbxd.config.destinations import FlowName
from pbxd.config.section import Count, Label, Name, Section, Switch
from pbxd.config.values import Number

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")


class FaxMode(StrEnum):
    """What happens to a fax that comes in as a call."""

    VOICE = "voice"
    T38 = "t38"
    PASSTHROUGH = "passthrough"


def parse_e164(value: object) -> str:
    """Read a number as the world knows it. Raises ValueError."""
    if not isinstance(value, str) or not _E164.fullmatch(value):
        raise ValueError('a number is written "+12025550123": a plus, the country and all that follows, in quotes')
    return value


E164 = Annotated[str, BeforeValidator(parse_e164)]


class Destination(Section):
    """Where a call goes: exactly one of these."""

    flow: FlowName | None = Field(default=None, description="begins this call flow")
    user: Number | None = Field(default=None, description="rings the phones of this user")
    extension: Number | None = Field(default=None, description="is this extension")
    ring_group: Name | None = Field(default=None, description="rings this group")
    queue: Name | None = Field(default=None, description="waits in this queue")
    voicemail: Number | None = Field(default=None, description="leaves a message in this mailbox")
    conference: Number | None = Field(default=None, description="joins this conference room")
    forward: Number | None = Field(default=None, description="is called on at this number, inside or outside")
    hangup: Switch = Field(default=False, description="is refused")

    @property
    def said(self) -> list[tuple[str, str]]:
        """What it says of where to go, each as kind and name."""
        found = [(kind, getattr(self, kind)) for kind in Destination.model_fields]
        return [(kind, "" if value is True else value) for kind, value in found if value not in (None, False)]

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len(self.said) != 1:
            raise ValueError(
                "where a call goes is one of flow: NAME, user: NUMBER, extension: NUMBER, ring_group: NAME, "
                "queue: NAME, voicemail: NUMBER, conference: NUMBER, forward: NUMBER, hangup: true"
            )
        return self


class DirectNumber(Destination):
    """A number of the world's that leads into the house (a DID)."""

    schedule: Name | None = Field(default=None, description="the opening hours that count for it")
    closed: Destination | None = Field(default=None, description="where calls go outside these hours")
    holiday: Destination | None = Field(default=None, description="where on a holiday; null is as when closed")
    max_channels: Count | None = Field(default=None, description="calls at a time to it; null is no limit")
    fax_mode: FaxMode = Field(default=FaxMode.VOICE, description="voice, t38 or passthrough")
    allow_anonymous: Switch = Field(default=True, description="whether callers may hide their number")
    active: Switch = Field(default=True, description="false refuses its calls")

    @model_validator(mode="after")
    def _hours(self) -> Self:
        if self.schedule is not None and self.closed is None:
            raise ValueError("a number with a schedule says where calls go when it is closed")
        if self.schedule is None and (self.closed is not None or self.holiday is not None):
            raise ValueError("closed and holiday mean nothing without a schedule")
        return self


class Hours(Section):
    """Opening hours, in the words of the dialplan."""

    timezone: Label = Field(default="UTC", description="whose clock, like Europe/Berlin")
    weekly: dict[str, str] = Field(default={}, max_length=7, description="days and hours: mon-fri: 09:00-17:00")
    dates: dict[str, str] = Field(default={}, max_length=366, description="dates that differ: 12-25: holiday")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("weekly")
    @classmethod
    def _week(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        days = [day for text in value for day in parse_days(text)]
        if len(days) != len(set(days)):
            raise ValueError("a day of the week has its hours twice")
        for spans in value.values():
            parse_spans(spans)
        return value

    @field_validator("dates")
    @classmethod
    def _dates(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for dates, hours in value.items():
            _rule(dates, hours)
        return value

    def named(self, name: str) -> Schedule:
        """What the dialplan evaluates."""
        week = {day: parse_spans(spans) for days, spans in self.weekly.items() for day in parse_days(days)}
        weekly = tuple(week.get(day, ()) for day in range(7))
        rules = sorted((_rule(dates, hours) for dates, hours in self.dates.items()), key=lambda rule: rule.weight)
        return Schedule(name, self.timezone, weekly, tuple(rules))


def _rule(dates: str, hours: str) -> DateRule:
    """What holds on these dates. Raises ValueError."""
    if hours.strip().lower() == "holiday":
        return parse_date_rule(dates, (), Opening.HOLIDAY)
    return parse_date_rule(dates, parse_spans(hours), Opening.CLOSED)
