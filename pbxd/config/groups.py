"""Who is rung together, who waits for whom, and how many calls there may be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from pbxd.config.numbers import Destination
from pbxd.config.section import Count, Label, Name, Seconds, SecondsOrNever, Section, Switch
from pbxd.config.values import MusicFolder, Number

Amount = Annotated[int, Field(strict=True, ge=0, le=100_000)]
LeaveDigit = Annotated[str, Field(pattern=r"^[0-9*#]{0,12}$")]
Penalties = Annotated[dict[Number, Annotated[int, Field(strict=True, ge=0, le=100)]], Field(max_length=1000)]
Members = Annotated[tuple[Number, ...], Field(max_length=1000)]


class RingStrategy(StrEnum):
    SIMULTANEOUS = "simultaneous"
    SEQUENTIAL = "sequential"


class UserRing(StrEnum):
    """Which phones of a user ring."""

    SIMULTANEOUS = "simultaneous"
    SEQUENTIAL = "sequential"
    SPECIFIC = "specific"


class QueueStrategy(StrEnum):
    """Whom a caller is offered to, of those who are free and have the least penalty."""

    RING_ALL = "ring_all"
    LONGEST_IDLE = "longest_idle"
    ROUND_ROBIN = "round_robin"
    LEAST_CALLS = "least_calls"
    RANDOM = "random"
    PRIORITY = "priority"  # always the first of the list who is free


class MusicMode(StrEnum):
    STREAM = "stream"
    FILE = "file"


class LimitScope(StrEnum):
    ACCOUNT = "account"
    USER = "user"
    NUMBER = "number"
    TRUNK = "trunk"


class LimitDirection(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    ANY = "any"


class RingGroup(Section):
    members: Annotated[tuple[Number, ...], Field(min_length=1, max_length=100)] = Field(
        description="the users whose phones ring, in this order"
    )
    strategy: RingStrategy = Field(default=RingStrategy.SIMULTANEOUS, description="all at once, or one after the other")
    ring_timeout_s: Annotated[Seconds, Field(le=600)] = Field(
        default=25, description="how long all ring, or each of them"
    )
    no_answer: Destination | None = Field(default=None, description="where a call goes that nobody took")


class Queue(Section):
    title: Label = Field(default="", description="its name for people, whispered to operators; the name without one")
    strategy: QueueStrategy = Field(default=QueueStrategy.LONGEST_IDLE, description="whom the next call is offered to")
    members: Members = Field(default=(), description="the users who may take its calls")
    penalties: Penalties = Field(default={}, description="members who are asked only when none with less is free")
    agent_ring_timeout_s: Annotated[Seconds, Field(le=600)] = Field(
        default=20, description="how long one of them is rung"
    )
    max_wait_s: Seconds = Field(default=600, description="nobody waits longer")
    wrap_up_s: SecondsOrNever = Field(default=10, description="rest after a call")
    max_no_answer: Count = Field(default=3, description="so many calls in a row not taken: who it was is paused")
    announce_position: Switch = Field(default=False, description="tell callers their place")
    announce_first_s: SecondsOrNever = Field(default=15, description="when they hear it first")
    announce_interval_s: Seconds = Field(default=30, description="and how often then")
    moh_mode: MusicMode = Field(default=MusicMode.STREAM, description="all hear the same music, or each from its start")
    max_callers: Amount = Field(
        default=0, description="who comes when so many wait is told that it is full; 0: no limit"
    )
    max_expected_wait_s: SecondsOrNever = Field(default=0, description="who would wait longer does not; 0: no limit")
    service_level_s: Seconds = Field(default=20, description="calls answered within it are answered in time")
    wait_when_empty: Switch = Field(default=True, description="callers wait also while no operator is logged in")
    leave_digit: LeaveDigit = Field(default="", description="digits that lead out of the queue; empty: none")
    whisper: Switch = Field(default=True, description="tell operators which queue calls, before they hear the caller")
    accept: Switch = Field(default=False, description="operators press 1 to take a call")
    music: MusicFolder | None = Field(
        default=None, description="a folder of its own: a path, or the name of one in the music of the account"
    )

    @model_validator(mode="after")
    def _penalised(self) -> Self:
        if strangers := sorted(set(self.penalties) - set(self.members)):
            raise ValueError(f"{strangers[0]} has a penalty, and is no member")
        return self


class CallLimit(Section):
    scope: LimitScope = Field(description="account, user, number or trunk: whose calls are counted")
    id: Label | None = Field(default=None, description="the name of that user, number or trunk; null: each by itself")
    direction: LimitDirection = Field(default=LimitDirection.ANY, description="inbound, outbound, internal or any")
    max: Annotated[int, Field(strict=True, ge=0, le=10_000_000)] = Field(description="how many there may be")
    period_s: SecondsOrNever = Field(default=0, description="within how long; 0 counts calls at a time")
    hard: Switch = Field(default=True, description="refuse more; false only says so")

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.scope is LimitScope.ACCOUNT and self.id is not None:
            raise ValueError("a limit of the account has no id: it is that of the account it stands in")
        return self


RingGroups = Annotated[dict[Name, RingGroup], Field(max_length=1_000)]
Queues = Annotated[dict[Name, Queue], Field(max_length=1_000)]
CallLimits = Annotated[dict[Name, CallLimit], Field(max_length=1_000)]
