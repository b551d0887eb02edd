"""Voicemail: what holds for all mailboxes, and the mailboxes by number."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from pbxd.config.section import Count, MailAddress, Seconds, Section, Switch
from pbxd.config.values import Number

MailboxPin = Annotated[SecretStr, Field(min_length=3, max_length=12)]
WebhookUrl = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")]


class Greeting(StrEnum):
    """What a caller hears first."""

    STANDARD = "standard"
    NAME = "name"
    RECORDED = "recorded"


class Lamp(StrEnum):
    """How a phone hears of waiting messages."""

    SUBSCRIBED = "subscribed"
    UNSOLICITED = "unsolicited"


class Voicemail(Section):
    message_max_s: Annotated[Seconds, Field(le=3600)] = Field(default=180, description="the longest message")
    message_min_s: Annotated[float, Field(ge=0, le=30)] = Field(
        default=0.5, description="with less than so much sound there is no message"
    )
    silence_s: Annotated[Seconds, Field(le=60)] = Field(default=6, description="so much silence ends a message")
    greeting_max_s: Annotated[Seconds, Field(le=600)] = Field(default=60, description="the longest greeting")
    pin_tries: Annotated[Count, Field(le=100)] = Field(default=5, description="wrong PINs in a row that lock a mailbox")
    lock_s: Seconds = Field(default=900, description="how long it is locked")
    own_needs_pin: Switch = Field(default=False, description="ask for the PIN also at the owner's own phone")
    transcribe: Switch = Field(default=True, description="say in words what a message says, where that is installed")
    keep_deleted_s: Seconds = Field(default=604_800, description="how long a deleted message can be had back")


class Mailbox(Section):
    pin: MailboxPin | None = Field(default=None, description="its first PIN; null: only from the phones of its users")
    users: tuple[Number, ...] | None = Field(
        default=None, max_length=1000, description="whose it is; null: the user of its own number"
    )
    answers: Switch = Field(default=True, description="takes the calls that its user does not")
    answers_after_s: Annotated[Seconds, Field(le=600)] = Field(
        default=20, description="how long it lets the phones ring"
    )
    greeting: Greeting = Field(default=Greeting.RECORDED, description="standard, name, or recorded")
    mail: MailAddress | None = Field(default=None, description="who is mailed each message")
    attach: Switch = Field(default=True, description="with the sound")
    webhook: WebhookUrl | None = Field(default=None, description="a URL that is told of each message")
    max_messages: Annotated[Count, Field(le=10_000)] = Field(default=100, description="more are not taken")
    max_seconds: Annotated[Count, Field(le=1_000_000)] = Field(
        default=7200, description="longer altogether they are not taken"
    )

    @model_validator(mode="after")
    def _digits(self) -> Self:
        if self.pin is not None and not (
            self.pin.get_secret_value().isascii() and self.pin.get_secret_value().isdigit()
        ):
            raise ValueError("a PIN is 3 to 12 digits")
        return self
