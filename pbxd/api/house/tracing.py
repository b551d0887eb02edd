"""The operations that see into the house: traces, captures, drops and debug switches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from pbxd.api.contract import Attachment, Identity
from pbxd.api.house.collaborators import House, Tracing
from pbxd.api.house.operations import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_seen
from pbxd.api.house.views import View, Wish, moment, moment_or_none
from pbxd.errors import Denied, Invalid, NotFound
from pbxd.trace import Entry, Recording, SipMessage, read_target
from pbxd.trace.capture import pcap
from pbxd.trace.ladder import step_of
from pbxd.trace.tape import Tape

__all__ = ["HOUSE", "TracePath", "trace_of"]

MAX_WAIT_S = 20.0
MAX_DEBUG_S = 86400.0


class EntryView(View):
    number: int = Field(description="counted from 0 for each trace")
    at: datetime
    clock: float = Field(description="the same as seconds since the epoch")
    kind: str = Field(examples=["sip", "state", "decision", "media", "quality"])
    text: str = Field(description="the message or the event in few words", examples=["INVITE 1002 +SDP"])
    remote: str = Field(description="the far side of a message, else empty", examples=["UDP:192.0.2.7:5060"])
    local: str = Field(description="our side of a message, else empty")
    outward: bool = Field(description="whether we sent it")
    message: str | None = Field(description="the message itself, secrets masked; cut where it was long")


class TraceView(View):
    id: str
    names: list[str] = Field(description="what it is found by: the call's id, and the Call-IDs of its dialogs")
    started_at: datetime
    ended_at: datetime | None = Field(description="null while the call is up")
    lost: int = Field(description="how many entries of the beginning had to make way for later ones")
    next: int = Field(description="the number of the entry that comes next: `after` of the next question")
    entries: list[EntryView]


class DropView(View):
    layer: str = Field(examples=["wire", "stack", "transport", "connection"])
    reason: str
    count: int = Field(description="since the start of the daemon")


class DropsView(View):
    since: datetime = Field(description="the start of the daemon")
    total: int
    drops: list[DropView]


class SwitchView(View):
    target: str
    kind: str = Field(examples=["address", "call", "phone"])
    seconds_left: float
    messages: int = Field(description="how many it has seen")
    audio: bool = Field(description="whether the sound of calls is captured, too")
    packets: int = Field(description="RTP packets captured")
    missed: int = Field(description="RTP packets for which there was no room")


class SwitchesView(View):
    switches: list[SwitchView]


class TracePath(Wish):
    id: Annotated[str, Field(min_length=1, max_length=256)]


class TargetPath(Wish):
    target: Annotated[str, Field(min_length=1, max_length=128)]


class TraceQuery(AccountQuery):
    after: int = Field(0, ge=0, description="only entries of this number and later")
    wait_s: float = Field(0.0, ge=0.0, le=MAX_WAIT_S, description="wait so long for one, if there is none yet")


class DebugWish(Wish):
    target: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="an IP address, a call's id, a SIP Call-ID, or a phone's number"
    )
    seconds: float = Field(900.0, gt=0, le=MAX_DEBUG_S, description="how long")
    audio: bool = Field(False, description="capture the sound of its calls, too; `trace.audio` must allow it")


@HOUSE.operation("GET", "/calls/{id}/trace", tag="tracing", scope="trace:read", errors=(NotFound,))
async def get_trace(house: House, path: TracePath, query: TraceQuery, identity: Identity) -> TraceView:
    """Get what happened to a call.

    By its id, by the Call-ID of one of its dialogs, or by what a debug switch watches. With `wait_s`, follow a call
    that is up. What is of no account's call is the house's own.
    """
    seen = account_seen(house, identity, query.account)
    if query.wait_s:
        if seen is not None:  # how long an answer takes must not tell that there is something
            await trace_of(house, path.id, seen)
        await house.tracing.traces.news(path.id, query.after, query.wait_s)
    recording = await trace_of(house, path.id, seen)
    return _view(recording, query.after)


@HOUSE.operation("GET", "/calls/{id}/pcap", tag="tracing", scope="trace:read", errors=(NotFound,))
async def get_pcap(house: House, path: TracePath, query: AccountQuery, identity: Identity) -> Attachment:
    """Get a capture of a call.

    SIP whole with secrets masked, and the headers of the last ten seconds of RTP of each leg.
    """
    return await _attachment(await trace_of(house, path.id, account_seen(house, identity, query.account)))


@HOUSE.operation("GET", "/drops", tag="tracing", scope="trace:read")
async def list_drops(house: House) -> DropsView:
    """List what was dropped and why: packets, datagrams, messages, connections."""
    tracing = house.tracing
    rows = [
        DropView(layer=layer, reason=reason, count=count)
        for layer, reasons in tracing.drops().items()
        for reason, count in reasons.items()
    ]
    return DropsView(since=moment(tracing.started_at), total=sum(row.count for row in rows), drops=rows)


@HOUSE.operation("GET", "/debug", tag="tracing", scope="trace:read")
async def list_debug(house: House) -> SwitchesView:
    """List what is watched closely."""
    return _switches(house.tracing)


@HOUSE.operation("POST", "/debug", tag="tracing", scope="trace:write", errors=(Denied,))
async def switch_debug_on(house: House, body: DebugWish) -> SwitchesView:
    """Watch a call, a phone or an address closely for a while.

    Its messages and what was decided about them go to the log, and are kept as a trace of that name, registrations and
    refused calls too. Who watches a call watches until it ends.
    """
    tracing = house.tracing
    try:
        tracing.recorder.switch_on(read_target(body.target), body.seconds, tracing.now(), sound=body.audio)
    except ValueError as error:
        raise Invalid(str(error)) from None
    return _switches(house.tracing)


@HOUSE.operation("DELETE", "/debug/{target}", tag="tracing", scope="trace:write", errors=(NotFound,))
async def switch_debug_off(house: House, path: TargetPath) -> SwitchesView:
    """Watch it no longer; its trace stays."""
    if not house.tracing.recorder.switch_off(path.target, house.tracing.now()):
        raise NotFound("that is not being watched")
    return _switches(house.tracing)


@HOUSE.operation("GET", "/debug/{target}/pcap", tag="tracing", scope="trace:audio", errors=(NotFound,))
async def get_capture(house: House, path: TargetPath) -> Attachment:
    """Get a capture with sound.

    Of what is watched with `audio`, or was until an hour ago: SIP whole with secrets masked, and every RTP packet.
    """
    tape = house.tracing.recorder.tape(path.target)
    if tape is None:
        raise NotFound("no sound of that was captured: watch it with `audio` first")
    return await _attachment(await trace_of(house, path.target, None), tape)


async def _attachment(recording: Recording, tape: Tape | None = None) -> Attachment:
    data = await asyncio.to_thread(pcap, recording, tape)
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in recording.id)[:64]
    return Attachment(data=data, name=f"{name}.pcap", media_type="application/vnd.tcpdump.pcap")


async def trace_of(house: House, name: str, seen: str | None) -> Recording:
    """The trace of that name that the account `seen` may see; all where it is None. Raises NotFound."""
    recording = await house.tracing.traces.find(name)
    if recording is None or seen not in (None, await _owner(house, recording.id)):
        raise NotFound("there is no trace of such a call, dialog or debug target")
    return recording


async def _owner(house: House, call_id: str) -> str:
    record = house.calls.get(call_id) or await house.records.find(call_id)
    return record.account_id if record is not None else house.directory.default_account.id


def _view(recording: Recording, after: int) -> TraceView:
    entries = enumerate(recording.entries, recording.first)
    return TraceView(
        id=recording.id,
        names=list(recording.names),
        started_at=moment(recording.started_at),
        ended_at=moment_or_none(recording.ended_at),
        lost=recording.first,
        next=recording.first + len(recording.entries),
        entries=[_entry(number, entry) for number, entry in entries if number >= after],
    )


def _entry(number: int, entry: Entry) -> EntryView:
    step = step_of(entry)
    return EntryView(
        number=number,
        at=moment(entry.at),
        clock=entry.at,
        kind="sip" if isinstance(entry, SipMessage) else entry.topic.word,
        text=step.text if isinstance(entry, SipMessage) else entry.text,
        remote=step.remote,
        local=f"{entry.local[0]} {entry.local[1]}" if isinstance(entry, SipMessage) else "",
        outward=step.outward,
        message=entry.data.decode("utf-8", "replace") if isinstance(entry, SipMessage) else None,
    )


def _switches(tracing: Tracing) -> SwitchesView:
    now = tracing.now()
    switches: Sequence[SwitchView] = [
        SwitchView(
            target=text,
            kind=switch.target.kind.value,
            seconds_left=round(max(0.0, switch.expires_at - now), 1),
            messages=switch.matched,
            audio=switch.tape is not None,
            packets=len(switch.tape.packets) if switch.tape else 0,
            missed=switch.tape.missed if switch.tape else 0,
        )
        for text, switch in tracing.recorder.switches.items()
    ]
    return SwitchesView(switches=list(switches))
