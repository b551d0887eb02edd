"""`/presence/event`: what a node says of its phones and calls, and what the house makes of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from pbxd.api.contract import Identity
from pbxd.api.edge.agents import control_by
from pbxd.api.edge.calls import only_one, user_named
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.dialled import split_aor
from pbxd.api.edge.stepping import call_of
from pbxd.api.edge.tenancy import account_of, accounts_of
from pbxd.api.edge.wishes import AccountName, EdgeWish, JsonObject, Text
from pbxd.api.house.views import View, moment
from pbxd.directory.model import Account, Aor
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.services.queues import Exit
from pbxd.services.reach import NodeContact
from pbxd.services.remote import RemoteCall
from pbxd.trace import Topic

__all__ = ["EDGE"]

MAX_EXPIRES_S = 86_400
DEFAULT_EXPIRES_S = 3_600
MAX_NOTE = 2_000


class EventType(StrEnum):
    REGISTER = "register"
    DIALOG = "dialog"
    AGENT = "agent"


class Stage(StrEnum):
    """What a dialog event says, whatever the node calls it."""

    BEGUN = "begun"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


_STAGES = {
    **dict.fromkeys(
        ("start", "started", "begin", "begun", "trying", "routing", "invite", "setup", "created"), Stage.BEGUN
    ),
    **dict.fromkeys(("ringing", "ring", "early", "proceeding", "progress", "alerting", "180", "183"), Stage.RINGING),
    **dict.fromkeys(("answered", "answer", "confirmed", "connected", "established", "up", "200"), Stage.ANSWERED),
    **dict.fromkeys(
        (
            *("ended", "end", "terminated", "hangup", "bye", "cancelled", "canceled", "cancel", "failed", "rejected"),
            *("busy", "no_answer", "timeout", "destroyed", "completed", "disconnected", "down", "released"),
        ),
        Stage.ENDED,
    ),
}
_GONE = frozenset({"unregister", "unregistered", "expired", "expire", "removed", "deleted", "offline", "gone"})
_STATUS = {"busy": 486, "no_answer": 480, "timeout": 480, "rejected": 603, "cancelled": 487, "canceled": 487}
_BY = {"caller": "caller", "callee": "callee", "uac": "caller", "uas": "callee", "house": "house", "node": "house"}


class PresenceWish(EdgeWish):
    """An event. Nodes name things in their own ways: for most fields several names are taken."""

    type: EventType
    account_id: AccountName | None = Field(default=None, description="whose; or else the domain says it")
    domain: Text | None = Field(
        default=None, validation_alias=AliasChoices("domain", "realm", "fromDomain", "from_domain")
    )
    event: Text | None = Field(
        default=None,
        validation_alias=AliasChoices("event", "state", "status", "action"),
        description="register: registered or unregistered; dialog: trying, ringing, answered or ended, or the words "
        "of RFC 4235: trying, early, confirmed, terminated",
        examples=["answered"],
    )
    node: Text = Field(default="", description="who says it")
    user: Text | None = Field(
        default=None,
        validation_alias=AliasChoices("user", "username", "aor", "extension", "userId", "user_id"),
        description="register: whose phone; a user's id or name, an extension or an AOR",
        examples=["1001"],
    )
    contact: Text | None = Field(
        default=None, description="register: where the phone is", examples=["sip:1001@192.0.2.7:5062"]
    )
    expires: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = Field(
        default=None, description="register: seconds; 0 is the end of it, without it an hour"
    )
    source: Text = Field(default="", validation_alias=AliasChoices("source", "ip", "srcIp", "src_ip"))
    user_agent: Text = Field(default="", validation_alias=AliasChoices("userAgent", "user_agent", "ua"))
    call_id: Text | None = Field(
        default=None, validation_alias=AliasChoices("callId", "call_id", "callid"), description="dialog: as for /route"
    )
    from_: Text = Field(
        default="", validation_alias=AliasChoices("from", "from_", "caller"), description="dialog: who calls"
    )
    to: Text = Field(default="", validation_alias=AliasChoices("to", "called"), description="dialog: who is called")
    code: Annotated[int, Field(ge=100, le=699)] | None = Field(
        default=None,
        validation_alias=AliasChoices("code", "sipCode", "sip_code", "sipStatus", "sip_status"),
        description="dialog: the SIP status that it ended with",
    )
    reason: Text = Field(default="", description="dialog: why, in words")
    by: Text = Field(
        default="", validation_alias=AliasChoices("by", "endedBy", "ended_by"), description="caller or callee"
    )
    media: JsonObject = Field(
        default={},
        validation_alias=AliasChoices("media", "quality"),
        description="dialog: how it sounded, for the trace",
    )
    message: Annotated[str, Field(max_length=MAX_NOTE)] = Field(
        default="", description="dialog: a line for the trace, such as the first line of a SIP message"
    )


class EventView(View):
    ok: bool = True
    type: EventType
    changed: bool = Field(description="whether that was news; false for what was said before")
    account_id: str
    id: str | None = Field(default=None, description="dialog: the id of the call in the house")
    call_id: str | None = None
    user: str | None = None
    reachable: bool | None = Field(default=None, description="register: whether a call to the user would ring now")


class ContactView(View):
    contact: str
    node: str = Field(description="empty: the house's own registrar")
    source: str
    user_agent: str
    expires_at: datetime


class UserPresenceView(View):
    user: str
    reachable: bool
    calls: int = Field(description="at nodes, that are up")
    contacts: list[ContactView]


class PresenceView(View):
    account_id: str
    users: list[UserPresenceView] = Field(description="those who are reachable or in a call")


class PresenceQuery(EdgeWish):
    account_id: AccountName


@EDGE.operation("POST", "/presence/event", tag="sip", scope=SCOPE, errors=(NotFound, Conflict))
async def take_event(edge: Edge, body: PresenceWish, identity: Identity) -> EventView:
    """Say what became of a phone or a call.

    A registration makes its user reachable until it expires. The end of a dialog ends the call: its record is written,
    what it held of the limits is free again, its trace is complete. What an agent does is as said to /agent: login,
    logout, available, pause or unpause. Saying a thing twice does no harm.
    """
    match body.type:
        case EventType.REGISTER:
            return _register(edge, body, identity)
        case EventType.DIALOG:
            return _dialog(edge, body, identity)
        case EventType.AGENT:
            return _agent(edge, body, identity)


@EDGE.operation("GET", "/presence/registrations", tag="sip", scope=SCOPE, errors=(NotFound,))
async def list_reachable(edge: Edge, query: PresenceQuery, identity: Identity) -> PresenceView:
    """List who of an account can be reached, and where: at the house and at nodes."""
    account = account_of(edge, identity, query.account_id)
    now, wall = edge.now(), edge.wall()
    contacts: dict[str, list[ContactView]] = {}
    for each in (*edge.housed(account, now), *edge.reach.of(account.id, now)):
        contacts.setdefault(each.aor.user, []).append(
            ContactView(
                contact=each.contact,
                node=each.node,
                source=each.source,
                user_agent=each.user_agent,
                expires_at=moment(wall + each.expires - now),
            )
        )
    busy = edge.calls.busy(account.id)
    return PresenceView(
        account_id=account.id,
        users=[
            UserPresenceView(
                user=user, reachable=user in contacts, calls=busy.get(user, 0), contacts=contacts.get(user, [])
            )
            for user in sorted({*contacts, *busy})
        ],
    )


def _account(edge: Edge, body: PresenceWish, identity: Identity, host: str = "") -> Account:
    """Whose event it is: as it says, as its domain says, or that of the key which it came with."""
    if body.account_id:
        return account_of(edge, identity, body.account_id)
    accounts = accounts_of(edge, identity)
    for domain in (host, body.domain or ""):
        found = next((one for one in accounts if domain and domain.lower() in one.domains), None)
        if found is not None:
            return found
    own = identity.account_id or edge.directory.default_account.id
    return account_of(edge, identity, own)


def _register(edge: Edge, body: PresenceWish, identity: Identity) -> EventView:
    if not body.user:
        raise Invalid("user: whose phone is it?")
    account = _account(edge, body, identity, split_aor(body.user)[1])
    aor = Aor(account.id, user_named(edge, account, body.user))
    now = edge.now()
    expires = DEFAULT_EXPIRES_S if body.expires is None else min(body.expires, MAX_EXPIRES_S)
    if (body.event or "").lower() in _GONE or expires == 0:
        changed = edge.reach.unregister(aor, body.contact or None) > 0
    else:
        changed = edge.reach.register(_contact(aor, body, now, expires))
    return EventView(
        type=body.type, changed=changed, account_id=account.id, user=aor.user, reachable=edge.reach.reachable(aor, now)
    )


def _contact(aor: Aor, body: PresenceWish, now: float, expires: int) -> NodeContact:
    contact = body.contact or f"sip:{aor.user}@{body.source or body.node or 'unknown'}"
    return NodeContact(aor, contact, body.node or "node", body.source, body.user_agent, now, now + expires)


def _agent(edge: Edge, body: PresenceWish, identity: Identity) -> EventView:
    if not body.user or not body.event:
        raise Invalid("user, event: which operator does what?")
    name, host = split_aor(body.user)
    account = _account(edge, body, identity, host)
    seen, changed = control_by(edge, account, name, body.event)
    return EventView(type=body.type, changed=changed, account_id=account.id, user=seen.name, reachable=seen.reachable)


def _dialog(edge: Edge, body: PresenceWish, identity: Identity) -> EventView:
    if not body.call_id:
        raise Invalid("callId: which call is it?")
    stage = _STAGES.get((body.event or "").lower())
    if stage is None:
        raise Invalid("event: a dialog is trying, ringing, answered or ended")
    call = _call(edge, body, identity)
    changed = _moved(edge, call, stage, body, edge.now())
    return EventView(
        type=body.type,
        changed=changed,
        account_id=call.record.account_id,
        id=call.record.id,
        call_id=call.name,
    )


def _call(edge: Edge, body: PresenceWish, identity: Identity) -> RemoteCall:
    """The call of an event; one that nobody asked /route about begins with it."""
    name = body.call_id or ""
    accounts = [account_of(edge, identity, body.account_id)] if body.account_id else accounts_of(edge, identity)
    found = edge.calls.find([account.id for account in accounts], name)
    if found:
        return only_one(found, "call of this name")
    account = _account(edge, body, identity)
    return call_of(edge, account.id, name, split_aor(body.from_)[0], split_aor(body.to)[0])


def _moved(edge: Edge, call: RemoteCall, stage: Stage, body: PresenceWish, now: float) -> bool:
    _trace(edge, call, body, now)
    match stage:
        case Stage.BEGUN:
            edge.calls.touch(call, now)
            return False
        case Stage.RINGING:
            return edge.calls.ringing(call, now)
        case Stage.ANSWERED:
            return edge.calls.answered(call, now)
        case Stage.ENDED:
            status = body.code or _STATUS.get((body.event or "").lower())
            by = _BY.get(body.by.lower())
            for session in edge.flows.find([call.record.account_id], call.name):
                edge.queues.left_at_node(call.record, Exit.ABANDON, session.record)
            edge.flows.forget([call.record.account_id], call.name)
            return edge.calls.end(call, now, status=status, reason=body.reason, by=by)


def _trace(edge: Edge, call: RemoteCall, body: PresenceWish, now: float) -> None:
    if call.over:
        return
    node = f" at {body.node}" if body.node else ""
    if body.message:
        edge.calls.note(call, Topic.STATE, f"sip{node}: {body.message}", now)
    if body.media:
        said = ", ".join(f"{key} {_short(value)}" for key, value in list(body.media.items())[:20])
        edge.calls.note(call, Topic.MEDIA, f"sound{node}: {said}"[:MAX_NOTE], now)


def _short(value: Any) -> str:
    return str(value)[:80]
