"""Who is called: a pure function from a number to what happens to the call.

The daemon's own INVITEs, redirects and messages all ask here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pbxd.calls.record import Direction
from pbxd.directory.model import Account, Extension, ExtensionKind, Trunk, User


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
class Reject:
    """Refuse, with a SIP status and a reason in words."""

    status: int
    reason: str


Route = ToUser | ToEcho | ToHouse | ToTrunk | Reject


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
        case Reject(status=status, reason=reason):
            return f"no route ({status}): {reason}"


class Numbers(Protocol):
    """What routing asks of the directory."""

    def extension(self, account: Account, number: str) -> Extension | None: ...

    def user(self, account: Account, name: str) -> User | None: ...

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None: ...


def route(numbers: Numbers, account: Account, called: str, *, source: Trunk | None) -> Route:
    """What happens to a call for `called` in `account`, which came in by the trunk `source`, or from a phone."""
    if not called:
        return Reject(484, "no number was dialled")
    extension = numbers.extension(account, called)
    if extension is not None:
        return _to_extension(numbers, account, extension, Direction.INBOUND if source else Direction.INTERNAL)
    outbound = numbers.outbound(account, called)
    if outbound is not None and source is not None and not source.transit:
        return Reject(403, "calls of this trunk may not leave again")
    if outbound is not None:
        return ToTrunk(*outbound)
    return Reject(404, "no such number")


def _to_extension(numbers: Numbers, account: Account, extension: Extension, direction: Direction) -> Route:
    if extension.kind is ExtensionKind.ECHO:
        return ToEcho(extension, direction)
    if extension.kind is not ExtensionKind.USER:
        return ToHouse(extension, direction)
    user = numbers.user(account, extension.user or "")
    if user is None:
        return Reject(404, "the extension has no user")
    return ToUser(user, extension, direction)
