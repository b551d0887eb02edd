"""The settings of the door: from where on something is too much, and what happens then."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pbxd.config.fraud import FraudSettings
from pbxd.config.section import Count, Label, Seconds, Section, Switch
from pbxd.config.values import NetworkField

Factor = Annotated[float, Field(ge=1, le=1000)]


class WrongPasswords(Section):
    refuse_after: Annotated[Count, Field(le=1000)] = Field(
        default=3, description="wrong passwords after which a user hears 403"
    )
    tries: Annotated[Count, Field(le=1000)] = Field(
        default=5, description="wrong passwords of one user that are looked at in a row"
    )
    try_every_s: Seconds = Field(default=10, description="after them, one in so many seconds is looked at")
    guesses: Annotated[Count, Field(le=10_000)] = Field(
        default=12, description="so many for one user within guesses_s are guessing"
    )
    guesses_s: Seconds = Field(default=2, description="the time of guesses")
    users: Annotated[Count, Field(le=64)] = Field(
        default=8, description="users with wrong passwords within users_s that are too many"
    )
    users_s: Seconds = Field(default=60, description="the time of users")


class Strangers(Section):
    numbers: Annotated[Count, Field(ge=2, le=20)] = Field(
        default=10, description="numbers asked for without an answer to a challenge"
    )
    requests: Count = Field(default=300, description="requests that prove nothing, within requests_s")
    requests_s: Seconds = Field(default=10, description="the time of requests")
    unreadable: Count = Field(default=60, description="messages that cannot be read, within unreadable_s")
    unreadable_s: Seconds = Field(default=60, description="the time of unreadable")
    scanners: tuple[Label, ...] = Field(
        default=("friendly-scanner", "sipvicious", "sundayddr", "sipcli", "sip-scan", "pplsip"),
        max_length=64,
        description="beginnings of the User-Agent of programs that only scan",
    )


class BanTerms(Section):
    first_s: Seconds = Field(default=600, description="how long a first ban lasts")
    factor: Factor = Field(default=6.0, description="how many times longer each next one is")
    max_s: Seconds = Field(default=604_800, description="no automatic ban is longer")
    unproven_max_s: Seconds = Field(default=3_600, description="nor one on evidence that may be forged")
    forget_s: Seconds = Field(default=2_592_000, description="a ban that ended so long ago is forgotten")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.first_s <= self.unproven_max_s <= self.max_s:
            raise ValueError("first_s <= unproven_max_s <= max_s must hold")
        return self


class SlowRoad(Section):
    rate: Count = Field(default=20, description="datagrams a second of a source that is slowed")
    burst: Count = Field(default=60, description="datagrams of it at once")
    for_s: Seconds = Field(default=300, description="how long it stays slowed after the last reason for it")


class Security(Section):
    enabled: Switch = Field(default=True, description="whether the house bans by itself")
    allow: tuple[NetworkField, ...] = Field(
        default=(), max_length=64, description="addresses and networks that are never banned or slowed"
    )
    known_factor: Factor = Field(default=4.0, description="how much more it takes where a phone is registered")
    wrong: WrongPasswords = Field(default=WrongPasswords(), description="wrong passwords")
    strangers: Strangers = Field(default=Strangers(), description="what proves nothing")
    ban: BanTerms = Field(default=BanTerms(), description="how long bans last")
    slow: SlowRoad = Field(default=SlowRoad(), description="the slower road")
    fraud: FraudSettings = Field(default=FraudSettings(), description="stolen passwords that call abroad")
