"""Conferences, in the house's own API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.live import HOUSE, Heard
from pbxd.api.house.tenancy import AccountQuery, account_of
from pbxd.api.house.views import Id, View, Wish, moment
from pbxd.directory.model import Account
from pbxd.errors import NotFound, Unavailable
from pbxd.services.conferences import Attendee, Conference, ConferenceView, MemberView

__all__ = ["HOUSE"]

RoomName = Annotated[str, Field(min_length=1, max_length=64)]


class RoomMemberView(View):
    call_id: str
    caller: str
    caller_name: str
    host: bool
    muted: bool
    deaf: bool
    gain_db: float
    talking: bool
    joined_at: datetime

    @classmethod
    def of(cls, member: MemberView) -> Self:
        return cls(
            call_id=member.call_id,
            caller=member.caller,
            caller_name=member.caller_name,
            host=member.host,
            muted=member.muted,
            deaf=member.deaf,
            gain_db=round(member.gain_db, 1),
            talking=member.talking,
            joined_at=moment(member.joined_at),
        )


class RoomView(View):
    account_id: str
    name: str
    locked: bool
    recording: str | None = Field(description="the id of the recording that goes on")
    opened_at: datetime
    waiting: int = Field(description="how many wait for a host")
    members: list[RoomMemberView]

    @classmethod
    def of(cls, seen: ConferenceView) -> Self:
        return cls(
            account_id=seen.account_id,
            name=seen.name,
            locked=seen.locked,
            recording=seen.recording,
            opened_at=moment(seen.opened_at),
            waiting=seen.waiting,
            members=[RoomMemberView.of(one) for one in seen.members],
        )


class RoomsView(View):
    conferences: list[RoomView]


class RoomPath(Wish):
    room: RoomName


class RoomMemberPath(Wish):
    room: RoomName
    call: Id


class ChangeRoom(Wish):
    locked: bool | None = Field(None, description="whether nobody but hosts comes in; null leaves it")
    muted: bool | None = Field(None, description="mutes everybody but the hosts, or lets all speak; null leaves it")
    recording: bool | None = Field(None, description="whether it is recorded; null leaves it")


class ChangeMember(Wish):
    muted: bool | None = Field(None, description="null leaves it")
    deaf: bool | None = Field(None, description="whether it hears nobody; null leaves it")
    gain_db: float | None = Field(None, ge=-24, le=12, description="how loud the others hear it; null leaves it")


class PlayedView(View):
    members: int = Field(description="how many are there to hear it")


@HOUSE.operation("GET", "/conferences", tag="conferences", scope="conferences:read", errors=(NotFound,))
async def list_conferences(house: House, query: AccountQuery, identity: Identity) -> RoomsView:
    """List the conferences that somebody is in."""
    account = account_of(house, identity, query.account)
    mine = (one for one in house.conferences if one.account_id == account.id)
    return RoomsView(conferences=[RoomView.of(one.view()) for one in mine])


@HOUSE.operation("GET", "/conferences/{room}", tag="conferences", scope="conferences:read", errors=(NotFound,))
async def get_conference(house: House, path: RoomPath, query: AccountQuery, identity: Identity) -> RoomView:
    """Get a conference with its members."""
    return RoomView.of(_room(house, account_of(house, identity, query.account), path.room).view())


@HOUSE.operation(
    "PATCH", "/conferences/{room}", tag="conferences", scope="conferences:write", errors=(NotFound, Unavailable)
)
async def change_conference(
    house: House, path: RoomPath, query: AccountQuery, body: ChangeRoom, identity: Identity
) -> RoomView:
    """Lock or unlock a conference, mute all, record it."""
    conference = _room(house, account_of(house, identity, query.account), path.room)
    if body.recording is not None:
        conference.record(body.recording)
    if body.locked is not None:
        conference.lock(body.locked)
    if body.muted is not None:
        conference.mute_all(body.muted)
    return RoomView.of(conference.view())


@HOUSE.operation("POST", "/conferences/{room}/play", tag="conferences", scope="conferences:write", errors=(NotFound,))
async def play_to_conference(
    house: House, path: RoomPath, query: AccountQuery, body: Heard, identity: Identity
) -> PlayedView:
    """Play words or a prompt to all in a conference."""
    conference = _room(house, account_of(house, identity, query.account), path.room)
    conference.play(body.line)
    return PlayedView(members=len(conference))


@HOUSE.operation("POST", "/conferences/{room}/end", tag="conferences", scope="conferences:write", errors=(NotFound,))
async def end_conference(house: House, path: RoomPath, query: AccountQuery, identity: Identity) -> RoomView:
    """End a conference: all hear so and are hung up. The answer is the conference as it was."""
    conference = _room(house, account_of(house, identity, query.account), path.room)
    seen = conference.view()
    conference.end()
    house.flush()
    return RoomView.of(seen)


@HOUSE.operation(
    "PATCH", "/conferences/{room}/members/{call}", tag="conferences", scope="conferences:write", errors=(NotFound,)
)
async def change_member(
    house: House, path: RoomMemberPath, query: AccountQuery, body: ChangeMember, identity: Identity
) -> RoomView:
    """Mute a member, make it deaf, or turn it up and down."""
    conference, member = _member(house, account_of(house, identity, query.account), path)
    if body.muted is not None:
        conference.mute(member, body.muted)
    if body.deaf is not None:
        conference.deafen(member, body.deaf)
    if body.gain_db is not None:
        conference.turn(member, body.gain_db)
    return RoomView.of(conference.view())


@HOUSE.operation(
    "DELETE",
    "/conferences/{room}/members/{call}",
    tag="conferences",
    scope="conferences:write",
    status=204,
    errors=(NotFound,),
)
async def remove_member(house: House, path: RoomMemberPath, query: AccountQuery, identity: Identity) -> None:
    """Remove a member: it hears so and is hung up."""
    conference, member = _member(house, account_of(house, identity, query.account), path)
    conference.kick(member)
    house.flush()


def _room(house: House, account: Account, name: str) -> Conference:
    found = house.conferences.get(account.id, name)
    if found is None:
        raise NotFound("nobody is in a conference of that name")
    return found


def _member(house: House, account: Account, path: RoomMemberPath) -> tuple[Conference, Attendee]:
    found = house.conferences.attendee(account.id, path.room, path.call)
    if found is None:
        raise NotFound("there is no such member in the conference")
    return found
