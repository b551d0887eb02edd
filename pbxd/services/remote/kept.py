"""Calls on nodes of the edge as rows: what it takes to know them after a restart of the house, with what they hold of
the limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from pbxd.calls.limits import Claims, Limits, Subject
from pbxd.calls.record import CallRecord, Direction, LegRecord, Role, Timeline
from pbxd.config.groups import LimitScope
from pbxd.logs import get_logger
from pbxd.services.remote import RemoteCall
from pbxd.store import Store
from pbxd.store.schema import edge_calls

log = get_logger(part="edge")

_RECORD = ("id", "account_id", "caller", "caller_name", "called", "started_at", "ringing_at", "answered_at", "tags")
_CAME_LATER = ("queue", "queue_exit", "queue_wait_s", "operator", "flow")  # which older rows do not have
_LEG = ("id", "party", "sip_call_id", "remote", "started_at", "ringing_at", "answered_at")


class Kept:
    """The rows of one house. `wall` is seconds since the epoch at a monotonic time."""

    def __init__(self, store: Store, node: str, limits: Limits, wall: Callable[[float], float]) -> None:
        self._store = store
        self._node = node
        self._limits = limits
        self._wall = wall
        self._save = store.upsert(edge_calls)
        self._delete = store.delete_by_id(edge_calls)

    def save(self, call: RemoteCall) -> None:
        """Keeper: as it is now."""
        record = call.record
        data = {
            "name": call.name,
            "callee": call.callee,
            "answer": dict(call.answer),
            "asked": list(call.asked),
            "reported": call.reported,
            "direction": record.direction.value,
            "record": {name: getattr(record, name) for name in (*_RECORD, *_CAME_LATER)},
            "leg": {name: getattr(record.legs[0], name) for name in _LEG},
            "claims": [_plain(ticket.claims) for ticket in self._limits.held_by(record.account_id, record.id)],
        }
        row = {
            "id": record.id,
            "account_id": record.account_id,
            "node": self._node,
            "touched_at": self._wall(call.touched),
            "data": json.dumps(data),
        }
        self._store.write(self._save, row)

    def forget(self, call_id: str) -> None:
        """Keeper: it is over."""
        self._store.write(self._delete, {"key": call_id})

    async def load(self, now: float) -> list[RemoteCall]:
        """The calls of the last run, oldest first; what they held of the limits is counted again, whatever the limits
        say now. Raises StoreError."""
        query = select(edge_calls).where(edge_calls.c.node == self._node).order_by(edge_calls.c.id)
        found: list[RemoteCall] = []
        for row in await self._store.rows(query):
            try:
                call, claims = self._read(json.loads(row.data), row.touched_at, now)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("a call of a node is not readable and is removed", id=row.id, reason=str(error))
                self.forget(row.id)
                continue
            for claim in claims:
                self._limits.restore(claim, now)
            found.append(call)
        if found:
            log.info("calls of nodes go on", calls=len(found))
        return found

    def _read(self, data: Mapping[str, Any], touched_at: float, now: float) -> tuple[RemoteCall, list[Claims]]:
        """Raises ValueError, KeyError, TypeError."""
        wall = self._wall(now)
        record = CallRecord(direction=Direction(data["direction"]), clock=Timeline(wall, now), **data["record"])
        record.legs.append(LegRecord(role=Role.CALLER, **data["leg"]))
        call = RemoteCall(
            record,
            str(data["name"]),
            now - max(0.0, wall - touched_at),
            str(data["callee"]),
            dict(data["answer"]),
            tuple(map(str, data["asked"])),
            reported=bool(data["reported"]),
        )
        return call, [_claims(said) for said in data["claims"]]


def _plain(claims: Claims) -> dict[str, Any]:
    return {
        "call_id": claims.call_id,
        "account_id": claims.account_id,
        "direction": claims.direction.value,
        "users": claims.users,
        "numbers": claims.numbers,
        "trunks": claims.trunks,
        "lent": [{"account_id": one.account_id, "scope": one.scope.value, "id": one.id} for one in claims.lent],
        "part": claims.part,
        "remote": claims.remote,
    }


def _claims(said: Mapping[str, Any]) -> Claims:
    return Claims(
        str(said["call_id"]),
        str(said["account_id"]),
        Direction(said["direction"]),
        users=tuple(map(str, said["users"])),
        numbers=tuple(map(str, said["numbers"])),
        trunks=tuple(map(str, said["trunks"])),
        lent=tuple(Subject(one["account_id"], LimitScope(one["scope"]), one["id"]) for one in said["lent"]),
        part=f"kept {said['part']}" if said["part"] else "",
        remote=bool(said["remote"]),
    )
