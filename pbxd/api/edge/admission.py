"""`/cac`: how many calls an account has, of how many it may have."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.dialled import at_the_edge
from pbxd.api.edge.tenancy import account_of
from pbxd.api.edge.wishes import AccountName, EdgeWish
from pbxd.api.house.views import View
from pbxd.calls.limits import Reading, Ticket
from pbxd.calls.record import CallRecord, Direction
from pbxd.config.groups import LimitDirection, LimitScope
from pbxd.directory.model import Account
from pbxd.errors import NotFound

__all__ = ["EDGE"]


class CamelView(View):
    """Something the edge says, in the words of its page."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class CounterView(CamelView):
    scope: LimitScope
    id: str = Field(description="the account's id, the user's or trunk's name, the number without its plus")
    direction: LimitDirection
    current: int = Field(
        description="calls at a time, or begun within periodS; a soft window counts to twice its limit"
    )
    limit: int | None = Field(description="null: as many as there are")
    period_s: int = Field(description="0: at a time")
    hard: bool = Field(description="whether more are refused")
    name: str | None = Field(description="of the limit, where it is one of `call_limits`")


class ActiveCallView(CamelView):
    call_id: str = Field(description="the house's id of the call")
    direction: Direction
    caller: str = Field(serialization_alias="from")
    to: str
    since: int = Field(description="seconds since the epoch")
    answered: bool
    counted: list[str] = Field(description="what it counts against", examples=[["account", "trunk carrier"]])


class UsageView(CamelView):
    account_id: str
    counters: list[CounterView]
    calls: list[ActiveCallView] = Field(description="those that are up, oldest first")


class ResetView(UsageView):
    released: int = Field(description="what was held for calls that are not up")


class UsageQuery(EdgeWish):
    account_id: AccountName


class ResetWish(EdgeWish):
    account_id: AccountName


@EDGE.operation("GET", "/cac", tag="admission", scope=SCOPE, errors=(NotFound,))
async def get_usage(edge: Edge, query: UsageQuery, identity: Identity) -> UsageView:
    """Show the counters of an account and its calls that are up."""
    account = account_of(edge, identity, query.account_id)
    return UsageView(account_id=account.id, counters=_counters(edge, account), calls=_calls(edge, account))


@EDGE.operation("POST", "/cac/reset", tag="admission", scope=SCOPE, errors=(NotFound,))
async def reset_usage(edge: Edge, body: ResetWish, identity: Identity) -> ResetView:
    """Clear what is stuck.

    Calls that are up go on being counted; all else is given back, and rates begin anew.
    """
    account = account_of(edge, identity, body.account_id)
    released = edge.gate.reset(account.id, edge.gate.alive(), identity.name)
    return ResetView(
        account_id=account.id,
        counters=_counters(edge, account),
        calls=_calls(edge, account),
        released=len(released),
    )


def _counters(edge: Edge, account: Account) -> list[CounterView]:
    return [_counter(reading) for reading in edge.gate.limits.readings(account.id, edge.now())]


def _counter(reading: Reading) -> CounterView:
    limit = reading.limit
    return CounterView(
        scope=reading.scope,
        id=at_the_edge(reading.id),
        direction=reading.direction,
        current=reading.current,
        limit=limit.max_count if limit is not None else None,
        period_s=limit.period_s if limit is not None else 0,
        hard=limit.hard if limit is not None else False,
        name=limit.name if limit is not None else None,
    )


def _calls(edge: Edge, account: Account) -> list[ActiveCallView]:
    held: dict[str, list[Ticket]] = {}
    for ticket in edge.gate.limits.tickets(account.id):
        held.setdefault(ticket.claims.call_id, []).append(ticket)
    records = [record for record in edge.live_records() if record.account_id == account.id]
    return [_call(record, held.get(record.id, ())) for record in records]


def _call(record: CallRecord, tickets: list[Ticket] | tuple[()]) -> ActiveCallView:
    subjects = dict.fromkeys(subject for ticket in tickets for subject in ticket.subjects)
    return ActiveCallView(
        call_id=record.id,
        direction=record.direction,
        caller=at_the_edge(record.caller),
        to=at_the_edge(record.called),
        since=round(record.started_at),
        answered=record.answered_at is not None,
        counted=[
            subject.scope.value
            if subject.scope is LimitScope.ACCOUNT
            else f"{subject.scope.value} {at_the_edge(subject.id)}"
            for subject in subjects
        ],
    )
