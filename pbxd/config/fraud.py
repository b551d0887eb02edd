"""The settings of the watch for toll fraud."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pbxd.config.section import Count, MailAddress, Seconds, Section, Switch, Timezone

Country = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2}|\+[0-9]{1,3})$")]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
DialPrefix = Annotated[str, StringConstraints(pattern=r"^(\+|[0-9]{1,6})$")]
Factor = Annotated[float, Field(ge=1, le=1000)]


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class OfficeHours(Section):
    opens: Clock = Field(default="07:00", description="calls abroad before this are out of hours")
    closes: Clock = Field(default="20:00", description="and from this on")
    days: tuple[Day, ...] = Field(
        default=(Day.MON, Day.TUE, Day.WED, Day.THU, Day.FRI), description="on other days, all day"
    )
    timezone: Timezone | None = Field(default=None, description="null is that of the machine")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.opens >= self.closes:
            raise ValueError("opens must be before closes")
        return self


class FraudSettings(Section):
    enabled: Switch = Field(default=True, description="whether calls abroad are watched, and blocked")
    country: Country | None = Field(default=None, description="where the house is: calls within it are not abroad")
    prefixes: tuple[DialPrefix, ...] = Field(
        default=("+", "00"), min_length=1, max_length=8, description="what a number abroad begins with"
    )
    allowed: tuple[Country, ...] = Field(default=(), description="calls to other countries are refused; none is all")
    known: tuple[Country, ...] = Field(default=(), description="countries that are never new")
    hours: OfficeHours = Field(default=OfficeHours(), description="when somebody is at work")
    night_calls: Count = Field(default=3, description="calls of a user to new countries in one night")
    new_countries: Count = Field(default=5, description="new countries that a user calls within an hour")
    burst_calls: Count = Field(default=12, description="short calls to one range of numbers within burst_s")
    burst_s: Annotated[Seconds, Field(le=3600)] = Field(default=600, description="the time of burst_calls")
    short_s: Seconds = Field(default=15, description="a call that is not longer is short")
    simultaneous: Count = Field(default=4, description="calls of a user at a time to one range of numbers")
    rise_calls: Annotated[Count, Field(le=500)] = Field(
        default=40, description="calls abroad within an hour that are never too many"
    )
    rise_minutes: Count = Field(default=240, description="minutes within an hour that are never too many")
    rise_factor: Factor = Field(default=4.0, description="above them: so many times the busiest hour before")
    block_s: Seconds = Field(default=43_200, description="how long a user is blocked from such calls")
    end_calls: Switch = Field(default=True, description="whether such calls of theirs that are up are ended")
    mail_to: MailAddress | None = Field(default=None, description="who hears of it; null is nobody")
