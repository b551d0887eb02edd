"""What the house's own API sends and takes, as pydantic models; every field says what it means."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from pbxd.calls.record import CallRecord, Direction, LegQuality, LegRecord, Result, Role
from pbxd.outbox import Item, Kind, State
from pbxd.services.cdr import MAX_PAGE

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class View(BaseModel):
    """Something the API says."""

    model_config = ConfigDict(frozen=True)


class Seen(View):
    """What a service shows of something, taken over by the names of its fields."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, seen: object) -> Self:
        return cls.model_validate(seen)


class Wish(BaseModel):
    """Something the API is told: nothing in it may be unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorDetail(View):
    code: str = Field(description="one word, for machines", examples=["not_found"])
    message: str = Field(description="a sentence, for people", examples=["there is no such call"])


class ErrorView(View):
    error: ErrorDetail


class CallState(StrEnum):
    SETUP = "setup"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class SampleView(View):
    """Some seconds of a leg."""

    ago_s: float = Field(description="when they ended")
    mos: float | None = Field(description="mean opinion score of what came; null where nothing did")
    remote_mos: float | None = Field(description="the same of what the far side heard, by its reports")
    loss_percent: float
    loss_bursts: int = Field(description="how often packets were lost in a row")
    jitter_ms: float
    concealed_ms: int = Field(description="of sound that was made up for what was lost; in rooms only")
    delay_ms: int = Field(description="one way, to the ear, as far as it is known")


class LegView(View):
    id: str
    role: Role
    party: str = Field(description="the extension, or the name of the trunk")
    sip_call_id: str = Field(description="the Call-ID header of the dialog")
    remote: str = Field(description="where the far side is", examples=["udp:192.0.2.7:5060"])
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    sip_status: int | None
    codec: str | None
    srtp: str | None = Field(description="the crypto suite that protects the sound; null is plain RTP")
    quality: LegQuality | None = Field(description="of the sound received, once the leg has ended")
    over_time: list[SampleView] = Field(description="of a call that is up and asked for alone: its sound every 5 s")

    @classmethod
    def of(cls, leg: LegRecord, *, whole: bool = False) -> Self:
        return cls(
            id=leg.id,
            role=leg.role,
            party=leg.party,
            sip_call_id=leg.sip_call_id,
            remote=leg.remote,
            started_at=moment(leg.started_at),
            ringing_at=moment_or_none(leg.ringing_at),
            answered_at=moment_or_none(leg.answered_at),
            ended_at=moment_or_none(leg.ended_at),
            sip_status=leg.sip_status,
            codec=leg.codec,
            srtp=leg.srtp,
            quality=leg.quality,
            over_time=samples_of(leg) if whole else [],
        )


class CallView(View):
    id: str
    account_id: str
    state: CallState
    direction: Direction
    caller: str
    caller_name: str
    called: str
    started_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_s: float = Field(description="since the answer; of a call that was not answered, 0")
    result: Result | None = Field(description="whose doing the end was")
    sip_status: int | None
    q850: int | None = Field(description="cause of the end (ITU-T Q.850)")
    reason: str | None = Field(description="the end in words")
    ended_by: str | None = Field(description="caller, callee or house")
    flow: str | None = Field(
        description="the call flow it is in or ended in, and the step", examples=["reception/hours.1"]
    )
    tags: list[str] = Field(description="words that a call flow put on it")
    queue: str | None = Field(description="the last queue it waited in")
    queue_exit: str | None = Field(description="how it left it: answered, timeout, abandon …")
    queue_wait_s: float | None = Field(description="how long it waited there")
    operator: str | None = Field(description="who answered it there")
    legs: list[LegView]

    @classmethod
    def of(cls, call: CallRecord, wall: float, *, whole: bool = False) -> Self:
        """As it is now: at `wall`, seconds since the epoch, or by the call's own clock where it has one; `whole` with
        its legs over time."""
        until = call.ended_at
        if until is None:
            until = wall if call.clock is None else call.clock(time.monotonic())
        return cls(
            id=call.id,
            account_id=call.account_id,
            state=_state(call),
            direction=call.direction,
            caller=call.caller,
            caller_name=call.caller_name,
            called=call.called,
            started_at=moment(call.started_at),
            ringing_at=moment_or_none(call.ringing_at),
            answered_at=moment_or_none(call.answered_at),
            ended_at=moment_or_none(call.ended_at),
            duration_s=round(max(0.0, until - call.answered_at), 3) if call.answered_at is not None else 0.0,
            result=call.result,
            sip_status=call.sip_status,
            q850=call.q850,
            reason=call.reason,
            ended_by=call.ended_by,
            flow=call.flow,
            tags=list(call.tags),
            queue=call.queue,
            queue_exit=call.queue_exit,
            queue_wait_s=call.queue_wait_s,
            operator=call.operator,
            legs=[LegView.of(leg, whole=whole) for leg in call.legs],
        )


class CallsView(View):
    calls: list[CallView]


class RecordsView(View):
    records: list[CallView]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class RegistrationView(View):
    aor: str = Field(description="the user that is registered", examples=["1001"])
    contact: str = Field(description="the Contact as the phone states it")
    source: str = Field(description="where its REGISTER came from", examples=["udp:192.0.2.7:5060"])
    behind_nat: bool = Field(description="whether it is reached at its source rather than at its Contact")
    q: float
    user_agent: str | None
    registered_at: datetime
    expires_at: datetime


class RegistrationsView(View):
    registrations: list[RegistrationView]


class RemovedView(View):
    removed: int = Field(description="how many contacts are no longer registered")


class PhoneView(View):
    extension: str
    user: str
    name: str = Field(description="the caller name it shows")
    auth_username: str
    declared: bool = Field(description="whether the configuration declares it, password and all")
    registered: int = Field(description="how many contacts are registered now")


class PhonesView(View):
    phones: list[PhoneView]


class PhonePasswordView(View):
    extension: str
    auth_username: str
    password: str = Field(description="shown this once; only a hash of it is kept")


class KeySecretView(View):
    name: str
    secret: str = Field(description="shown this once; only a hash of it is kept")


class TrunkView(View):
    name: str
    proxy: str | None
    sources: list[str] = Field(description="addresses whose calls are this trunk's")
    from_user: str | None
    registers: bool
    state: str = Field(description="of its registration; `off` where it does not register")
    since: datetime | None
    expires_at: datetime | None
    reason: str | None = Field(description="why the state is what it is")


class TrunksView(View):
    trunks: list[TrunkView]


class SettingView(View):
    key: str = Field(examples=["sip.udp"])
    value: object = Field(description="secrets are masked")
    source: str = Field(description="default, file, settings file or --set")
    where: str = Field(examples=["etc/pbxd.yaml:12"])
    description: str
    restart: bool = Field(description="whether a change of it takes a restart")


class SettingsView(View):
    settings: list[SettingView]


class DeliveryView(View):
    id: str
    kind: Kind
    key: str = Field(description="of idempotency: a second one with the same key is not sent")
    destination: str = Field(description="`mail`, or the origin of the URL", examples=["https://example.com:443"])
    summary: str = Field(description="what it is, in a few words")
    state: State
    attempts: int = Field(description="tries begun so far")
    created_at: datetime
    due_at: datetime | None = Field(description="the next try; null once it has ended")
    ended_at: datetime | None
    reason: str | None = Field(description="what became of the last try")

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(
            id=item.id,
            kind=item.kind,
            key=item.key,
            destination=item.destination,
            summary=item.summary,
            state=item.state,
            attempts=item.attempts,
            created_at=moment(item.created_at),
            due_at=None if item.state.ended else moment(item.due_at),
            ended_at=moment_or_none(item.ended_at),
            reason=item.reason,
        )


class OutboxView(View):
    deliveries: list[DeliveryView]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class MailTestView(View):
    reply: str = Field(description="what the mail server said when it took the mail", examples=["250 OK"])


class DeliveryPath(Wish):
    id: Id


class OutboxQuery(Wish):
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="how many at most")
    cursor: Id | None = Field(None, description="`next` of the page before")
    state: State | None = Field(None, description="only those in this state")


class MailTest(Wish):
    to: Annotated[str, Field(min_length=3, max_length=254, description="who gets the test mail")]


class CallPath(Wish):
    id: Id


class AorPath(Wish):
    aor: Annotated[str, Field(min_length=1, max_length=128)]


class ExtensionPath(Wish):
    extension: Annotated[str, Field(min_length=1, max_length=32)]


class RecordQuery(Wish):
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="how many at most")
    cursor: Id | None = Field(None, description="`next` of the page before")
    result: Result | None = Field(None, description="only calls that ended so")
    since: datetime | None = Field(
        None, description="only calls that started then or later; UTC where no zone is given"
    )


def moment(wall: float) -> datetime:
    """Seconds since the epoch as RFC 3339 wants it, to the millisecond."""
    return datetime.fromtimestamp(round(wall, 3), UTC)


def moment_or_none(wall: float | None) -> datetime | None:
    return None if wall is None else moment(wall)


def _state(call: CallRecord) -> CallState:
    if call.ended_at is not None:
        return CallState.ENDED
    if call.answered_at is not None:
        return CallState.ANSWERED
    return CallState.SETUP if call.ringing_at is None else CallState.RINGING


def samples_of(leg: LegRecord) -> list[SampleView]:
    """How a leg that is up was until now."""
    now = time.monotonic()
    return [
        SampleView(
            ago_s=round(now - sample.at, 1),
            mos=_rounded(sample.mos),
            remote_mos=_rounded(sample.remote_mos),
            loss_percent=round(100 * sample.loss, 2),
            loss_bursts=sample.bursts,
            jitter_ms=round(sample.jitter_ms, 1),
            concealed_ms=sample.concealed_ms,
            delay_ms=sample.delay_ms,
        )
        for sample in (leg.history.samples() if leg.history is not None else [])
    ]


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 2)
