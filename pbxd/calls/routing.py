"""Who is called: a pure function from a number to what happens to the call.

The daemon's own INVITEs, redirects and messages all ask here, and nodes of the edge for theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dialplan.hours import Opening
from pbxd.calls.record import Direction
from pbxd.directory.model import (
    Account,
    Destination,
    DestinationKind,
    Extension,
    ExtensionKind,
    Number,
    QueueSpec,
    RingGroup,
    Trunk,
    User,
)

_E164 = re.compile(r"\+?([1-9][0-9]{6,14})")
Hours = Callable[[Account, str], Opening]
"""Whether a schedule of an account, by its name, is open now; one that is not there is open."""


@dataclass(frozen=True, slots=True)
class ToUser:
    """Ring all contacts of a user."""

    user: User
    extension: Extension
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToEcho:
    """Answer, and send back what is heard."""

    extension: Extension
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToHouse:
    """The house itself answers: the act for the extension's kind performs."""

    extension: Extension
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToTrunk:
    """Leave the house by a trunk, which is asked for `number`."""

    trunk: Trunk
    number: str
    direction: Direction = Direction.OUTBOUND


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Ring the phones of several users."""

    group: RingGroup
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToQueue:
    """Wait until somebody of a queue is free."""

    queue: QueueSpec
    direction: Direction


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse, with a SIP status and a reason in words."""

    status: int
    reason: str


Route = ToUser | ToEcho | ToHouse | ToTrunk | ToGroup | ToQueue | Reject


def described(found: Route) -> str:
    """A route in words, for who asks why."""
    match found:
        case ToUser(user=user, extension=extension):
            return f"{extension.number} rings the phones of user {user.name}"
        case ToEcho(extension=extension):
            return f"{extension.number} is an echo"
        case ToHouse(extension=extension):
            return f"the house itself answers {extension.number}: {extension.kind.value}"
        case ToTrunk(trunk=trunk, number=number):
            return f"a route leads to {number} by trunk {trunk.name}"
        case ToGroup(group=group):
            return f"the ring group {group.name} has {len(group.members)} users"
        case ToQueue(queue=queue):
            return f"the queue {queue.name}"
        case Reject(status=status, reason=reason):
            return f"no route ({status}): {reason}"


class Numbers(Protocol):
    """What routing asks of the directory."""

    def extension(self, account: Account, number: str) -> Extension | None: ...

    def user(self, account: Account, name: str) -> User | None: ...

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None: ...

    def number(self, e164: str) -> Number | None: ...

    def ring_group(self, account: Account, name: str) -> RingGroup | None: ...

    def queue(self, account: Account, name: str) -> QueueSpec | None: ...


def always_open(_account: Account, _schedule: str) -> Opening:
    """Of a house without hours."""
    return Opening.OPEN


def e164(text: str) -> str | None:
    """A number of the world's, with its plus; None for any other text."""
    found = _E164.fullmatch(text)
    return "+" + found[1] if found else None


def number_of_ours(numbers: Numbers, called: str) -> Number | None:
    """The number of the world's that is called, if it leads to the house; whosever it is."""
    full = e164(called)
    found = numbers.number(full) if full is not None else None
    return found if found is not None and found.active else None


def route(
    numbers: Numbers,
    account: Account,
    called: str,
    *,
    source: Trunk | None,
    hours: Hours = always_open,
    anonymous: bool = False,
) -> Route:
    """What happens to a call for `called` in `account`, which came in by the trunk `source`, or from a phone. An
    extension comes before a number of the world's, and both before what is outside."""
    if not called:
        return Reject(484, "no number was dialled")
    direction = Direction.INBOUND if source else Direction.INTERNAL
    extension = numbers.extension(account, called)
    if extension is not None:
        return _to_extension(numbers, account, extension, direction)
    number = number_of_ours(numbers, called)
    if number is not None and number.account_id == account.id:
        return inbound(numbers, account, number, hours=hours, direction=direction, anonymous=anonymous)
    return outward(numbers, account, called, source=source)


def outward(numbers: Numbers, account: Account, called: str, *, source: Trunk | None) -> Route:
    """What happens to a call for a number that is not ours."""
    found = numbers.outbound(account, called)
    if found is not None and source is not None and not source.transit:
        return Reject(403, "calls of this trunk may not leave again")
    if found is not None:
        return ToTrunk(*found)
    return Reject(404, "no such number")


def inbound(
    numbers: Numbers,
    account: Account,
    number: Number,
    *,
    hours: Hours = always_open,
    direction: Direction = Direction.INBOUND,
    anonymous: bool = False,
) -> Route:
    """What happens to a call for a number of the world's that is the account's: where it leads to at this hour."""
    if anonymous and not number.allow_anonymous:
        return Reject(433, "this number takes no anonymous calls")  # RFC 5079
    opening = hours(account, number.schedule) if number.schedule else Opening.OPEN
    wanted = number.dest
    if opening is Opening.CLOSED:
        wanted = number.closed or wanted
    elif opening is Opening.HOLIDAY:
        wanted = number.holiday or number.closed or wanted
    return _to_destination(numbers, account, number, wanted, direction)


def _to_destination(
    numbers: Numbers, account: Account, number: Number, wanted: Destination, direction: Direction
) -> Route:
    """A destination of a number. What only extensions have, the number is an extension for."""
    name = wanted.id
    match wanted.kind:
        case DestinationKind.FLOW:
            return ToHouse(_stand_in(number, ExtensionKind.FLOW, flow=name), direction)
        case DestinationKind.VOICEMAIL:
            return ToHouse(_stand_in(number, ExtensionKind.VOICEMAIL_LEAVE, mailbox=name), direction)
        case DestinationKind.USER:
            user = numbers.user(account, name)
            if user is not None:
                return ToUser(user, Extension(number.id, account.id, name, ExtensionKind.USER, name), direction)
        case DestinationKind.EXTENSION | DestinationKind.CONFERENCE:
            extension = numbers.extension(account, name)
            if extension is not None:
                return _to_extension(numbers, account, extension, direction)
        case DestinationKind.RING_GROUP:
            group = numbers.ring_group(account, name)
            if group is not None:
                return ToGroup(group, direction)
        case DestinationKind.QUEUE:
            queue = numbers.queue(account, name)
            if queue is not None:
                return ToQueue(queue, direction)
        case DestinationKind.FORWARD:
            return outward(numbers, account, name, source=None)
        case DestinationKind.HANGUP:
            return Reject(480, "this number takes no calls now")
    return Reject(404, f"the {wanted.kind.value} that this number leads to is not there")


def _stand_in(number: Number, kind: ExtensionKind, **options: str) -> Extension:
    return Extension(number.id, number.account_id, number.number, kind, options=options)


def _to_extension(numbers: Numbers, account: Account, extension: Extension, direction: Direction) -> Route:
    if extension.kind is ExtensionKind.ECHO:
        return ToEcho(extension, direction)
    if extension.kind is not ExtensionKind.USER:
        return ToHouse(extension, direction)
    user = numbers.user(account, extension.user or "")
    if user is None:
        return Reject(404, "the extension has no user")
    return ToUser(user, extension, direction)
