"""`/agent` and `/presence/users`: what operators say, the answers to offers of queues, and the roster of an account."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AliasChoices, Field, field_validator

from pbxd.api.contract import Identity
from pbxd.api.edge.calls import user_named
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.tenancy import account_of
from pbxd.api.edge.wishes import AccountName, EdgeWish, FromForm, Word
from pbxd.api.house.views import View
from pbxd.directory.model import Account, ExtensionKind
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.services.queues import Control, OperatorView
from pbxd.services.queues.table import Activity, Status

__all__ = ["EDGE", "control_by", "queue_named"]

_WORDS = {
    "logged_in": Control.LOGIN,
    "logged_out": Control.LOGOUT,
    "offline": Control.LOGOUT,
    "ready": Control.AVAILABLE,
    "break": Control.PAUSE,
    "on_break": Control.PAUSE,
    "paused": Control.PAUSE,
    "resume": Control.UNPAUSE,
    "unpaused": Control.UNPAUSE,
}


class Membership(EdgeWish):
    queue_id: Word = Field(
        validation_alias=AliasChoices("queueId", "queue_id", "queue", "id"), description="a queue's name, id or number"
    )
    level: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0, description="who has a higher one is asked when nobody with a lower one is free"
    )


class AgentWish(EdgeWish):
    account_id: AccountName
    user_id: Word = Field(description="a user's id or name, or an extension of theirs", examples=["1004"])
    event: Control
    queues: Annotated[list[Membership], FromForm] | None = Field(
        default=None, max_length=1000, description="those they serve from now on; without it a login serves their own"
    )

    @field_validator("event", mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value


class AgentQuery(EdgeWish):
    account_id: AccountName
    user_id: Word


class RosterQuery(EdgeWish):
    account_id: AccountName


class ConfirmPath(EdgeWish):
    accountId: AccountName  # noqa: N815 - the contract's words
    leaseId: Word  # noqa: N815
    epoch: Annotated[int, Field(ge=0, le=2**53)]


class ClaimPath(EdgeWish):
    accountId: AccountName  # noqa: N815 - the contract's words
    agentId: Word = Field(description="a user's id or name, or an extension of theirs")  # noqa: N815
    callId: Word = Field(description="the call's id in the house, or its Call-ID")  # noqa: N815


class MemberView(View):
    queueId: str  # noqa: N815 - the contract's own spelling
    level: int


class LeaseView(View):
    """An offer that stands, or the call that came of it."""

    id: str
    epoch: int
    call_id: str


class AgentView(View):
    account_id: str
    user_id: str
    user: str = Field(description="its name in the account")
    status: Status
    state: Activity
    reachable: bool
    on_call: bool = Field(description="on a call that is of no queue")
    queues: list[MemberView]
    lease: LeaseView | None

    @classmethod
    def of(cls, edge: Edge, account: Account, seen: OperatorView) -> Self:
        user = edge.directory.user(account, seen.name)
        lease = None
        if seen.call_id is not None and seen.lease_id is not None:
            lease = LeaseView(id=seen.lease_id, epoch=seen.epoch, call_id=seen.call_id)
        return cls(
            account_id=account.id,
            user_id=user.id if user is not None else "",
            user=seen.name,
            status=seen.status,
            state=seen.activity,
            reachable=seen.reachable,
            on_call=seen.on_call,
            queues=[MemberView(queueId=name, level=level) for name, level in seen.queues.items()],
            lease=lease,
        )


class DoneView(AgentView):
    ok: bool = True


class WonView(View):
    ok: bool = True
    account_id: str
    user: str
    call_id: str
    lease_id: str
    epoch: int

    @classmethod
    def of(cls, account: Account, seen: OperatorView) -> Self:
        return cls(
            account_id=account.id,
            user=seen.name,
            call_id=seen.call_id or "",
            lease_id=seen.lease_id or "",
            epoch=seen.epoch,
        )


class RosterEntry(View):
    user_id: str
    user: str
    name: str = Field(description="for people")
    is_agent: bool = Field(description="a queue names them, or they serve one")
    status: Status
    state: Activity
    reachable: bool
    in_call: bool = Field(description="on any call")
    queues: list[MemberView]


class RosterView(View):
    account_id: str
    users: list[RosterEntry]
    counts: dict[str, int] = Field(
        description="operators by status and by state, those who could be offered a call (ready), and all of them"
    )


@EDGE.operation("POST", "/agent", tag="agents", scope=SCOPE, errors=(NotFound, Conflict))
async def control_agent(edge: Edge, body: AgentWish, identity: Identity) -> DoneView:
    """Log an operator in or out, begin or end a break, say which queues they serve.

    `available` ends a break or a wrap-up; who is offline is logged in by it. A break needs a login: 409 without one.
    """
    account = account_of(edge, identity, body.account_id)
    queues = None
    if body.queues is not None:
        queues = {queue_named(edge, account, one.queue_id): one.level for one in body.queues}
    seen = edge.queues.control(account, user_named(edge, account, body.user_id), body.event, queues)
    edge.flush()
    return DoneView.of(edge, account, seen)


@EDGE.operation("GET", "/agent", tag="agents", scope=SCOPE, errors=(NotFound,))
async def get_agent(edge: Edge, query: AgentQuery, identity: Identity) -> AgentView:
    """Get what an operator does just now."""
    account = account_of(edge, identity, query.account_id)
    return AgentView.of(edge, account, edge.queues.operator(account, user_named(edge, account, query.user_id)))


@EDGE.operation("GET", "/presence/users", tag="agents", scope=SCOPE, errors=(NotFound,))
async def list_users(edge: Edge, query: RosterQuery, identity: Identity) -> RosterView:
    """List everybody in an account, with who can be reached, who is in a call, and operators by status."""
    account = account_of(edge, identity, query.account_id)
    now = edge.now()
    seen = {one.name: one for one in edge.queues.operators(account.id)}
    busy = edge.queues.busy(account.id)
    entries = []
    for user in edge.directory.users(account):
        operator = seen.get(user.name)
        member = operator is not None and edge.queues.answers(account, user.name)
        aor = edge.directory.aor(account, user.name)
        entries.append(
            RosterEntry(
                user_id=user.id,
                user=user.name,
                name=user.display_name,
                is_agent=member,
                status=operator.status if operator else Status.OFFLINE,
                state=operator.activity if operator else Activity.WAITING,
                reachable=aor is not None and edge.reach.reachable(aor, now),
                in_call=user.name in busy,
                queues=[MemberView(queueId=name, level=level) for name, level in operator.queues.items()]
                if operator
                else [],
            )
        )
    agents = [one for one in entries if one.is_agent]
    counts = {status.value: sum(one.status is status for one in agents) for status in Status}
    logged_in = [one for one in agents if one.status is not Status.OFFLINE]
    counts |= {state.value: sum(one.state is state for one in logged_in) for state in Activity}
    counts["ready"] = sum(
        one.status is Status.AVAILABLE and one.state is Activity.WAITING and one.reachable and not one.in_call
        for one in agents
    )
    return RosterView(account_id=account.id, users=entries, counts=counts | {"total": len(agents)})


@EDGE.operation(
    "GET", "/agent/confirm/{accountId}/{leaseId}/{epoch}", tag="agents", scope=SCOPE, errors=(NotFound, Conflict)
)
async def confirm_lease(edge: Edge, path: ConfirmPath, identity: Identity) -> WonView:
    """Say that an operator has answered the offer of this epoch. Stale ones are refused with 409."""
    account = account_of(edge, identity, path.accountId)
    seen = edge.queues.confirm_lease(account, path.leaseId, path.epoch)
    edge.flush()
    return WonView.of(account, seen)


@EDGE.operation(
    "GET", "/agent/claim/{accountId}/{agentId}/{callId}", tag="agents", scope=SCOPE, errors=(NotFound, Conflict)
)
async def claim_call(edge: Edge, path: ClaimPath, identity: Identity) -> WonView:
    """Take a caller of a queue for an operator. The first claim wins, every other one is refused with 409."""
    account = account_of(edge, identity, path.accountId)
    call = edge.queues.call_named(account.id, path.callId)
    if call is None:
        raise NotFound("no such call waits, or has waited, in a queue")
    seen = edge.queues.claim(account, user_named(edge, account, path.agentId), call)
    edge.flush()
    return WonView.of(account, seen)


def control_by(edge: Edge, account: Account, user: str, word: str) -> tuple[OperatorView, bool]:
    """What an event of a node does to an operator, and whether it was news. Raises Invalid, NotFound, Conflict."""
    said = word.strip().lower()
    event = _WORDS.get(said) or next((one for one in Control if one.value == said), None)
    if event is None:
        raise Invalid(f"event: an agent's is one of {', '.join(Control)}")
    name = user_named(edge, account, user)
    before = edge.queues.operator(account, name)
    after = edge.queues.control(account, name, event)
    edge.flush()
    return after, (before.status, before.activity) != (after.status, after.activity)


def queue_named(edge: Edge, account: Account, wanted: str) -> str:
    """The name of a queue, by id, name or number. Raises NotFound."""
    for queue in edge.directory.queues(account):
        if wanted in (queue.id, queue.name):
            return queue.name
    extension = edge.directory.extension(account, wanted)
    if extension is not None and extension.kind is ExtensionKind.QUEUE:
        return str(extension.options["queue"])
    raise NotFound("there is no such queue")
