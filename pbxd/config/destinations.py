"""What a number may lead to besides a phone: another number, the house itself, a conference."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from media.fax import FaxMode
from pbxd.config.section import Name, Section, Switch
from pbxd.config.values import MusicFolder, Number

PromptName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}(/[a-z0-9][a-z0-9_-]{0,63}){0,3}$")]
FlowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Pin = Annotated[str, Field(pattern=r"^[0-9]{3,12}$")]
Members = Annotated[int, Field(strict=True, ge=2, le=1000)]


class Announce(StrEnum):
    """How those in a conference hear who comes and goes."""

    NONE = "none"
    BEEP = "beep"
    NAME = "name"


class Listening(StrEnum):
    """Whose messages a number plays."""

    OWN = "own"
    ANY = "any"


class FaxEnd(Section):
    mode: FaxMode = Field(default=FaxMode.AUTO, description="auto goes over to T.38; t38 needs it; g711; passthrough")


class Extension(Section):
    echo: Switch = Field(default=False, description="says back what it hears")
    user: Number | None = Field(default=None, description="rings the phones of this user")
    digits: Switch = Field(default=False, description="reads back the digits that are pressed")
    play: PromptName | None = Field(default=None, description="plays this prompt and hangs up")
    caller: Switch = Field(default=False, description="says the caller's number and hangs up")
    flow: FlowName | None = Field(default=None, description="begins this call flow")
    queue: Name | None = Field(default=None, description="waits in this queue")
    operator: Switch = Field(default=False, description="logs operators of queues in and out, by their phones")
    listen: Switch = Field(
        default=False,
        description="with a phone's number behind it, listens in on its call: for users who may (listen_in)",
    )

    voicemail: Listening | None = Field(
        default=None, description="plays messages: of the caller's own mailbox, or of any, with its PIN"
    )
    mailbox: Number | None = Field(default=None, description="takes a message for this mailbox")

    fax: FaxEnd | None = Field(default=None, description="receives faxes")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        words = (self.user, self.play, self.voicemail, self.mailbox, self.flow, self.queue, self.fax)
        kinds = (self.echo, self.digits, self.caller, self.operator, self.listen, *(word is not None for word in words))
        if sum(kinds) != 1:
            raise ValueError(
                "an extension is one of echo: true, user: NUMBER, digits: true, play: PROMPT, caller: true, "
                "voicemail: own or any, mailbox: NUMBER, flow: NAME, queue: NAME, operator: true, "
                "listen: true, fax: {mode: auto}"
            )
        return self


class Conference(Section):
    pin: Pin | None = Field(default=None, description="what members enter; null lets everybody in")
    host_pin: Pin | None = Field(default=None, description="what its host enters, who may do more")
    wait_for_host: Switch = Field(default=False, description="members hear music until a host is there")
    max_members: Members = Field(default=100, description="who comes later is told that it is full")
    announce: Announce = Field(default=Announce.BEEP, description="none, beep, or name: asked for and played to all")
    muted: Switch = Field(default=False, description="members join muted; *1 changes it")
    record: Switch = Field(default=False, description="record it from the first member to the last")
    music: MusicFolder | None = Field(
        default=None, description="a folder of its own: a path, or the name of one in the music of the account"
    )

    @model_validator(mode="after")
    def _pins(self) -> Self:
        if self.host_pin is not None and self.host_pin == self.pin:
            raise ValueError("pin and host_pin are the same: nobody could tell a host")
        if self.wait_for_host and self.host_pin is None:
            raise ValueError("wait_for_host needs a host_pin: nobody could be its host")
        return self
