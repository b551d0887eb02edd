"""Who is called: a pure function from a number to what happens to the call.

The daemon's own INVITEs, redirects and messages all ask here.
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
    RingGroup,
    Trunk,
    User,
)

MAX_FORWARDS = 5  # of one call, from user to user
_OF_THE_WORLD = re.compile(r"\+?[0-9]{7,18}")  # what is shorter is a slip of the finger, or needs a route

Hours = Callable[[str, str], Opening | None]
"""(account id, name of a schedule): what it says just now; None where there is none of that name."""


def no_hours(_account_id: str, _schedule: str) -> Opening | None:
    """Of a house without schedules: everything is open."""
    return None


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
class ToGroup:
    """Ring the users of a group, together or one after the other. `extension` is the number that leads to it."""

    group: RingGroup
    users: tuple[User, ...]
    extension: Extension
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToHouse:
    """The house itself answers: the act for the extension's kind performs."""

    extension: Extension
    direction: Direction


@dataclass(frozen=True, slots=True)
class ToTrunk:
    """Leave the house by a trunk, which is asked for `number`; `by_default` where no route named it."""

    trunk: Trunk
    number: str
    direction: Direction = Direction.OUTBOUND
    by_default: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse, with a SIP status and a reason in words."""

    status: int
    reason: str


Route = ToUser | ToEcho | ToGroup | ToHouse | ToTrunk | Reject


def described(found: Route) -> str:
    """A route in words, for who asks why."""
    match found:
        case ToUser(user=user, extension=extension):
            return f"{extension.number} rings the phones of user {user.name}"
        case ToEcho(extension=extension):
            return f"{extension.number} is an echo"
        case ToGroup(group=group, extension=extension):
            return f"{extension.number} rings the group {group.name}"
        case ToHouse(extension=extension):
            return f"the house itself answers {extension.number}: {extension.kind.value}"
        case ToTrunk(trunk=trunk, number=number, by_default=True):
            return f"no route fits: the default carrier {trunk.name} takes {number}"
        case ToTrunk(trunk=trunk, number=number):
            return f"a route leads to {number} by trunk {trunk.name}"
        case Reject(status=status, reason=reason):
            return f"no route ({status}): {reason}"


class Numbers(Protocol):
    """What routing asks of the directory."""

    def extension(self, account: Account, number: str) -> Extension | None: ...

    def coded(self, account: Account, dialled: str) -> Extension | None: ...

    def user(self, account: Account, name: str) -> User | None: ...

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None: ...

    def carrier(self, account: Account) -> Trunk | None: ...

    def number(self, e164: str) -> Number | None: ...

    def ring_group(self, account: Account, name: str) -> RingGroup | None: ...


def as_e164(called: str) -> str:
    """What was dialled as the world writes it: a trunk may leave out the plus, or say 00 or 011 instead."""
    if called.startswith("+"):
        return called
    return "+" + called.removeprefix("011" if called.startswith("011") else "00")


def leaves(numbers: Numbers, account: Account, called: str, *, by_default: bool = True) -> ToTrunk | None:
    """By which trunk a number leaves the house: that of the first route that fits, or else, unless `by_default` is off,
    the default carrier. Only a number of the world's, with seven digits at least, leaves by default."""
    outbound = numbers.outbound(account, called)
    if outbound is not None:
        return ToTrunk(*outbound)
    trunk = numbers.carrier(account) if by_default and _OF_THE_WORLD.fullmatch(called) else None
    return ToTrunk(trunk, called, by_default=True) if trunk is not None else None


def number_called(numbers: Numbers, account: Account, called: str, *, default: Account) -> Number | None:
    """The number of the world's that a call of `account` is for: one of its own. A trunk of the `default` account
    carries calls to the numbers of all."""
    found = numbers.number(as_e164(called))
    return found if found is not None and (account.id in (found.account_id, default.id)) else None


def route(
    numbers: Numbers,
    account: Account,
    called: str,
    *,
    source: Trunk | None,
    hours: Hours = no_hours,
    private: bool = False,
    by_default: bool = True,
) -> Route:
    """What happens to a call for `called` in `account`, which came in by the trunk `source`, or from a phone; `private`
    where its caller hides. Without `by_default` no default carrier takes it; what came by a trunk it never does."""
    if not called:
        return Reject(484, "no number was dialled")
    direction = Direction.INBOUND if source else Direction.INTERNAL
    extension = numbers.extension(account, called) or numbers.coded(account, called)
    if extension is not None:
        return _to_extension(numbers, account, extension, direction)
    direct = numbers.number(as_e164(called))
    if direct is not None and direct.account_id == account.id:
        return _to_number(numbers, account, direct, direction, hours, private)
    outbound = leaves(numbers, account, called, by_default=by_default and source is None)
    if outbound is not None and source is not None and not source.transit:
        return Reject(403, "calls of this trunk may not leave again")
    return outbound or Reject(404, "no such number")


def onward(numbers: Numbers, account: Account, called: str, direction: Direction, *, hops: int = 0) -> Route:
    """Where a call goes on to that the account itself sends to `called`: it may leave the house, whoever called."""
    if hops >= MAX_FORWARDS:
        return Reject(482, "calls are forwarded in a circle")
    extension = numbers.extension(account, called)
    if extension is not None:
        return _to_extension(numbers, account, extension, direction, hops=hops)
    return leaves(numbers, account, called) or Reject(404, "calls are forwarded to no such number")


def _to_number(
    numbers: Numbers, account: Account, direct: Number, direction: Direction, hours: Hours, private: bool
) -> Route:
    if not direct.active:
        return Reject(404, "the number is not in service")
    if private and not direct.allow_anonymous:
        return Reject(433, "the number takes no calls of callers who hide")  # RFC 5079
    opening = hours(account.id, direct.schedule) if direct.schedule is not None else None
    wanted = direct.dest
    if opening is Opening.HOLIDAY:
        wanted = direct.holiday or direct.closed or wanted
    elif opening is Opening.CLOSED:
        wanted = direct.closed or wanted
    return destined(numbers, account, wanted, direct.number, direction)


def destined(
    numbers: Numbers, account: Account, wanted: Destination, label: str, direction: Direction, *, hops: int = 0
) -> Route:
    """What happens to a call that goes to `wanted`; `label` is the number by which it came there."""
    name = wanted.id

    def house(kind: ExtensionKind, **options: str) -> Extension:
        return Extension("", account.id, label, kind, options=options)

    match wanted.kind:
        case DestinationKind.FLOW:
            return ToHouse(house(ExtensionKind.FLOW, flow=name), direction)
        case DestinationKind.VOICEMAIL:
            return ToHouse(house(ExtensionKind.VOICEMAIL_LEAVE, mailbox=name), direction)
        case DestinationKind.USER:
            user = numbers.user(account, name)
            extension = Extension("", account.id, label, ExtensionKind.USER, name)
            return _to_user(numbers, account, user, extension, direction, hops)
        case DestinationKind.RING_GROUP:
            return _to_group(numbers, account, name, house(ExtensionKind.USER), direction)
        case DestinationKind.FORWARD:
            return onward(numbers, account, name, direction, hops=hops + 1)
        case DestinationKind.QUEUE:
            return ToHouse(house(ExtensionKind.QUEUE, queue=name), direction)
        case DestinationKind.HANGUP:
            return Reject(603, "calls to this number are not taken")
        case DestinationKind.EXTENSION | DestinationKind.CONFERENCE:
            found = numbers.extension(account, name)
            if found is None:
                return Reject(404, f"the number leads to {name}, which does not exist")
            return _to_extension(numbers, account, found, direction, hops=hops)


def _to_group(numbers: Numbers, account: Account, name: str, extension: Extension, direction: Direction) -> Route:
    group = numbers.ring_group(account, name)
    if group is None:
        return Reject(404, f"there is no ring group {name}")
    users = (numbers.user(account, member) for member in group.members)
    return ToGroup(group, tuple(user for user in users if user is not None and not user.dnd), extension, direction)


def _to_extension(
    numbers: Numbers, account: Account, extension: Extension, direction: Direction, *, hops: int = 0
) -> Route:
    if extension.kind is ExtensionKind.ECHO:
        return ToEcho(extension, direction)
    if extension.kind is not ExtensionKind.USER:
        return ToHouse(extension, direction)
    return _to_user(numbers, account, numbers.user(account, extension.user or ""), extension, direction, hops)


def _to_user(
    numbers: Numbers, account: Account, user: User | None, extension: Extension, direction: Direction, hops: int
) -> Route:
    if user is None:
        return Reject(404, "the extension has no user")
    if user.forward_always is not None:
        return onward(numbers, account, user.forward_always, direction, hops=hops + 1)
    return ToUser(user, extension, direction)
