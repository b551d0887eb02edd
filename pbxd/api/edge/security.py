"""`/security`: who may not speak to the house and its nodes, and who always may."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasChoices, Field, StringConstraints, model_validator

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.wishes import EdgeWish, FromForm, Text, Word
from pbxd.api.house.views import View
from pbxd.directory.allowlist import Allowed
from pbxd.directory.bans import Ban, network_text, parse_network
from pbxd.directory.model import Network
from pbxd.directory.reports import MAX_BANS, ReportedBan, node_of
from pbxd.errors import Conflict, Denied, HouseError, NotFound

__all__ = ["EDGE"]

MAX_PAGE = 1000
OFTEN = 3  # the third ban of one address is worth a look


def _network(text: str) -> str:
    """Checked here, so that what is none is a 400 that names its place."""
    try:
        return network_text(parse_network(text))
    except HouseError as error:
        raise ValueError(error.message) from None


IpText = Annotated[
    str,
    StringConstraints(min_length=2, max_length=64),
    AfterValidator(_network),
    Field(description="an address, or a network such as 192.0.2.0/24", examples=["192.0.2.7"]),
]
_IP_NAMES = AliasChoices("ip", "network", "address", "cidr")


class Status(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    LIFTED = "lifted"
    ALL = "all"


class BanView(View):
    ip: str
    status: Status
    reason: str
    evidence: str
    flagged: bool = Field(
        description="worth a look: a phone is registered from there, its node says so, or it is the third ban or later"
    )
    since: int = Field(description="seconds since the epoch")
    until: int | None = Field(description="likewise; null is for good")
    hits: int = Field(description="datagrams and connections that it has kept out, here and at its node")
    node: str = Field(description="on whose word; the house enforces them all")


class BansView(View):
    bans: list[BanView]
    total: int = Field(description="how many there are, shown or not")


class BansQuery(EdgeWish):
    status: Status = Field(default=Status.ACTIVE, description="active, expired, lifted or all")
    q: Text = Field(default="", description="an address that a ban covers, or a part of its text")
    flagged: bool | None = Field(default=None, description="only those that are, or are not")
    limit: int = Field(default=200, ge=1, le=MAX_PAGE)

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, told: Any) -> Any:
        """A filter that is left empty filters nothing."""
        return {name: value for name, value in told.items() if value != ""} if isinstance(told, dict) else told


class BanWish(EdgeWish):
    """A ban of a node; an address alone will do."""

    ip: IpText = Field(validation_alias=_IP_NAMES)
    reason: Text = ""
    evidence: Text = ""
    flagged: bool = False
    since: datetime | None = Field(default=None, description="ISO 8601, or seconds since the epoch")
    until: datetime | None = None
    hits: int = Field(default=0, ge=0, le=1 << 62)


class ReportWish(EdgeWish):
    node: Word | None = Field(
        default=None,
        validation_alias=AliasChoices("node", "nodeId", "node_id"),
        description="who says so; without it the name of the key",
    )
    bans: Annotated[list[BanWish | IpText], FromForm, Field(max_length=MAX_BANS)] = Field(
        description="all that are in force there"
    )


class AllowedView(View):
    ip: str
    note: str
    by: str
    since: int | None = Field(description="seconds since the epoch; null where the configuration says so")

    @classmethod
    def of(cls, entry: Allowed) -> Self:
        return cls(ip=entry.name, note=entry.note, by=entry.made_by, since=_seconds(entry.since))


class AllowListView(View):
    allow: list[AllowedView]


class AllowedNowView(AllowedView):
    ok: bool = True
    unbanned: int = Field(default=0, description="bans that ended by this")


class SparedView(View):
    ip: str
    why: str


class ReportView(View):
    ok: bool = True
    node: str
    accepted: int
    enforced: list[str] = Field(description="whom the house keeps out as well, by this or by a ban of its own")
    spared: list[SparedView] = Field(description="whom it does not: who is allowed, and the house's trunks")
    released: list[str] = Field(description="what was lifted here: the node may lift it, too")
    allow: list[str] = Field(description="who is never banned: the node lets them in, too")


class AllowWish(EdgeWish):
    ip: IpText = Field(validation_alias=_IP_NAMES)
    note: Annotated[Text, Field(description="whose it is")] = Field(
        default="", validation_alias=AliasChoices("note", "label", "comment", "description")
    )


class AllowPath(EdgeWish):
    ip: str


@EDGE.operation("POST", "/security/report", tag="security", scope=SCOPE, errors=(Conflict, Denied))
async def report_bans(edge: Edge, body: ReportWish, identity: Identity) -> ReportView:
    """Say whom a node has banned: all of them, every half minute.

    The house bans them too, until the end that the node names, or without one for as long as its own terms say; what
    the node says no more has ended. Who is on the allow list, and a trunk, is never banned; the answer says so.
    """
    _of_the_house(edge, identity)
    node = body.node or identity.name
    bans = [_reported(one) for one in body.bans]
    judged = edge.reports.take(node, bans, edge.now(), edge.wall())
    return ReportView(
        node=node,
        accepted=len(bans),
        enforced=[network_text(network) for network in judged.enforced],
        spared=[SparedView(ip=network_text(network), why=why) for network, why in judged.spared],
        released=[network_text(network) for network in judged.released],
        allow=[entry.name for entry in edge.door.allowlist.entries],
    )


def _reported(one: BanWish | str) -> ReportedBan:
    """What does not say since when is taken to be new, the first time."""
    if isinstance(one, str):
        return ReportedBan(parse_network(one))
    return ReportedBan(
        parse_network(one.ip),
        one.reason,
        one.evidence,
        one.flagged,
        one.since.timestamp() if one.since is not None else 0.0,
        one.until.timestamp() if one.until is not None else None,
        one.hits,
    )


@EDGE.operation("GET", "/security/bans", tag="security", scope=SCOPE, errors=(Denied,))
async def list_bans(edge: Edge, query: BansQuery, identity: Identity) -> BansView:
    """List bans, newest first: those of the house, and those that it enforces because nodes report them."""
    _of_the_house(edge, identity)
    found = [view for view, network in _bans(edge) if _wanted(view, network, query)]
    found.sort(key=lambda view: view.since, reverse=True)
    return BansView(bans=found[: query.limit], total=len(found))


def _bans(edge: Edge) -> Iterator[tuple[BanView, Network]]:
    phones = edge.phones_at(edge.now())
    for ban in edge.door.bans.all():
        yield _own(edge, ban, phones), ban.network
    wall = edge.wall()
    for node, one in edge.reports.bans(edge.now()):
        own = edge.door.bans.active.get(one.network)
        over = one.until is not None and one.until <= wall
        if (own is not None and node_of(own) == node) or (own is None and not over):
            continue  # it is listed already, or the house spares it
        yield (
            BanView(
                ip=network_text(one.network),
                status=Status.EXPIRED if over else Status.ACTIVE,
                reason=one.reason,
                evidence=one.evidence,
                flagged=one.flagged,
                since=round(one.since),
                until=_seconds(one.until),
                hits=one.hits,
                node=node,
            ),
            one.network,
        )


def _own(edge: Edge, ban: Ban, phones: Collection[str]) -> BanView:
    status = Status.ACTIVE if ban.ended_at is None else Status.EXPIRED if ban.ended_by == "time" else Status.LIFTED
    said = edge.reports.said_of(ban) if status is Status.ACTIVE else None
    flagged = ban.offence >= OFTEN or _has_phone(ban.network, phones) or (said is not None and said.flagged)
    return BanView(
        ip=ban.name,
        status=status,
        reason=ban.reason,
        evidence=ban.evidence,
        flagged=flagged,
        since=round(said.since if said is not None else ban.since),
        until=_seconds(ban.ended_at if ban.ended_at is not None else ban.until),
        hits=edge.door.bans.hits(ban) + (said.hits if said is not None else 0),
        node=node_of(ban) or edge.node,
    )


def _has_phone(network: Network, phones: Collection[str]) -> bool:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address) in phones
    return any(ip_address(phone.partition("%")[0]) in network for phone in phones)


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else round(moment)


def _wanted(view: BanView, network: Network, query: BansQuery) -> bool:
    if query.status not in (Status.ALL, view.status) or query.flagged not in (None, view.flagged):
        return False
    if not query.q:
        return True
    try:
        asked = ip_network(query.q.strip(), strict=False)
    except ValueError:
        text = query.q.lower()
        return any(text in part.lower() for part in (view.ip, view.reason, view.evidence, view.node))
    same_family = asked.version == network.version
    return same_family and asked.prefixlen >= network.prefixlen and asked.network_address in network


@EDGE.operation("GET", "/security/allow", tag="security", scope=SCOPE, errors=(Denied,))
async def list_allowed(edge: Edge, identity: Identity) -> AllowListView:
    """List who is never banned."""
    _of_the_house(edge, identity)
    return AllowListView(allow=[AllowedView.of(entry) for entry in edge.door.allowlist.entries])


@EDGE.operation("POST", "/security/allow", tag="security", scope=SCOPE, errors=(Conflict, Denied))
async def allow(edge: Edge, body: AllowWish, identity: Identity) -> AllowedNowView:
    """Never ban an address or network, and end the bans inside it. Again does no harm."""
    _of_the_house(edge, identity)
    network = parse_network(body.ip)
    before = len(edge.door.bans.active)
    entry = next((one for one in edge.door.allowlist.entries if one.network == network), None)
    if entry is None:
        entry = edge.door.allow(body.ip, body.note, identity.name, edge.now())
    unbanned = before - len(edge.door.bans.active)
    return AllowedNowView.of(entry).model_copy(update={"unbanned": unbanned})


@EDGE.operation("DELETE", "/security/allow/{ip:.+}", tag="security", scope=SCOPE, errors=(NotFound, Conflict, Denied))
async def disallow(edge: Edge, path: AllowPath, identity: Identity) -> AllowedNowView:
    """Take an address or network off the list; the slash of a network may be written %2F.

    What the configuration allows is a conflict.
    """
    _of_the_house(edge, identity)
    return AllowedNowView.of(edge.door.disallow(path.ip, identity.name, edge.now()))


def _of_the_house(edge: Edge, identity: Identity) -> None:
    """The door is the house's: nodes and its own keys look after it, no other account does."""
    if identity.account_id not in (None, edge.directory.default_account.id):
        raise Denied("the door belongs to the house: this key is another account's")
