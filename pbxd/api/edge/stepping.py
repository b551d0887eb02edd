"""`/flow`: a node carries out a call flow, command by command. The machine, its state and its decisions are here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pbxd.api.contract import Identity
from pbxd.api.edge.calls import only_one
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.queueing import ENQUEUE, WAITING, leaves, stands
from pbxd.api.edge.tenancy import account_of, accounts_of
from pbxd.api.edge.wishes import AccountName, EdgeWish, JsonObject, Text, Word
from pbxd.api.house.views import View
from pbxd.calls.record import Direction
from pbxd.directory.model import Account
from pbxd.errors import Conflict, Invalid, NotFound, Overloaded
from pbxd.flows.sessions import Answer, flow_id
from pbxd.services.remote import RemoteCall, Wanted

__all__ = ["EDGE"]

_UNANSWERED = frozenset({"failed", "error", "hangup"})


class FlowWish(EdgeWish):
    """With `flowId` the beginning of a flow, with `outcome` a step of it."""

    call_id: Word = Field(description="what the node calls the call; the same as for /route")
    account_id: AccountName | None = Field(
        default=None, description="to begin; for a step where two accounts have such a call"
    )
    flow_id: Word | None = Field(default=None, description="to begin: a flow's id, as /route gives it, or its name")
    outcome: Word | None = Field(
        default=None,
        description="of a step: what came of the command, such as done, digit:1, digits:1234, timeout, invalid, "
        "answered, busy, no_answer, recorded, left, failed, hangup; waiting, of enqueue, asks how the caller stands",
        examples=["digit:1"],
    )
    data: JsonObject = Field(default={}, description="what there is to say about the outcome")
    seq: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = Field(
        default=None,
        description="of a step: the `seq` of the command that it is of; a step said again is answered as before",
    )
    vars: JsonObject = Field(default={}, description="to begin: variables of the flow")
    from_: Annotated[Text, Field(alias="from", description="to begin, where /route was not asked: who calls")] = ""
    to: Annotated[Text, Field(description="to begin, where /route was not asked: who is called")] = ""
    answered: bool = Field(default=False, description="to begin: the node has answered the call")


class CommandView(View):
    command: str = Field(
        description="play, gather, dial, enqueue, record, conference, hangup or noop; voicemail, to listen to "
        "messages, is the house's own",
        examples=["gather"],
    )
    args: dict[str, Any] = Field(
        description="what the command says, in the words of the flow; with `answer` the call is to be answered first"
    )
    seq: int = Field(description="the number of this command, to be said with its outcome")
    done: bool = Field(description="the flow has ended with this: there is nothing more to say")


@EDGE.operation("POST", "/flow", tag="sip", scope=SCOPE, errors=(NotFound, Conflict, Overloaded))
async def step_flow(edge: Edge, body: FlowWish, identity: Identity) -> CommandView:
    """Begin a call flow, or say what came of its last command; the answer is the next one.

    Beginning what has begun gives the command that is out. A step with a `seq` that is not out any more is a conflict,
    but for the very step before, which gets its answer again. Without `seq` a step is of the command that is out.

    A caller of `enqueue` waits in the house's queue from the first `waiting` on. Said again every second or two, its
    answer is `enqueue` with `standing`: the position, what is to be announced, and the operators to ring, each with
    the lease that `/agent/confirm` wants when they answer. Where one does not, `data` may say so with that `lease_id`,
    its `epoch` and `why`, declined or unreachable. When the time is out the answer is the next command.
    """
    if body.outcome is None:
        return _said(await _begin(edge, body, identity))
    return _said(await _step(edge, body, body.outcome, identity))


async def _step(edge: Edge, body: FlowWish, outcome: str, identity: Identity) -> Answer:
    accounts = [account_of(edge, identity, body.account_id)] if body.account_id else accounts_of(edge, identity)
    session = only_one(edge.flows.find([account.id for account in accounts], body.call_id), "flow for such a call")
    call = call_of(edge, session.account_id, body.call_id)
    edge.calls.touch(call, edge.now())

    def came(of: Answer) -> None:
        if of.command == ENQUEUE:
            leaves(edge, session, call, outcome)
        if of.args.get("answer") and outcome not in _UNANSWERED:
            edge.calls.answered(call, edge.now())  # else there were nobody to whom that came to pass

    try:
        if outcome == WAITING:
            return await stands(edge, session, call, body.seq, body.data)
        return await edge.flows.step(session, call.record, outcome, body.data, body.seq, came=came)
    finally:
        edge.calls.changed(call)


async def _begin(edge: Edge, body: FlowWish, identity: Identity) -> Answer:
    if body.flow_id is None:
        raise Invalid("flowId begins a flow, outcome is a step of one: one of them is needed")
    account = account_of(edge, identity, body.account_id)
    name = flow_named(edge, account, body.flow_id)
    call = call_of(edge, account.id, body.call_id, body.from_, body.to)
    edge.calls.touch(call, edge.now())
    variables = {str(key): value for key, value in body.vars.items()}
    try:
        return await edge.flows.start(call.record, body.call_id, name, account.slug, variables, answered=body.answered)
    finally:
        edge.calls.changed(call)


def call_of(edge: Edge, account_id: str, name: str, caller: str = "", called: str = "") -> RemoteCall:
    """The call that a node names so; one that nobody asked /route about begins now."""
    found = edge.calls.find([account_id], name)
    if found and not found[0].over:
        return found[0]
    if not found or caller or called:
        return edge.calls.begin(Wanted(account_id, name, Direction.INBOUND, caller, called), edge.now())
    return found[0]


def flow_named(edge: Edge, account: Account, wanted: str) -> str:
    """The flow of this id or name. Raises NotFound."""
    for name in edge.flow_names(account):
        if wanted in (name, flow_id(account.id, name)):
            return name
    raise NotFound("there is no such flow")


def _said(answer: Answer) -> CommandView:
    return CommandView(command=answer.command, args=dict(answer.args), seq=answer.seq, done=answer.done)
