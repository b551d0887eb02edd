"""Calls that live on a node of the edge, not here: routed by the house, reported by the node, recorded like our own.

    routed --ringing--> ringing --answered--> talking --ended--> over
      \\------------------ended, or nobody says anything for a while --/

A node asks where a call goes and tells what became of it; it may crash in between, or say a thing twice. So a call is
known by its account and the name that the node gave it, is begun once and over once, and is over at the latest when
nobody has said anything of it for long. What it holds of the limits is given back by its end, whatever that was.

The node's call goes on when the house is started anew: what it takes to know it then is kept (`kept`), a second late.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from pbxd.calls.facilities import Tracer
from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, LegRecord, Result, Role, Timeline
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.trace import Topic

REMEMBER_S = 120.0  # a call that is over: what is said of it again is no news
MAX_OVER = 20_000
RESAVE_S = 60.0  # how old what is written down of when a call was last heard of may be


class Ended(StrEnum):
    """How a call of a node came to its end, for the counters."""

    REPORTED = "reported"
    REFUSED = "refused"  # it was never let in
    SILENT = "silent"  # nothing was heard of it for too long
    REPLACED = "replaced"  # the oldest of too many


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call to be begun. `name` is what the node calls it, `party` the user who calls, or the node."""

    account_id: str
    name: str
    direction: Direction
    caller: str
    called: str
    party: str = ""
    callee: str = ""
    node: str = ""


@dataclass(slots=True)
class RemoteCall:
    """`answer` is what the node was told, to be told again; `release` gives back what the call holds of the limits."""

    record: CallRecord
    name: str
    touched: float
    callee: str = ""  # the user who is called
    answer: Mapping[str, Any] = field(default_factory=dict)
    asked: tuple[str, ...] = ()  # the question of that answer
    release: Callable[[], None] | None = None
    reported: bool = False  # its node has said something of it since
    written: tuple[Any, ...] = ()  # what was written down last
    written_at: float = -math.inf  # when it had been heard of, by what was written down last

    @property
    def over(self) -> bool:
        return self.record.ended_at is not None

    @property
    def known(self) -> tuple[Any, ...]:
        """What there is to be written down that may change while it is up."""
        said = self.record
        times, queued = (said.ringing_at, said.answered_at), (said.queue, said.queue_exit, said.queue_wait_s)
        return (self.callee, self.asked, *times, *queued, said.operator, said.flow, *said.tags)


@dataclass(slots=True)
class Patience:
    """`setup_s` for a call of which nothing is said, `call_s` for one that was reported; at most `most` at a time."""

    setup_s: float = 300.0
    call_s: float = 14_400.0
    most: int = 10_000


class Keeper(Protocol):
    """Where calls are written down; nobody waits for it."""

    def save(self, call: RemoteCall) -> None:
        """As it is now."""

    def forget(self, call_id: str) -> None:
        """It is over."""


class RemoteCalls:
    """All of them. `wall` is seconds since the epoch at a monotonic time."""

    def __init__(
        self, bus: Bus, tracer: Tracer, wall: Callable[[float], float], patience: Patience, keeper: Keeper
    ) -> None:
        self.patience = patience
        self._keeper = keeper
        self._unsaved: dict[str, RemoteCall] = {}
        self._saved: set[str] = set()
        self.ends: dict[Ended, int] = dict.fromkeys(Ended, 0)
        self._bus = bus
        self._tracer = tracer
        self._wall = wall
        self._live: dict[tuple[str, str], RemoteCall] = {}
        self._over: dict[tuple[str, str], RemoteCall] = {}
        self._ids: dict[str, RemoteCall] = {}

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> list[RemoteCall]:
        """Those that are up, oldest first."""
        return list(self._live.values())

    def find(self, accounts: Iterable[str], name: str) -> list[RemoteCall]:
        """The calls that a node of these accounts calls so, or the house does: up, or over just now."""
        found = [self._live.get((account, name)) or self._over.get((account, name)) for account in accounts]
        return [call for call in found if call is not None]

    def busy(self, account_id: str) -> Counter[str]:
        """Users who call or are called at nodes, each in how many calls."""
        live = (call for call in self._live.values() if call.record.account_id == account_id)
        return Counter(user for call in live for user in {call.record.legs[0].party, call.callee} - {""})

    def record(self, call_id: str) -> CallRecord | None:
        """The record of a call by its id in the house: up, or over just now."""
        call = self._ids.get(call_id)
        return call.record if call is not None else None

    def alive(self) -> frozenset[str]:
        """The ids in the house of those that are up."""
        return frozenset(call.record.id for call in self._live.values())

    # ---- life

    def begin(self, wanted: Wanted, now: float) -> RemoteCall:
        """A call begins; one of the same name must not be up."""
        while len(self._live) >= self.patience.most:
            self._make_room(now)
        wall = self._wall(now)
        record = CallRecord(
            id=new_id("call", wall),
            account_id=wanted.account_id,
            direction=wanted.direction,
            caller=wanted.caller,
            caller_name="",
            called=wanted.called,
            started_at=wall,
            clock=Timeline(wall, now),
        )
        leg = LegRecord(new_id("leg", wall), Role.CALLER, wanted.party, wanted.name, wanted.node, wall)
        record.legs.append(leg)
        call = RemoteCall(record, wanted.name, now, wanted.callee)
        key = wanted.account_id, wanted.name
        self._forget(key)
        self._live[key] = self._ids[record.id] = self._unsaved[record.id] = call
        self._tracer.began(record.id, trace_name(*key), wanted.account_id, now)
        self._say(call, Change.STARTED, now)
        return call

    def take_up(self, calls: Iterable[RemoteCall], now: float) -> int:
        """Calls that were up when the last run of the house ended; how many there are. They are recorded already."""
        found = 0
        for call in calls:
            record = call.record
            key = record.account_id, call.name
            self._live[key] = self._ids[record.id] = call
            self._saved.add(record.id)
            call.written, call.written_at = call.known, call.touched
            self._tracer.began(record.id, trace_name(*key), record.account_id, now)
            self.note(call, Topic.DECISION, "the house was started anew, and the call goes on at its node", now)
            found += 1
        return found

    def note(self, call: RemoteCall, topic: Topic, text: str, now: float) -> None:
        """Write something into the call's trace."""
        self._tracer.note(call.record.id, topic, text, now)

    def touch(self, call: RemoteCall, now: float) -> None:
        """Its node has said something of it. A caller in a queue is asked for every second: that alone is not worth
        a row."""
        first, call.touched, call.reported = not call.reported, now, True
        if first or now - call.written_at >= min(RESAVE_S, self.patience.call_s / 2):
            self._keep(call)
        else:
            self.changed(call)

    def changed(self, call: RemoteCall) -> None:
        """To be written down, if there is anything new."""
        if call.known != call.written:
            self._keep(call)

    def ringing(self, call: RemoteCall, now: float) -> bool:
        """Whether that was news."""
        self.touch(call, now)
        record = call.record
        if call.over or record.ringing_at is not None or record.answered_at is not None:
            return False
        record.ringing_at = record.legs[0].ringing_at = self._at(call, now)
        self._keep(call)
        self._say(call, Change.RINGING, now)
        return True

    def answered(self, call: RemoteCall, now: float) -> bool:
        """Whether that was news."""
        self.touch(call, now)
        record = call.record
        if call.over or record.answered_at is not None:
            return False
        record.answered_at = record.legs[0].answered_at = self._at(call, now)
        self._keep(call)
        self._say(call, Change.ANSWERED, now)
        return True

    def end(
        self,
        call: RemoteCall,
        now: float,
        *,
        status: int | None = None,
        reason: str = "",
        by: str | None = None,
        how: Ended = Ended.REPORTED,
    ) -> bool:
        """The call is over, once. `status` is the SIP status it ended with, None for who hung up an answered call.
        Whether that was news."""
        if call.over:
            return False
        key = call.record.account_id, call.name
        record, leg = call.record, call.record.legs[0]
        record.ended_at = leg.ended_at = self._at(call, now)
        release, call.release = call.release, None
        if release is not None:
            release()  # not before the record says how long they talked: the watch for fraud asks it
        record.sip_status = leg.sip_status = status or (200 if record.answered_at is not None else 487)
        record.result = _result(record, how)
        record.reason, record.ended_by = reason or _REASONS[how], by or ("house" if how is not Ended.REPORTED else None)
        self.ends[how] += 1
        self._live.pop(key, None)
        self._unsaved.pop(record.id, None)
        if record.id in self._saved:
            self._saved.discard(record.id)
            self._keeper.forget(record.id)
        self._over[key] = call
        while len(self._over) > MAX_OVER:
            self._forget(next(iter(self._over)))
        call.touched = now
        words = f" by the {record.ended_by or 'node'}: {record.reason} ({record.sip_status})"
        self._say(call, Change.ENDED, now, words)
        self._tracer.ended(record.id, now)
        return True

    def sweep(self, now: float) -> None:
        """End those nothing is heard of; called every second or so."""
        for call in [call for call in self._live.values() if now - call.touched >= self._patience_with(call)]:
            self.end(call, now, how=Ended.SILENT)
        for key in [key for key, call in self._over.items() if now - call.touched >= REMEMBER_S]:
            self._forget(key)

    def save(self, most: int | None = None) -> bool:
        """Write down what has changed since the last time, of so many calls at most; whether there are more."""
        for call_id in list(islice(self._unsaved, most)):
            call = self._unsaved.pop(call_id)
            call.written, call.written_at = call.known, call.touched
            self._saved.add(call_id)
            self._keeper.save(call)
        return bool(self._unsaved)

    # ---- inside

    def _keep(self, call: RemoteCall) -> None:
        if not call.over:
            self._unsaved[call.record.id] = call

    def _forget(self, key: tuple[str, str]) -> None:
        call = self._over.pop(key, None)
        if call is not None:
            self._ids.pop(call.record.id, None)

    def _patience_with(self, call: RemoteCall) -> float:
        return self.patience.call_s if call.reported else self.patience.setup_s

    def _make_room(self, now: float) -> None:
        """The oldest of which no node has said anything makes way, or else the oldest."""
        unheard = next((call for call in self._live.values() if not call.reported), None)
        self.end(unheard or next(iter(self._live.values())), now, how=Ended.REPLACED)

    def _at(self, call: RemoteCall, now: float) -> float:
        return call.record.clock(now) if call.record.clock is not None else self._wall(now)

    def _say(self, call: RemoteCall, change: Change, now: float, why: str = "") -> None:
        self._tracer.note(call.record.id, Topic.STATE, change.value + why, now)
        self._bus.publish(CallChanged(change, call.record))


def trace_name(account_id: str, name: str) -> str:
    """What a call of a node is found by in the traces: no SIP Call-ID, which somebody outside may choose, is this."""
    return f"edge {account_id} {name}"


_REASONS: Mapping[Ended, str] = {
    Ended.REPORTED: "the node said that it is over",
    Ended.REFUSED: "it was not let in",
    Ended.SILENT: "nothing was heard of it any more",
    Ended.REPLACED: "it made way for newer calls",
}


def _result(record: CallRecord, how: Ended) -> Result:
    if how in (Ended.SILENT, Ended.REPLACED):
        return Result.UNKNOWN
    if record.answered_at is not None:
        return Result.SUCCESS
    if how is Ended.REFUSED or record.sip_status == 487:
        return Result.CLIENT
    return Result.UPSTREAM
