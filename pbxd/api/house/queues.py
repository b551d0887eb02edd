"""Queues, operators, callers and their figures, in the house's own API."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.flows import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_of
from pbxd.api.house.views import Seen, View, Wish
from pbxd.errors import Conflict, NotFound, Unavailable
from pbxd.services.queues import Control, Strategy
from pbxd.services.queues.table import Activity, Place, Status

__all__ = ["HOUSE"]

Name = Annotated[str, Field(min_length=1, max_length=64)]
Day_ = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


Tenths = Annotated[float, AfterValidator(lambda seconds: round(seconds, 1))]


class FiguresView(Seen):
    entered: int
    handled: int
    abandoned: int
    exits: dict[str, int] = Field(description="callers by how they left")
    service_level_percent: Tenths | None = Field(
        validation_alias="service_level", description="answered in time, of those who waited and have gone"
    )
    mean_wait_s: Tenths | None = Field(description="of who was answered")
    longest_wait_s: Tenths
    talked_s: Tenths
    mean_talk_s: Tenths | None
    wrapped_up_s: Tenths = Field(validation_alias="wrapped_s")
    mean_wrap_up_s: Tenths | None


class OperatorFiguresView(Seen):
    offered: int
    handled: int
    missed: int
    talked_s: Tenths
    wrapped_up_s: Tenths = Field(validation_alias="wrapped_s")
    logged_in_s: Tenths = Field(description="in states that have ended")
    on_break_s: Tenths


class CallerRow(Seen):
    call_id: str
    queue: str
    number: str
    name: str
    priority: int
    place: Place
    position: int | None = Field(description="1 is next; null once an operator has taken the call")
    waited_s: Tenths
    expected_s: Tenths | None = Field(description="until the answer, from how long calls took lately; null: not known")
    operator: str | None
    talked_s: Tenths | None


class QueueRow(Seen):
    name: str
    title: str
    strategy: Strategy
    waiting: int
    talking: int
    longest_wait_s: Tenths = Field(description="of who waits now")
    expected_wait_s: Tenths | None = Field(description="of who would come now; null: not known")
    logged_in: int
    available: int = Field(description="of those logged in, not on a break")
    free: int = Field(description="of those, who could be offered a call now")
    on_break: int
    day: str
    today: FiguresView


class OperatorRow(Seen):
    name: str
    status: Status
    activity: Activity
    reachable: bool = Field(description="whether a phone is registered")
    on_call: bool = Field(description="on a call that is of no queue")
    queues: dict[str, int] = Field(description="those they serve, with their penalty")
    status_s: Tenths = Field(description="for how long")
    activity_s: Tenths = Field(validation_alias="since_s")
    call_id: str | None = Field(description="the caller that they are offered or talk to")
    lease_id: str | None
    epoch: int = Field(description="of the last offer")
    missed_in_a_row: int
    today: OperatorFiguresView


class QueueRows(View):
    queues: list[QueueRow]


class QueueDetail(QueueRow):
    callers: list[CallerRow] = Field(description="the next one first")
    operators: list[OperatorRow]


class OperatorRows(View):
    operators: list[OperatorRow]
    counts: dict[str, int] = Field(description="operators by status")


class DayView(Seen):
    day: str = Field(validation_alias="name")
    queues: dict[str, FiguresView]
    operators: dict[str, OperatorFiguresView]


class DayViews(View):
    days: list[DayView]


class DaysQuery(AccountQuery):
    since: Day_ = Field("1970-01-01", description="the first day", examples=["2026-03-01"])
    until: Day_ = Field("9999-12-31", description="the last one")


class QueuePath(Wish):
    queue: Name


class OperatorPath(Wish):
    user: Name


class ControlWish(Wish):
    event: Control
    queues: dict[Name, Annotated[int, Field(ge=0, le=100)]] | None = Field(
        None, description="those they serve from now on, with their penalty; null leaves it, and a login begins anew"
    )


@HOUSE.operation("GET", "/queues", tag="queues", scope="queues:read", errors=(NotFound,))
async def list_queues(house: House, query: AccountQuery, identity: Identity) -> QueueRows:
    """List the queues, with who waits and today's figures."""
    account = account_of(house, identity, query.account)
    return QueueRows(queues=[QueueRow.of(one) for one in house.queues.queues(account.id)])


@HOUSE.operation("GET", "/queues/{queue}", tag="queues", scope="queues:read", errors=(NotFound,))
async def get_queue(house: House, path: QueuePath, query: AccountQuery, identity: Identity) -> QueueDetail:
    """Get a queue with its callers and operators."""
    account = account_of(house, identity, query.account)
    row = QueueRow.of(house.queues.queue(account.id, path.queue))
    operators = [one for one in house.queues.operators(account.id) if path.queue in one.queues]
    return QueueDetail(
        **dict(row),
        callers=[CallerRow.of(one) for one in house.queues.callers(account.id, path.queue)],
        operators=[OperatorRow.of(one) for one in operators],
    )


@HOUSE.operation("GET", "/queue-statistics", tag="queues", scope="queues:read", errors=(NotFound, Unavailable))
async def get_queue_statistics(house: House, query: DaysQuery, identity: Identity) -> DayViews:
    """Get the figures of queues and operators by day, the oldest first; today's as they are now."""
    account = account_of(house, identity, query.account)
    return DayViews(days=[DayView.of(one) for one in await house.queues.days(account.id, query.since, query.until)])


@HOUSE.operation("GET", "/operators", tag="queues", scope="queues:read", errors=(NotFound,))
async def list_operators(house: House, query: AccountQuery, identity: Identity) -> OperatorRows:
    """List the operators of all queues."""
    account = account_of(house, identity, query.account)
    rows = [OperatorRow.of(one) for one in house.queues.operators(account.id)]
    counts = {status.value: sum(one.status is status for one in rows) for status in Status}
    return OperatorRows(operators=rows, counts=counts)


@HOUSE.operation("GET", "/operators/{user}", tag="queues", scope="queues:read", errors=(NotFound,))
async def get_operator(house: House, path: OperatorPath, query: AccountQuery, identity: Identity) -> OperatorRow:
    """Get one operator, by user or extension."""
    account = account_of(house, identity, query.account)
    return OperatorRow.of(house.queues.operator(account, path.user))


@HOUSE.operation("POST", "/operators/{user}", tag="queues", scope="queues:write", errors=(NotFound, Conflict))
async def control_operator(
    house: House, path: OperatorPath, query: AccountQuery, body: ControlWish, identity: Identity
) -> OperatorRow:
    """Log an operator in or out, or begin and end a break.

    available ends a break and a wrap-up. A call that goes on is not touched.
    """
    account = account_of(house, identity, query.account)
    seen = house.queues.control(account, path.user, body.event, body.queues)
    house.flush()
    return OperatorRow.of(seen)
