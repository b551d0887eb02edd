"""Mailboxes and messages, in the house's own API. The sound itself is in `sound`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.door import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_of
from pbxd.api.house.views import View, Wish, moment, moment_or_none
from pbxd.errors import Conflict, Invalid, NotFound, Unavailable
from pbxd.services.voicemail import Box, Folder, GreetingKind, Message

__all__ = ["HOUSE"]

Number = Annotated[str, Field(pattern=r"^[0-9*#+]{1,32}$")]
MessageId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]


class MailboxView(View):
    number: str
    users: list[str] = Field(description="whose it is")
    new: int = Field(description="messages that nobody has heard")
    saved: int
    deleted: int = Field(description="those that can still be had back")
    urgent: int = Field(description="urgent ones among the new")
    seconds: float = Field(description="of sound in all of them")
    full: bool = Field(description="takes no more messages")
    greetings: list[GreetingKind] = Field(description="those that were recorded or uploaded")
    pin_changed: bool = Field(description="the PIN is another than the configuration's")
    locked_until: datetime | None = Field(description="after too many wrong PINs")

    @classmethod
    def of(cls, box: Box, wall: float) -> Self:
        counts, messages = box.counts, box.messages.values()
        locked = box.locked_until if box.locked_until is not None and box.locked_until > wall else None
        return cls(
            number=box.number,
            users=list(box.users),
            new=counts.new,
            saved=counts.old,
            deleted=len(box.of(Folder.DELETED)),
            urgent=counts.new_urgent,
            seconds=round(sum(one.seconds or 0.0 for one in messages), 3),
            full=box.full,
            greetings=sorted(box.greetings),
            pin_changed=box.pin_hash is not None,
            locked_until=moment_or_none(locked),
        )


class MailboxesView(View):
    mailboxes: list[MailboxView]


class MessageView(View):
    id: str
    mailbox: str
    folder: Folder
    urgent: bool
    caller: str
    caller_name: str
    call_id: str = Field(description="of the call in which it was left; empty where nobody knows")
    received_at: datetime
    seconds: float
    forwarded_by: str | None
    deleted_at: datetime | None
    transcript: str | None = Field(description="what it says, in words, where that is installed")

    @classmethod
    def of(cls, box: Box, message: Message) -> Self:
        return cls(
            id=message.id,
            mailbox=box.number,
            folder=message.folder,
            urgent=message.urgent,
            caller=message.caller,
            caller_name=message.caller_name,
            call_id=message.call_id,
            received_at=moment(message.received_at),
            seconds=message.seconds or 0.0,
            forwarded_by=message.forwarded_by,
            deleted_at=moment_or_none(message.deleted_at),
            transcript=message.transcript,
        )


class MessagesView(View):
    messages: list[MessageView]


class MailboxPath(Wish):
    number: Number


class MessagePath(Wish):
    number: Number
    id: MessageId


class MessagesQuery(AccountQuery):
    folder: Folder | None = Field(default=None, description="only those in it")


class MessageWish(Wish):
    folder: Folder | None = Field(default=None, description="saved; deleted; a deleted one is restored with saved")
    urgent: bool | None = Field(default=None, description="comes before the others")


class PinWish(Wish):
    pin: str = Field(min_length=3, max_length=12, pattern=r"^[0-9]+$", description="3 to 12 digits")


@HOUSE.operation("GET", "/voicemail", tag="voicemail", scope="voicemail:read", errors=(NotFound,))
async def list_mailboxes(house: House, query: AccountQuery, identity: Identity) -> MailboxesView:
    """List the mailboxes."""
    account = account_of(house, identity, query.account).id
    return MailboxesView(mailboxes=[MailboxView.of(box, house.wall()) for box in house.voicemail.boxes(account)])


@HOUSE.operation("GET", "/voicemail/{number}", tag="voicemail", scope="voicemail:read", errors=(NotFound,))
async def get_mailbox(house: House, path: MailboxPath, query: AccountQuery, identity: Identity) -> MailboxView:
    """Get a mailbox."""
    account = account_of(house, identity, query.account).id
    return MailboxView.of(house.voicemail.box(account, path.number), house.wall())


@HOUSE.operation("GET", "/voicemail/{number}/messages", tag="voicemail", scope="voicemail:read", errors=(NotFound,))
async def list_messages(house: House, path: MailboxPath, query: MessagesQuery, identity: Identity) -> MessagesView:
    """List the messages of a mailbox: new, saved, deleted; within each the urgent ones first, then as they came."""
    account = account_of(house, identity, query.account).id
    box = house.voicemail.box(account, path.number)
    folders = tuple(Folder) if query.folder is None else (query.folder,)
    return MessagesView(messages=[MessageView.of(box, one) for folder in folders for one in box.of(folder)])


@HOUSE.operation(
    "GET", "/voicemail/{number}/messages/{id}", tag="voicemail", scope="voicemail:read", errors=(NotFound,)
)
async def get_message(house: House, path: MessagePath, query: AccountQuery, identity: Identity) -> MessageView:
    """Get a message. Its sound is at `.../sound`."""
    account = account_of(house, identity, query.account).id
    voicemail = house.voicemail
    return MessageView.of(voicemail.box(account, path.number), voicemail.message(account, path.number, path.id))


@HOUSE.operation(
    "PATCH",
    "/voicemail/{number}/messages/{id}",
    tag="voicemail",
    scope="voicemail:write",
    errors=(NotFound, Conflict),
)
async def mark_message(
    house: House, path: MessagePath, query: AccountQuery, body: MessageWish, identity: Identity
) -> MessageView:
    """Put a message into another folder, or mark it urgent. Lamps follow."""
    account = account_of(house, identity, query.account).id
    voicemail = house.voicemail
    message = voicemail.message(account, path.number, path.id)
    if body.folder is not None:
        message = voicemail.move(account, path.number, path.id, body.folder)
    if body.urgent is not None:
        message = voicemail.mark(account, path.number, path.id, urgent=body.urgent)
    return MessageView.of(voicemail.box(account, path.number), message)


@HOUSE.operation(
    "DELETE", "/voicemail/{number}/messages/{id}", tag="voicemail", scope="voicemail:write", errors=(NotFound,)
)
async def remove_message(house: House, path: MessagePath, query: AccountQuery, identity: Identity) -> MessageView:
    """Remove a message for good, sound and all."""
    account = account_of(house, identity, query.account).id
    voicemail = house.voicemail
    return MessageView.of(voicemail.box(account, path.number), voicemail.purge(account, path.number, path.id))


@HOUSE.operation(
    "POST",
    "/voicemail/{number}/pin",
    tag="voicemail",
    scope="voicemail:write",
    errors=(NotFound, Invalid, Unavailable),
)
async def set_mailbox_pin(
    house: House, path: MailboxPath, query: AccountQuery, body: PinWish, identity: Identity
) -> MailboxView:
    """Give a mailbox another PIN, and unlock it."""
    account = account_of(house, identity, query.account).id
    return MailboxView.of(await house.voicemail.set_pin(account, path.number, body.pin), house.wall())
