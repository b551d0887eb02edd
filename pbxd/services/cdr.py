"""Call records: what became of every call, in the store within a second, and never waited for.

A call's row is inserted when it starts, so that even a call that dies with the process has one. `close_orphans` ends
such rows at the next start, at the last moment the process was seen alive.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, insert, select, update

from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, LegQuality, LegRecord, Result, Role
from pbxd.errors import Invalid
from pbxd.events import Bus
from pbxd.store import Store
from pbxd.store.schema import call_legs, calls, edge_calls, meta

log = logging.getLogger(__name__)

MAX_PAGE = 500
ORPHAN_REASON = "the daemon was restarted under this call"

_QUALITY_FIELDS = tuple(LegQuality.__dataclass_fields__)
_quality_values = attrgetter(*_QUALITY_FIELDS)
_LEG_FIELDS = tuple(name for name in LegRecord.__dataclass_fields__ if name not in {"role", "quality", "history"})
_leg_values = attrgetter(*_LEG_FIELDS)

_INSERT_CALL = insert(calls)
_INSERT_LEG = insert(call_legs)
_TIMES = ("ringing_at", "answered_at")
_QUEUED = ("queue", "queue_exit", "queue_wait_s", "operator")
_END = (
    *("ringing_at", "answered_at", "ended_at", "sip_status", "q850", "reason", "ended_by", "result", "flow", "tags"),
    *_QUEUED,
)

_EARLIEST_END = func.coalesce(calls.c.answered_at, calls.c.started_at)
_AT_NODES = select(edge_calls.c.id).where(edge_calls.c.node == bindparam("key"))  # these go on without us
_OPEN = and_(calls.c.node == bindparam("key"), calls.c.ended_at.is_(None), calls.c.id.not_in(_AT_NODES))
_CLOSE_ORPHANS = (
    update(calls)
    .where(_OPEN)
    .values(
        ended_at=case((bindparam("seen_alive") > _EARLIEST_END, bindparam("seen_alive")), else_=_EARLIEST_END),
        result=Result.UNKNOWN.value,
        reason=ORPHAN_REASON,
        ended_by="house",
    )
)

_LEFT_QUEUE = (
    update(calls)
    .where(calls.c.id == bindparam("key"), calls.c.queue_exit.is_(None))
    .values({name: bindparam(name) for name in _QUEUED})
)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records, newest first. `before` is the id of the last one already seen, `since` seconds since the epoch."""

    limit: int = 50
    before: str | None = None
    result: Result | None = None
    since: float | None = None
    account_id: str | None = None


class CallRecords:
    """Writes the records of one node, and reads those of all."""

    def __init__(self, store: Store, node: str) -> None:
        self.packets_received = 0  # by legs that have ended
        self.packets_lost = 0
        self.results: Counter[Result] = Counter(dict.fromkeys(Result, 0))
        self._store = store
        self._node = node
        self._open: set[str] = set()
        self._answered = store.update_by_id(calls, *_TIMES)
        self._ended = store.update_by_id(calls, *_END)
        self._beat = store.upsert(meta)

    def listen(self, bus: Bus) -> Callable[[], None]:
        """Record every call of `bus` from now on, until the returned function is called."""
        return bus.subscribe(CallChanged, self.changed)

    def changed(self, event: CallChanged) -> None:
        """Queue what changed. Costs no more than building the rows."""
        record = event.record
        match event.change:
            case Change.STARTED:
                self._open.add(record.id)
                self._store.write(_INSERT_CALL, _call_row(record, self._node))
            case Change.ANSWERED:
                values = {"key": record.id, "ringing_at": record.ringing_at, "answered_at": record.answered_at}
                self._store.write(self._answered, values)
            case Change.ENDED:
                self._write_end(record)
            case _:
                return

    def resume(self, record: CallRecord) -> None:
        """A call of an earlier run is up still: its row is there, and is ended by its end."""
        self._open.add(record.id)

    def beat(self, wall: float) -> None:
        """Note that the process is alive, while calls are up; due every second. `wall` is seconds since the epoch.

        While the store is in trouble too: it is the write that proves that it is well again.
        """
        if self._open or self._store.trouble:
            self._store.write(self._beat, {"key": self._heartbeat_key, "value": repr(wall)})

    async def close_orphans(self) -> int:
        """End the records of calls that an earlier process of this node left open; how many there were.

        They ended when that process was last seen alive, but not before they started or were answered.
        """
        beats = await self._store.rows(select(meta.c.value).where(meta.c.key == self._heartbeat_key))
        seen_alive = next((float(row.value) for row in beats), 0.0)
        orphans = await self._store.rows(select(calls.c.id).where(_OPEN), {"key": self._node})
        if orphans:
            await self._store.commit([(_CLOSE_ORPHANS, {"key": self._node, "seen_alive": seen_alive})])
            self.results[Result.UNKNOWN] += len(orphans)
            log.warning("%d call records were left open by an earlier run and are closed now", len(orphans))
        return len(orphans)

    async def left_queue(self, call_id: str, queue: str, exit_: str, waited_s: float, operator: str | None) -> None:
        """How the call of an earlier process left its queue, where that process did not say it itself. Raises
        StoreError."""
        values = {"queue": queue, "queue_exit": exit_, "queue_wait_s": round(waited_s, 3), "operator": operator}
        await self._store.commit([(_LEFT_QUEUE, {"key": call_id, **values})])

    async def page(self, wanted: RecordFilter) -> list[CallRecord]:
        """Ended calls, newest first, with their legs. Raises Invalid for a limit out of bounds."""
        if not 1 <= wanted.limit <= MAX_PAGE:
            raise Invalid(f"the limit must be between 1 and {MAX_PAGE}")
        query = select(calls).where(calls.c.ended_at.is_not(None)).order_by(calls.c.id.desc()).limit(wanted.limit)
        if wanted.before is not None:
            query = query.where(calls.c.id < wanted.before)
        if wanted.result is not None:
            query = query.where(calls.c.result == wanted.result.value)
        if wanted.since is not None:
            query = query.where(calls.c.started_at >= wanted.since)
        if wanted.account_id is not None:
            query = query.where(calls.c.account_id == wanted.account_id)
        return await self._records(query)

    async def find(self, call_id: str) -> CallRecord | None:
        """One record, of a call that has ended or is up."""
        return next(iter(await self._records(select(calls).where(calls.c.id == call_id))), None)

    @property
    def _heartbeat_key(self) -> str:
        return f"heartbeat:{self._node}"

    def _write_end(self, record: CallRecord) -> None:
        result = record.result or Result.UNKNOWN
        self.results[result] += 1
        self._open.discard(record.id)
        values = {
            "key": record.id,
            "ringing_at": record.ringing_at,
            "answered_at": record.answered_at,
            "ended_at": record.ended_at,
            "sip_status": record.sip_status,
            "q850": record.q850,
            "reason": record.reason,
            "ended_by": record.ended_by,
            "result": result.value,
            "flow": record.flow,
            "tags": json.dumps(record.tags) if record.tags else None,
            **{name: getattr(record, name) for name in _QUEUED},
        }
        self._store.write(self._ended, values)
        for leg in record.legs:
            self._store.write(_INSERT_LEG, _leg_row(leg, record))
            if leg.quality:
                self.packets_received += leg.quality.packets_received
                self.packets_lost += leg.quality.packets_lost

    async def _records(self, query: Select[Any]) -> list[CallRecord]:
        records = {row.id: _record(row._asdict()) for row in await self._store.rows(query)}
        if records:
            legs = select(call_legs).where(call_legs.c.call_id.in_(records)).order_by(call_legs.c.started_at)
            for row in await self._store.rows(legs):
                records[row.call_id].legs.append(_leg(row._asdict()))
        return list(records.values())


def _call_row(record: CallRecord, node: str) -> dict[str, Any]:
    return {
        "id": record.id,
        "account_id": record.account_id,
        "node": node,
        "direction": record.direction.value,
        "caller": record.caller,
        "caller_name": record.caller_name,
        "called": record.called,
        "started_at": record.started_at,
    }


def _leg_row(leg: LegRecord, record: CallRecord) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(_LEG_FIELDS, _leg_values(leg), strict=True))
    row["account_id"] = record.account_id
    row["call_id"] = record.id
    row["role"] = leg.role.value
    quality = leg.quality
    row["quality"] = quality and json.dumps(dict(zip(_QUALITY_FIELDS, _quality_values(quality), strict=True)))
    return row


def _record(row: dict[str, Any]) -> CallRecord:
    return CallRecord(
        id=row["id"],
        account_id=row["account_id"],
        direction=Direction(row["direction"]),
        caller=row["caller"],
        caller_name=row["caller_name"],
        called=row["called"],
        started_at=row["started_at"],
        ringing_at=row["ringing_at"],
        answered_at=row["answered_at"],
        ended_at=row["ended_at"],
        result=Result(row["result"]) if row["result"] else None,
        sip_status=row["sip_status"],
        q850=row["q850"],
        reason=row["reason"],
        ended_by=row["ended_by"],
        flow=row["flow"],
        tags=json.loads(row["tags"]) if row["tags"] else [],
        **{name: row[name] for name in _QUEUED},
    )


def _leg(row: dict[str, Any]) -> LegRecord:
    values = {name: row[name] for name in _LEG_FIELDS}
    quality = LegQuality(**json.loads(row["quality"])) if row["quality"] else None
    return LegRecord(**values, role=Role(row["role"]), quality=quality)
