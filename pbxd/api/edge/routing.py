"""`/route`: where does this call go? The same rules as for the house's own calls; the answer is for a SIP node."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.dialled import at_the_edge, in_the_world, split_aor
from pbxd.api.edge.tenancy import account_of, accounts_of
from pbxd.api.edge.wishes import AccountName, EdgeWish, Text, Word
from pbxd.api.house.views import View
from pbxd.calls.dispatch import Asked, Dispatch, dispatch
from pbxd.calls.record import Direction
from pbxd.calls.routing import Reject, Route, ToEcho, ToGroup, ToHouse, ToTrunk, ToUser, described
from pbxd.calls.targets import domain_of
from pbxd.directory.model import Account, Aor, ExtensionKind
from pbxd.errors import Conflict, HouseError, NotFound
from pbxd.flows.sessions import flow_id
from pbxd.services.remote import Ended, RemoteCall, Wanted
from pbxd.trace import Topic

__all__ = ["EDGE"]


class Action(StrEnum):
    FLOW = "flow"
    PROXY = "proxy"
    OUTBOUND = "outbound"
    REJECT = "reject"


class RouteWish(EdgeWish):
    """A call that came to a node. `from` and `to` are numbers, users or whole SIP URIs."""

    call_id: Word = Field(description="what the node calls the call; asked again, it is answered as before")
    to: Word = Field(description="who is called", examples=["12025550123"])
    from_: Annotated[Text, Field(alias="from", description="who calls", examples=["1001"])] = ""
    from_domain: Text = Field(
        default="",
        validation_alias=AliasChoices("fromDomain", "from_domain", "domain"),
        description="the domain of who calls, whose password the node has asked for; empty: that of the key's account",
        examples=["acme.sip.io"],
    )
    account_id: AccountName | None = Field(default=None, description="instead of fromDomain")
    node: Text = Field(default="", description="who asks, for the records")


class FlowActionView(View):
    """Run a flow: /flow with this call, account and flow."""

    action: Literal[Action.FLOW] = Action.FLOW
    account_id: str
    flow_id: str
    flow: str = Field(description="its name")
    vars: dict[str, str] = Field(description="caller_cid: who calls, E.164 without its plus or an extension")


class ProxyActionView(View):
    """Send the call on to an AOR of the house."""

    action: Literal[Action.PROXY] = Action.PROXY
    account_id: str
    aor: str = Field(examples=["sip:1002@acme.sip.io"])
    aors: list[str] = Field(description="of a ring group those of its users, else the one")
    registered: bool = Field(description="whether it would ring anywhere now")
    vars: dict[str, str]


class OutboundActionView(View):
    """Send the call out by a trunk."""

    action: Literal[Action.OUTBOUND] = Action.OUTBOUND
    account_id: str
    trunk: str
    trunk_id: str
    carrier: str = Field(description="the same as trunk")
    proxy: str = Field(description="where the trunk is", examples=["sip:carrier.example"])
    number: str = Field(description="what the trunk is asked for, without its plus")
    vars: dict[str, str]


class RejectActionView(View):
    """Refuse the call."""

    action: Literal[Action.REJECT] = Action.REJECT
    account_id: str | None
    code: int = Field(description="SIP status", examples=[404])
    reason: str


RtJson = Annotated[
    FlowActionView | ProxyActionView | OutboundActionView | RejectActionView, Field(discriminator="action")
]


class RouteView(View):
    rtjson: RtJson


@EDGE.operation("POST", "/route", tag="sip", scope=SCOPE, errors=(NotFound, Conflict))
async def route_call(edge: Edge, body: RouteWish, identity: Identity) -> RouteView:
    """Ask where a call goes.

    To a number of ours: where it leads at this hour, mostly a flow. From a phone of a domain to an extension of it:
    proxy to its AOR, whether somebody is registered or not. From such a phone to anywhere else: outbound by the trunk
    that a route of the account names. Otherwise reject. The call is counted and recorded from here on, once however
    often it is asked about; /presence/event says when it is over.
    """
    caller, caller_host = split_aor(body.from_)
    called, called_host = split_aor(body.to)
    default = account_of(edge, identity, body.account_id or identity.account_id or edge.directory.default_account.id)
    accounts = accounts_of(edge, identity)
    domain = "" if body.account_id else body.from_domain or caller_host
    asked = Asked(caller, domain, called, called_host)
    question = _question(asked, default)
    calls = edge.calls.find([account.id for account in accounts], body.call_id)
    known = next((call for call in calls if call.asked == question), None)
    if known is not None:
        return RouteView.model_validate({"rtjson": known.answer})
    found = dispatch(edge.directory, accounts, asked, default=default, hours=edge.hours)
    if found is None:
        return RouteView(rtjson=RejectActionView(account_id=None, code=404, reason="no account has this domain"))
    for call in edge.calls.find([found.account.id], body.call_id):
        if call.asked and not call.over:
            raise Conflict("callId: a call of this name is up, and is another one")
    return RouteView(rtjson=_begun(edge, body, asked, question, found))


def _question(asked: Asked, default: Account) -> tuple[str, ...]:
    """What tells whether a node repeats itself. Two accounts may have a call of one name, by the same numbers."""
    return asked.caller, asked.domain.lower() or default.id, asked.called, asked.called_domain.lower()


def _begun(edge: Edge, body: RouteWish, asked: Asked, question: tuple[str, ...], found: Dispatch) -> RtJson:
    """The call begins, is let in or not, and is answered."""
    now = edge.now()
    party = found.caller.name if found.caller is not None else ""
    callee = found.route.user.name if isinstance(found.route, ToUser) else ""
    caller = asked.caller if party else in_the_world(asked.caller)
    call = edge.calls.begin(
        Wanted(
            found.account.id,
            body.call_id,
            found.direction,
            caller,
            found.called,
            party,
            callee,
            body.node,
        ),
        now,
    )
    who = f"user {party}" if party else "somebody outside"
    edge.calls.note(call, Topic.DECISION, f"{who} calls at a node; {described(found.route)}", now)
    refused = found.route if isinstance(found.route, Reject) else _let_in(edge, call, found, party, body.node)
    answer = _answer(edge, found, refused or found.route, now)
    call.answer, call.asked = answer.model_dump(), question
    if refused is not None:
        edge.calls.end(call, now, status=refused.status, reason=refused.reason, by="house", how=Ended.REFUSED)
    return answer


def _let_in(edge: Edge, call: RemoteCall, found: Dispatch, party: str, node: str) -> Reject | None:
    """Why the call may not be, now; otherwise it is counted until it ends."""
    gate = edge.gate
    inbound = found.direction is Direction.INBOUND
    try:
        gate.enter(call.record, None if inbound else party, "" if inbound else None, found.route, node)
        call.release = lambda: gate.leave(call.record, edge.now())
        if isinstance(found.route, ToUser):
            gate.reach(call.record, party, found.route, node)
    except HouseError as error:
        edge.calls.note(call, Topic.DECISION, f"it is not let in: {error.message}", edge.now())
        return Reject(error.sip_status, error.message)
    return None


def _answer(edge: Edge, found: Dispatch, route: Route, now: float) -> RtJson:
    account = found.account
    variables = {"caller_cid": at_the_edge(found.caller_cid)}
    match route:
        case ToHouse(extension=extension) if extension.kind is ExtensionKind.FLOW:
            name = str(extension.options.get("flow", ""))
            return FlowActionView(account_id=account.id, flow_id=flow_id(account.id, name), flow=name, vars=variables)
        case ToTrunk(trunk=trunk, number=number):
            return OutboundActionView(
                account_id=account.id,
                trunk=trunk.name,
                trunk_id=trunk.id,
                carrier=trunk.name,
                proxy=trunk.proxy or "",
                number=at_the_edge(number),
                vars={"caller_cid": at_the_edge(trunk.cid_number or found.caller_cid)},
            )
        case Reject(status=status, reason=reason):
            return RejectActionView(account_id=account.id, code=status, reason=reason)
    names, registered = _reached(edge, account, route, now)
    aors = [f"sip:{name}@{domain_of(account)}" for name in names]
    return ProxyActionView(account_id=account.id, aor=aors[0], aors=aors, registered=registered, vars=variables)


def _reached(edge: Edge, account: Account, route: Route, now: float) -> tuple[list[str], bool]:
    """The user parts of what rings, and whether anything would; what the house itself answers always does."""
    match route:
        case ToUser(user=user):
            return [user.name], edge.reach.reachable(Aor(account.id, user.name), now)
        case ToGroup(group=group, users=users):
            there = any(edge.reach.reachable(Aor(account.id, user.name), now) for user in users)
            return [user.name for user in users] or [group.name], there
        case ToEcho(extension=extension) | ToHouse(extension=extension):
            return [extension.number], True
    raise NotFound("there is no such number")
