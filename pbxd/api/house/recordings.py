"""Recordings, in the house's own API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field

from pbxd.api.contract import Download, Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.deliveries import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_seen, call_of
from pbxd.api.house.views import CallPath, Id, View, Wish, moment, moment_or_none
from pbxd.config.recordings import RecordingFormat, RecordingNotice
from pbxd.errors import Conflict, NotFound, Unavailable
from pbxd.services.recordings import (
    MAX_PAGE,
    Channels,
    Recorded,
    RecordingFilter,
    RecordingState,
    RecordingWish,
)

__all__ = ["HOUSE"]

CONTENT_TYPES = {RecordingFormat.WAV: "audio/wav", RecordingFormat.OPUS: "audio/ogg; codecs=opus"}


class RecordingView(View):
    id: str
    account_id: str
    call_id: str | None = Field(description="of the call; null for that of a conference")
    room: str | None = Field(description="the conference; null for that of a call")
    channels: Channels = Field(description="stereo has the caller left and the callee right")
    format: RecordingFormat = Field(description="what it is kept as; while it is not finished, what it will be")
    state: RecordingState = Field(
        description="`finishing` is being checked or compressed, `cut` ended before it should have, `lost` has no sound"
    )
    reason: str | None = Field(description="why it ended", examples=["the call ended", "the disk is full"])
    started_at: datetime
    ended_at: datetime | None
    seconds: float = Field(description="of sound, without its pauses")
    octets: int = Field(description="of the file")
    sha256: str | None = Field(description="of the file, in hex, once it is finished")

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        return cls(
            id=recorded.id,
            account_id=recorded.account_id,
            call_id=recorded.call_id or None,
            room=recorded.room or None,
            channels=recorded.channels,
            format=recorded.format,
            state=recorded.state,
            reason=recorded.reason or None,
            started_at=moment(recorded.started_at),
            ended_at=moment_or_none(recorded.ended_at),
            seconds=recorded.seconds,
            octets=recorded.octets,
            sha256=recorded.sha256,
        )


class RecordingsView(View):
    recordings: list[RecordingView]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class StartRecording(Wish):
    channels: Channels | None = Field(None, description="null is what the configuration says")
    format: RecordingFormat | None = Field(None, description="null is what the configuration says")
    announce: RecordingNotice | None = Field(None, description="null is what the configuration says")


class RecordingPath(Wish):
    id: Id


class RecordingQuery(AccountQuery):
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="how many at most")
    cursor: Id | None = Field(None, description="`next` of the page before")
    call: Id | None = Field(None, description="only those of this call")
    room: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="only those of this conference"
    )
    state: RecordingState | None = Field(None, description="only those in this state")
    since: datetime | None = Field(None, description="only those that began then or later; UTC where no zone is given")
    until: datetime | None = Field(None, description="only those that began before")


@HOUSE.operation(
    "POST",
    "/calls/{id}/recording",
    tag="recordings",
    scope="recordings:write",
    status=201,
    errors=(NotFound, Conflict, Unavailable),
)
async def start_recording(
    house: House, path: CallPath, query: AccountQuery, body: StartRecording, identity: Identity
) -> RecordingView:
    """Record a call from now on.

    A call that is not answered, is an echo or is being recorded already is a conflict; where the disk has too little
    room it is 503. `caller` or `callee` as channels records what that side says and nothing else.
    """
    wish = RecordingWish(channels=body.channels, format=body.format, announce=body.announce)
    return RecordingView.of(house.recordings.begin(call_of(house, identity, query.account, path.id).id, wish))


@HOUSE.operation(
    "POST", "/calls/{id}/recording/pause", tag="recordings", scope="recordings:write", errors=(NotFound, Conflict)
)
async def pause_recording(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> RecordingView:
    """Pause the recording of a call.

    Nothing of what is said until it goes on is written anywhere: for the digits of a credit card, say.
    """
    return RecordingView.of(house.recordings.pause(call_of(house, identity, query.account, path.id).id))


@HOUSE.operation(
    "POST",
    "/calls/{id}/recording/resume",
    tag="recordings",
    scope="recordings:write",
    errors=(NotFound, Conflict, Unavailable),
)
async def resume_recording(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> RecordingView:
    """Let a paused recording go on, in the same file."""
    return RecordingView.of(house.recordings.resume(call_of(house, identity, query.account, path.id).id))


@HOUSE.operation("POST", "/calls/{id}/recording/stop", tag="recordings", scope="recordings:write", errors=(NotFound,))
async def stop_recording(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> RecordingView:
    """Stop recording a call; the call goes on, and may be recorded anew."""
    return RecordingView.of(house.recordings.end(call_of(house, identity, query.account, path.id).id))


@HOUSE.operation("GET", "/recordings", tag="recordings", scope="recordings:read", errors=(NotFound,))
async def list_recordings(house: House, query: RecordingQuery, identity: Identity) -> RecordingsView:
    """List recordings, newest first, those that go on included.

    Pass `next` as `cursor` to get the page after. A key that may do everything in the house sees those of all
    accounts, unless it names one.
    """
    wanted = RecordingFilter(
        limit=query.limit,
        before=query.cursor,
        call_id=query.call,
        room=query.room,
        state=query.state,
        since=_seconds(query.since),
        until=_seconds(query.until),
        account_id=account_seen(house, identity, query.account),
    )
    found = await house.recordings.page(wanted)
    more = found[-1].id if len(found) == query.limit else None
    return RecordingsView(recordings=[RecordingView.of(one) for one in found], next=more)


@HOUSE.operation("GET", "/recordings/{id}", tag="recordings", scope="recordings:read", errors=(NotFound,))
async def get_recording(house: House, path: RecordingPath, query: AccountQuery, identity: Identity) -> RecordingView:
    """Get what is known of a recording."""
    return RecordingView.of(await _found(house, path.id, account_seen(house, identity, query.account)))


@HOUSE.operation(
    "GET", "/recordings/{id}/audio", tag="recordings", scope="recordings:read", errors=(NotFound, Conflict)
)
async def get_recording_audio(house: House, path: RecordingPath, query: AccountQuery, identity: Identity) -> Download:
    """Get the sound of a recording that is finished.

    Byte ranges and conditional requests are understood; `Repr-Digest` has the SHA-256 of the whole file.
    """
    found = await _found(house, path.id, account_seen(house, identity, query.account))
    recorded, file = await house.recordings.file(found.id)
    return Download(file, CONTENT_TYPES[recorded.format], file.name, recorded.sha256)


@HOUSE.operation(
    "DELETE",
    "/recordings/{id}",
    tag="recordings",
    scope="recordings:write",
    status=204,
    errors=(NotFound, Conflict, Unavailable),
)
async def delete_recording(house: House, path: RecordingPath, query: AccountQuery, identity: Identity) -> None:
    """Delete a recording for good, the file and what is known of it. One that is not finished is a conflict."""
    found = await _found(house, path.id, account_seen(house, identity, query.account))
    await house.recordings.delete(found.id)


async def _found(house: House, recording_id: str, seen: str | None) -> Recorded:
    """Raises NotFound, which is the same for one of another account."""
    recorded = await house.recordings.find(recording_id)
    if seen not in (None, recorded.account_id):
        raise NotFound("there is no such recording")
    return recorded


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
