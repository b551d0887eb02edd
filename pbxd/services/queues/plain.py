"""A machine's state as plain data, and back: times travel as ages, so that another clock can take them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from random import Random
from typing import Any

from pbxd.services.queues.machine import Acd, Queue
from pbxd.services.queues.model import Caller, Lease, Operator, QueueRules, Strategy
from pbxd.services.queues.statistics import Day
from pbxd.services.queues.table import Activity, Place, Status

VERSION = 1
_ENUMS: Mapping[str, type[Status | Activity | Place | Strategy]] = {
    "status": Status,
    "activity": Activity,
    "place": Place,
    "strategy": Strategy,
}
_TIMES = frozenset(
    {
        *("joined_at", "connected_at", "offered_at", "until", "idle_since", "rests_until", "wraps_until"),
        *("since", "did_since"),
    }
)
_SETS = frozenset({"tried", "offers"})


def plain(acd: Acd, now: float) -> dict[str, Any]:
    """All that is known of who waits, who answers and what was counted; JSON can carry it."""
    return {
        "version": VERSION,
        "queues": [
            {
                "rules": _row(queue.rules, now),
                "members": queue.members,
                "handled_s": list(queue.handled_s),
            }
            for queue in acd.queues.values()
        ],
        "callers": [_row(caller, now) for caller in acd.callers.values()],
        "operators": [_row(operator, now) for operator in acd.roster],
        "day": acd.day.plain(),
    }


def restored(data: Mapping[str, Any], make_id: Callable[[], str], rng: Random, now: float) -> Acd:
    """A machine that goes on where the other stopped. Raises ValueError for what `plain` did not make."""
    if data.get("version") != VERSION:
        raise ValueError("the state of the queues is of another version")
    try:
        acd = Acd(make_id, rng)
        for one in data["queues"]:
            queue = Queue(QueueRules(**_values(one["rules"], now)), dict(one["members"]))
            queue.handled_s.extend(one["handled_s"])
            acd.queues[queue.rules.name] = queue
        acd.roster.day = Day.read(data["day"])
        operators = [_operator(one, now) for one in data["operators"]]
        callers = [Caller(**_values(one, now)) for one in data["callers"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the state of the queues cannot be read: {error}") from error
    acd.take_up(operators, callers, now)
    return acd


def _operator(data: Mapping[str, Any], now: float) -> Operator:
    values = _values(data, now)
    lease = values.pop("lease")
    return Operator(**values, lease=Lease(**_values(lease, now)) if lease else None)


def _row(thing: Caller | Operator | Lease | QueueRules, now: float) -> dict[str, Any]:
    return {one.name: _plain(one.name, getattr(thing, one.name), now) for one in fields(thing)}


def _plain(name: str, value: Any, now: float) -> Any:
    if isinstance(value, Lease):
        return _row(value, now)
    if value is not None and name in _TIMES:
        return now - value
    return sorted(value) if name in _SETS else value


def _values(data: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {name: _value(name, value, now) for name, value in data.items()}


def _value(name: str, value: Any, now: float) -> Any:
    if value is not None and name in _TIMES:
        return now - value
    if name in _ENUMS:
        return _ENUMS[name](value)
    return set(value) if name in _SETS else value
