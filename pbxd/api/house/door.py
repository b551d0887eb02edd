"""Bans, the allow list and the slower road, in the house's own API."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.deliveries import HOUSE
from pbxd.api.house.views import Id, View, Wish, moment, moment_or_none
from pbxd.directory.allowlist import Allowed
from pbxd.directory.bans import Ban, parse_network
from pbxd.directory.evidence import Cause
from pbxd.errors import Conflict, Invalid, NotFound

MAX_PAGE = 1000
YEAR_S = 31_536_000
PLAIN = r"^[^\x00-\x1f\x7f]*$"

NetworkText = Annotated[str, Field(min_length=2, max_length=64, examples=["192.0.2.7", "2001:db8::/32"])]
Text = Annotated[str, Field(max_length=200, pattern=PLAIN)]

__all__ = ["HOUSE"]


class BanState(StrEnum):
    ACTIVE = "active"
    ENDED = "ended"
    ALL = "all"


class BanView(View):
    id: str
    network: str = Field(description="an address, or a network", examples=["192.0.2.7"])
    cause: Cause
    reason: str
    evidence: str = Field(description="what it did")
    made_by: str = Field(description="`house`, or the name of a key")
    since: datetime
    until: datetime | None = Field(description="null is for good")
    offence: int = Field(description="which ban of this network it is")
    hits: int = Field(description="datagrams and connections it has kept out")
    ended_at: datetime | None
    ended_by: str | None = Field(description="`time`, `room` or the name of a key")

    @classmethod
    def of(cls, ban: Ban, hits: int) -> Self:
        return cls(
            id=ban.id,
            network=ban.name,
            cause=ban.cause,
            reason=ban.reason,
            evidence=ban.evidence,
            made_by=ban.made_by,
            since=moment(ban.since),
            until=moment_or_none(ban.until),
            offence=ban.offence,
            hits=hits,
            ended_at=moment_or_none(ban.ended_at),
            ended_by=ban.ended_by,
        )


class BansView(View):
    bans: list[BanView]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class BanQuery(Wish):
    state: BanState = Field(BanState.ACTIVE, description="which bans")
    cause: Cause | None = Field(None, description="only those for this")
    network: NetworkText | None = Field(None, description="only those that an address lies in, or of this network")
    limit: int = Field(200, ge=1, le=MAX_PAGE, description="how many at most")
    cursor: Id | None = Field(None, description="`next` of the page before")


class BanWish(Wish):
    network: NetworkText
    duration_s: float | None = Field(None, gt=0, le=YEAR_S, description="null is for good")
    reason: Text = ""


class LiftWish(Wish):
    network: NetworkText


class BanPath(Wish):
    id: Id


class AllowedView(View):
    network: str
    note: str
    made_by: str = Field(description="`configuration`, or the name of a key")
    since: datetime | None

    @classmethod
    def of(cls, entry: Allowed) -> Self:
        return cls(network=entry.name, note=entry.note, made_by=entry.made_by, since=moment_or_none(entry.since))


class AllowedListView(View):
    allowed: list[AllowedView]


class AllowWish(Wish):
    network: NetworkText
    note: Text = ""


class AllowedQuery(Wish):
    network: NetworkText


class SlowedView(View):
    network: str
    cause: Cause
    evidence: str
    since: datetime
    until: datetime


class MisconfiguredView(View):
    source: str
    username: str
    failures: int
    first: datetime
    last: datetime


class SlowerRoadView(View):
    slowed: list[SlowedView] = Field(description="sources with a smaller budget of datagrams")
    misconfigured: list[MisconfiguredView] = Field(
        description="users that hear 403 at once, because their password was wrong again and again"
    )


@HOUSE.operation("GET", "/security/bans", tag="security", scope="security:read", errors=(Invalid,))
async def list_bans(house: House, query: BanQuery) -> BansView:
    """List bans, newest first.

    Pass `next` as `cursor` to get the page after.
    """
    bans = [ban for ban in house.door.bans.all() if _wanted(ban, query)]
    page = bans[: query.limit]
    more = page[-1].id if len(bans) > len(page) else None
    return BansView(bans=[_shown(house, ban) for ban in page], next=more)


def _wanted(ban: Ban, query: BanQuery) -> bool:
    if query.state is not BanState.ALL and (query.state is BanState.ACTIVE) is not (ban.ended_at is None):
        return False
    if query.cause not in (None, ban.cause) or (query.cursor is not None and ban.id >= query.cursor):
        return False
    if query.network is None:
        return True
    asked = parse_network(query.network)
    same_family = asked.version == ban.network.version
    return same_family and asked.prefixlen >= ban.network.prefixlen and asked.network_address in ban.network


def _shown(house: House, ban: Ban) -> BanView:
    return BanView.of(ban, house.door.bans.hits(ban))


@HOUSE.operation("GET", "/security/bans/{id}", tag="security", scope="security:read", errors=(NotFound,))
async def get_ban(house: House, path: BanPath) -> BanView:
    """Get a ban, in force or ended."""
    ban = house.door.bans.find(path.id)
    if ban is None:
        raise NotFound("there is no such ban")
    return _shown(house, ban)


@HOUSE.operation(
    "POST", "/security/bans", tag="security", scope="security:write", status=201, errors=(Invalid, Conflict)
)
async def ban_network(house: House, body: BanWish, identity: Identity) -> BanView:
    """Ban an address or a network.

    A ban of the same network that is in force is replaced. What belongs to a trunk, or is allowed, is a conflict; such
    addresses within a wider network stay reachable.
    """
    ban = house.door.ban(body.network, body.duration_s, body.reason, identity.name, house.now())
    return _shown(house, ban)


@HOUSE.operation("DELETE", "/security/bans/{id}", tag="security", scope="security:write", errors=(NotFound,))
async def lift_ban(house: House, path: BanPath, identity: Identity) -> BanView:
    """Lift a ban. The next one of this network is not longer for it."""
    return _shown(house, house.door.lift(path.id, identity.name, house.now()))


@HOUSE.operation("POST", "/security/unban", tag="security", scope="security:write", errors=(NotFound,))
async def unban_network(house: House, body: LiftWish, identity: Identity) -> BanView:
    """Lift the ban of an address or network, named as the list names it."""
    return _shown(house, house.door.lift(body.network, identity.name, house.now()))


@HOUSE.operation("GET", "/security/allowed", tag="security", scope="security:read")
async def list_allowed(house: House) -> AllowedListView:
    """List the networks that are never banned. Trunks are not, either, and have a list of their own."""
    return AllowedListView(allowed=[AllowedView.of(entry) for entry in house.door.allowlist.entries])


@HOUSE.operation(
    "POST", "/security/allowed", tag="security", scope="security:write", status=201, errors=(Invalid, Conflict)
)
async def allow_network(house: House, body: AllowWish, identity: Identity) -> AllowedView:
    """Never ban an address or network. Bans of it, and of what lies in it, end."""
    return AllowedView.of(house.door.allow(body.network, body.note, identity.name, house.now()))


@HOUSE.operation(
    "DELETE", "/security/allowed", tag="security", scope="security:write", errors=(Invalid, NotFound, Conflict)
)
async def disallow_network(house: House, query: AllowedQuery, identity: Identity) -> AllowedView:
    """Take a network off the list. What the configuration allows is a conflict."""
    return AllowedView.of(house.door.disallow(query.network, identity.name, house.now()))


@HOUSE.operation("GET", "/security/slowed", tag="security", scope="security:read")
async def list_slowed(house: House) -> SlowerRoadView:
    """List who is on the slower road: sources with a smaller budget, and phones with a wrong password."""
    offset = house.wall() - house.now()
    return SlowerRoadView(
        slowed=[
            SlowedView(
                network=each.name,
                cause=each.cause,
                evidence=each.evidence,
                since=moment(offset + each.since),
                until=moment(offset + each.ends),
            )
            for each in house.door.slowed()
        ],
        misconfigured=[
            MisconfiguredView(
                source=each.source,
                username=each.username,
                failures=each.failures,
                first=moment(offset + each.first),
                last=moment(offset + each.last),
            )
            for each in house.door.misconfigured()
        ],
    )
