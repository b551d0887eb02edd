"""`/calls/{callId}/trace`: everything that is known of how one call went, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.dialled import at_the_edge
from pbxd.api.edge.tenancy import account_of, accounts_of
from pbxd.api.edge.wishes import AccountName, EdgeWish
from pbxd.api.house.views import View, moment, moment_or_none
from pbxd.calls.record import CallRecord, Direction, LegQuality, LegRecord, Result, Role
from pbxd.errors import NotFound
from pbxd.flows.trail import read_note
from pbxd.services.remote import trace_name
from pbxd.trace import Entry, Recording, SipMessage, Topic
from pbxd.trace.ladder import Ladder, step_of

__all__ = ["EDGE"]

_OF_FLOWS = frozenset({Topic.COMMAND, Topic.OUTCOME, Topic.ERROR})
_FAILED = 400


class CallPath(EdgeWish):
    callId: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(  # noqa: N815 - the contract's word
        description="the house's id of the call, a SIP Call-ID of it, or what its node calls it"
    )


class TraceQuery(EdgeWish):
    account_id: AccountName | None = Field(
        default=None, description="whose call, where two accounts may have one of this name"
    )


class TraceStepView(View):
    seq: int = Field(description="counted from 0")
    at: datetime
    clock: float = Field(description="the same as seconds since the epoch")
    kind: str = Field(
        description="sip, state, decision, media, quality, command, outcome or error", examples=["command"]
    )
    text: str = Field(description="in words")
    step: str | None = Field(
        default=None, description="of a command or outcome: flow/step", examples=["reception/welcome"]
    )
    command: str | None = Field(default=None, examples=["gather"])
    outcome: str | None = Field(default=None, examples=["digit:1"])
    data: dict[str, Any] = Field(default={}, description="what the command says, or there is to say about the outcome")
    remote: str | None = Field(
        default=None, description="of a SIP message: the far side", examples=["UDP:192.0.2.7:5060"]
    )
    outward: bool | None = Field(default=None, description="of a SIP message: whether we sent it")
    message: str | None = Field(default=None, description="of a SIP message: itself, secrets masked")


class TraceLegView(View):
    role: Role
    party: str
    sip_call_id: str
    remote: str
    codec: str | None
    sip_status: int | None
    quality: LegQuality | None


class CallTraceView(View):
    callId: str = Field(description="the house's id of the call")  # noqa: N815 - the contract's word
    accountId: str  # noqa: N815
    names: list[str] = Field(description="the SIP Call-IDs of its dialogs, and what its node calls it")
    startedAt: datetime  # noqa: N815
    endedAt: datetime | None  # noqa: N815
    complete: bool = Field(description="the call is over, and nothing of its beginning is lost")
    lost: int = Field(description="how many steps of the beginning had to make way for later ones")
    direction: Direction | None = None
    caller: str | None = None
    called: str | None = None
    result: Result | None = None
    sipStatus: int | None = None  # noqa: N815
    reason: str | None = None
    flow: str | None = Field(default=None, description="the flow and the step where it is, or ended")
    steps: list[TraceStepView]
    ladder: list[str] = Field(description="the same as people draw it: who said what to whom")
    media: list[TraceLegView] = Field(description="how each side sounded")
    errors: list[str] = Field(description="what went wrong")


@EDGE.operation("GET", "/calls/{callId}/trace", tag="support", scope=SCOPE, errors=(NotFound,))
async def get_call_trace(edge: Edge, path: CallPath, query: TraceQuery, identity: Identity) -> CallTraceView:
    """Get the trace of one call: steps, commands, outcomes, SIP ladder, media quality and errors.

    While the call is up, and as long after its end as `trace.keep_days` says.
    """
    accounts = [account_of(edge, identity, query.account_id)] if query.account_id else accounts_of(edge, identity)
    ids = [account.id for account in accounts]
    names = [call.record.id for call in edge.calls.find(ids, path.callId)]
    names += [trace_name(account_id, path.callId) for account_id in ids] + [path.callId]
    recording = await edge.traces.find(*dict.fromkeys(names), accounts=ids)
    if recording is None or recording.account_id not in ids:
        raise NotFound("there is no trace of such a call")
    record = edge.live_record(recording.id) or await edge.records.find(recording.id)
    return _view(recording, record)


def _view(recording: Recording, record: CallRecord | None) -> CallTraceView:
    steps = [_step(number, entry) for number, entry in enumerate(recording.entries, recording.first)]
    return CallTraceView(
        callId=recording.id,
        accountId=recording.account_id,
        names=[_name(name) for name in recording.names if name != recording.id],
        startedAt=moment(recording.started_at),
        endedAt=moment_or_none(recording.ended_at),
        complete=recording.ended_at is not None and not recording.first,
        lost=recording.first,
        steps=steps,
        ladder=list(Ladder().draw([step_of(entry) for entry in recording.entries])),
        errors=_errors(steps, record),
        **_of_record(record),
    )


def _of_record(record: CallRecord | None) -> Mapping[str, Any]:
    if record is None:
        return {"media": []}
    return {
        "direction": record.direction,
        "caller": at_the_edge(record.caller),
        "called": at_the_edge(record.called),
        "result": record.result,
        "sipStatus": record.sip_status,
        "reason": record.reason,
        "flow": record.flow,
        "media": [_leg(leg) for leg in record.legs],
    }


def _leg(leg: LegRecord) -> TraceLegView:
    return TraceLegView(
        role=leg.role,
        party=leg.party,
        sip_call_id=leg.sip_call_id,
        remote=leg.remote,
        codec=leg.codec,
        sip_status=leg.sip_status,
        quality=leg.quality,
    )


def _step(number: int, entry: Entry) -> TraceStepView:
    drawn = step_of(entry)
    if isinstance(entry, SipMessage):
        return TraceStepView(
            seq=number,
            at=moment(entry.at),
            clock=entry.at,
            kind="sip",
            text=drawn.text,
            remote=drawn.remote,
            outward=drawn.outward,
            message=entry.data.decode("utf-8", "replace"),
        )
    told: dict[str, Any] = {}
    if entry.topic in _OF_FLOWS:
        note = read_note(entry.text)
        told = {"step": note.step, "data": dict(note.data)}
        told["command" if entry.topic is Topic.COMMAND else "outcome"] = note.word
    text = drawn.text.partition(": ")[2]
    return TraceStepView(seq=number, at=moment(entry.at), clock=entry.at, kind=entry.topic.word, text=text, **told)


def _errors(steps: Sequence[TraceStepView], record: CallRecord | None) -> list[str]:
    errors = [step.text for step in steps if step.kind == Topic.ERROR.word]
    if record is not None and record.sip_status is not None and record.sip_status >= _FAILED:
        errors.append(f"{record.sip_status}: {record.reason or 'no reason was given'}")
    return errors


def _name(name: str) -> str:
    """What a node calls the call, without whose it is."""
    return name.split(" ", 2)[2] if name.startswith("edge ") and name.count(" ") >= 2 else name
