"""What there is to see of queues, operators and callers: for APIs, wallboards and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pbxd.services.queues.machine import Acd
from pbxd.services.queues.model import Caller, Event, Operator, Strategy
from pbxd.services.queues.statistics import OperatorFigures, QueueFigures
from pbxd.services.queues.table import Activity, Place, Status


@dataclass(frozen=True, slots=True)
class QueueNews:
    """Something happened in a queue of this account; `at` is seconds since the epoch."""

    account_id: str
    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class CallerView:
    call_id: str
    queue: str
    number: str
    name: str
    priority: int
    place: Place
    position: int | None  # 1 is next; None: no longer waits
    waited_s: float
    expected_s: float | None
    operator: str | None
    talked_s: float | None


@dataclass(frozen=True, slots=True)
class OperatorView:
    """`since_s` is how long they do what they do, `status_s` how long they are in their status."""

    name: str
    status: Status
    activity: Activity
    reachable: bool
    on_call: bool
    queues: Mapping[str, int]
    status_s: float
    since_s: float
    call_id: str | None
    lease_id: str | None
    epoch: int
    missed_in_a_row: int
    today: OperatorFigures


@dataclass(frozen=True, slots=True)
class QueueView:
    name: str
    title: str
    strategy: Strategy
    waiting: int
    talking: int
    longest_wait_s: float
    expected_wait_s: float | None
    logged_in: int
    available: int
    free: int
    on_break: int
    day: str
    today: QueueFigures


def caller_view(acd: Acd, caller: Caller, now: float) -> CallerView:
    position = acd.position(caller) if caller.waits else None
    return CallerView(
        call_id=caller.id,
        queue=caller.queue,
        number=caller.number,
        name=caller.name,
        priority=caller.priority,
        place=caller.place,
        position=position,
        waited_s=now - caller.joined_at if caller.waited_s is None else caller.waited_s,
        expected_s=None if position is None else acd.expected_wait(caller.queue, position, now),
        operator=caller.operator,
        talked_s=None if caller.connected_at is None else now - caller.connected_at,
    )


def operator_view(acd: Acd, operator: Operator, now: float) -> OperatorView:
    offline = operator.status is Status.OFFLINE
    return OperatorView(
        name=operator.name,
        status=operator.status,
        activity=operator.activity,
        reachable=operator.reachable,
        on_call=operator.on_call,
        queues=dict(acd.queues_of(operator.name) if offline and not operator.queues else operator.queues),
        status_s=now - operator.since if operator.since else 0.0,
        since_s=now - operator.did_since if operator.did_since else 0.0,
        call_id=operator.lease.caller if operator.lease is not None else None,
        lease_id=operator.lease_id or None,
        epoch=operator.epoch,
        missed_in_a_row=operator.missed,
        today=acd.day.operator(operator.name),
    )


def queue_view(acd: Acd, name: str, now: float) -> QueueView:
    """Raises KeyError."""
    queue = acd.queues[name]
    serving = [one for one in acd.roster if name in one.queues and one.status is not Status.OFFLINE]
    return QueueView(
        name=name,
        title=queue.rules.title,
        strategy=queue.rules.strategy,
        waiting=len(queue.line),
        talking=sum(one.queue == name and one.place is Place.TALKING for one in acd.callers.values()),
        longest_wait_s=max((now - one.joined_at for one in queue.line), default=0.0),
        expected_wait_s=acd.expected_wait(name, len(queue.line) + 1, now),
        logged_in=len(serving),
        available=sum(one.status is Status.AVAILABLE for one in serving),
        free=sum(one.free(now) for one in serving),
        on_break=sum(one.status is Status.ON_BREAK for one in serving),
        day=acd.day.name,
        today=acd.day.queue(name),
    )
