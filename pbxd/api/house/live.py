"""Calls that are up, taken in hand: played to, muted, held, listened to."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from media.library import NAME
from media.script import Line, Prompt, Speech
from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.recordings import HOUSE
from pbxd.api.house.tenancy import AccountQuery, call_of
from pbxd.api.house.views import CallPath, Id, View, Wish
from pbxd.calls.record import Role
from pbxd.errors import Conflict, NotFound, Overloaded, Unavailable
from pbxd.services.live import ListenerView, ListenMode, LiveView

__all__ = ["HOUSE", "Heard"]

MAX_TEXT = 2000


class Heard(Wish):
    """Something to be heard: exactly one of `text` and `prompt`."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, description="words for the house's voice"
    )
    prompt: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")] | None = Field(
        None, description="a prompt of the library: your recording of that name, or the house's words"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) is (self.prompt is None):
            raise ValueError("say either text or prompt")
        return self

    @property
    def line(self) -> Line:
        return Speech(self.text) if self.text is not None else Prompt(self.prompt or "")


class PlayWish(Heard):
    to: Role | None = Field(None, description="one side; null is all of the call")
    loop: bool = Field(False, description="again and again until it is stopped")
    gain_db: float = Field(0.0, ge=-40, le=12, description="louder or quieter than it is")


class PlayView(View):
    id: str = Field(description="to stop it with", examples=["play_01j…"])


class StopWish(Wish):
    play: Id | None = Field(None, description="the id of one; null stops all")


class StoppedView(View):
    stopped: int = Field(description="how many things were being played")


class MuteWish(Wish):
    side: Role
    muted: bool = Field(description="whether nobody hears that side")


class HoldWish(Wish):
    side: Role
    held: bool = Field(description="whether that side hears music, and nobody hears it")


class ListenWish(Wish):
    extension: Annotated[str, Field(pattern=r"^[0-9*#+]{1,32}$")] = Field(description="whose phones are called")
    mode: ListenMode = Field(
        ListenMode.MONITOR, description="monitor is heard by nobody, whisper by one side, barge by both"
    )
    side: Role = Field(Role.CALLEE, description="which side hears the whisper")


class ChangeListener(Wish):
    mode: ListenMode
    side: Role = Field(Role.CALLEE, description="which side hears the whisper")


class ListenerPath(Wish):
    id: Id
    listener: Id


class ListenerRow(View):
    call_id: str = Field(description="of the call to the phone that listens")
    extension: str
    mode: ListenMode
    side: Role
    answered: bool

    @classmethod
    def of(cls, seen: ListenerView) -> Self:
        return cls(
            call_id=seen.call_id, extension=seen.extension, mode=seen.mode, side=seen.side, answered=seen.answered
        )


class SoundView(View):
    call_id: str
    muted: list[Role]
    held: list[Role]
    playing: list[str] = Field(description="ids of what is being played")
    listeners: list[ListenerRow]

    @classmethod
    def of(cls, seen: LiveView) -> Self:
        return cls(
            call_id=seen.call_id,
            muted=list(seen.muted),
            held=list(seen.held),
            playing=list(seen.playing),
            listeners=[ListenerRow.of(one) for one in seen.listeners],
        )


@HOUSE.operation("GET", "/calls/{id}/sound", tag="live", scope="calls:read", errors=(NotFound,))
async def get_sound(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> SoundView:
    """Get what is done to the sound of a call: who is muted, held or listens, what is played."""
    return SoundView.of(house.live.view(call_of(house, identity, query.account, path.id).id))


@HOUSE.operation(
    "POST", "/calls/{id}/play", tag="live", scope="calls:write", status=201, errors=(NotFound, Conflict, Unavailable)
)
async def play(house: House, path: CallPath, query: AccountQuery, body: PlayWish, identity: Identity) -> PlayView:
    """Play words or a prompt into a call, to one side or all.

    What is said meanwhile is heard as well. A prompt that nobody recorded and the house has no words for is not found.
    """
    call_id = call_of(house, identity, query.account, path.id).id
    made = await house.live.play(call_id, [body.line], body.to, loop=body.loop, gain_db=body.gain_db)
    return PlayView(id=made)


@HOUSE.operation("POST", "/calls/{id}/play/stop", tag="live", scope="calls:write", errors=(NotFound,))
async def stop_playing(
    house: House, path: CallPath, query: AccountQuery, body: StopWish, identity: Identity
) -> StoppedView:
    """Stop what is being played into a call."""
    call_id = call_of(house, identity, query.account, path.id).id
    return StoppedView(stopped=house.live.stop(call_id, body.play))


@HOUSE.operation("POST", "/calls/{id}/mute", tag="live", scope="calls:write", errors=(NotFound, Conflict))
async def mute(house: House, path: CallPath, query: AccountQuery, body: MuteWish, identity: Identity) -> SoundView:
    """Mute a side of a call, or let it be heard again. Its phone is not told."""
    call_id = call_of(house, identity, query.account, path.id).id
    return SoundView.of(house.live.mute(call_id, body.side, body.muted))


@HOUSE.operation("POST", "/calls/{id}/hold", tag="live", scope="calls:write", errors=(NotFound, Conflict))
async def hold(house: House, path: CallPath, query: AccountQuery, body: HoldWish, identity: Identity) -> SoundView:
    """Let a side of a call hear the music on hold and nobody hear it, or take it back."""
    call_id = call_of(house, identity, query.account, path.id).id
    return SoundView.of(house.live.hold(call_id, body.side, body.held))


@HOUSE.operation(
    "POST",
    "/calls/{id}/listen",
    tag="live",
    scope="calls:listen",
    status=201,
    errors=(NotFound, Conflict, Overloaded, Unavailable),
)
async def listen(house: House, path: CallPath, query: AccountQuery, body: ListenWish, identity: Identity) -> SoundView:
    """Listen in: the house calls that extension's phones, and who answers is in the call.

    It ends when either of the two calls ends. A call that the house itself answered cannot be listened to.
    """
    call_id = call_of(house, identity, query.account, path.id).id
    seen = house.live.listen_in(call_id, body.extension, body.mode, body.side)
    house.flush()
    return SoundView.of(seen)


@HOUSE.operation(
    "PATCH", "/calls/{id}/listeners/{listener}", tag="live", scope="calls:listen", errors=(NotFound, Conflict)
)
async def change_listener(
    house: House, path: ListenerPath, query: AccountQuery, body: ChangeListener, identity: Identity
) -> SoundView:
    """Change how somebody listens in, at once."""
    call_id = call_of(house, identity, query.account, path.id).id
    return SoundView.of(house.live.change_listener(call_id, path.listener, body.mode, body.side))


@HOUSE.operation(
    "DELETE", "/calls/{id}/listeners/{listener}", tag="live", scope="calls:listen", status=204, errors=(NotFound,)
)
async def end_listener(house: House, path: ListenerPath, query: AccountQuery, identity: Identity) -> None:
    """Hang up who listens in."""
    call_id = call_of(house, identity, query.account, path.id).id
    house.live.end_listener(call_id, path.listener)
    house.flush()
