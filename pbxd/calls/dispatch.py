"""Where a call on a node of the edge goes: pure, by the same rules as the house's own calls (routing.route).

Whoever calls, a number of ours leads to where it leads. All else is for phones of an account alone: their node has
asked for a password before, and says so by naming user and domain.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Protocol

from pbxd.calls.record import Direction
from pbxd.calls.routing import Hours, Numbers, Reject, Route, ToTrunk, as_e164, no_hours, route
from pbxd.directory.model import Account, Aor, User

_NOBODY = frozenset({"", "anonymous", "unknown", "restricted"})
_WITHOUT_PLUS = re.compile(r"[1-9][0-9]{6,14}")


class Accounts(Numbers, Protocol):
    """What else is asked of the directory."""

    def account(self, account_id: str) -> Account | None: ...

    def aor(self, account: Account, name: str) -> Aor | None: ...

    def is_foreign(self, account: Account, host: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as its node tells it: user part and domain of who calls, user part of who is called, and the domain behind
    that, where there was one."""

    caller: str
    domain: str
    called: str
    called_domain: str = ""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Whose call it is, who of the account calls (None for the world), and where it goes. `caller_cid` is the number
    that the called side may see."""

    account: Account
    caller: User | None
    called: str
    direction: Direction
    route: Route
    caller_cid: str


def dispatch(
    directory: Accounts,
    accounts: Collection[Account],
    asked: Asked,
    *,
    default: Account | None = None,
    hours: Hours = no_hours,
) -> Dispatch | None:
    """Where a call goes. Only `accounts` are served; `default` is whose a call is that names no domain. None: it is
    nobody's, and there is nobody to tell."""
    home = _home(accounts, asked.domain, default)
    caller = _caller(directory, home, asked.caller)
    cid = (caller.out_cid_number if caller is not None else None) or asked.caller
    number = directory.number(as_e164(asked.called)) if asked.called else None
    owner = next((one for one in accounts if number is not None and one.id == number.account_id), None)
    if number is not None and owner is not None and not _is_extension(directory, home, asked.called):
        private = asked.caller.lower() in _NOBODY
        found = route(directory, owner, number.number, source=None, hours=hours, private=private)
        if not isinstance(found, Reject | ToTrunk):
            found = replace(found, direction=Direction.INBOUND)
        return Dispatch(owner, caller, number.number, Direction.INBOUND, found, cid)
    if home is None:
        return None
    if caller is None:
        stranger = Reject(403, "the caller is no user of this domain")
        return Dispatch(home, None, asked.called, Direction.INBOUND, stranger, cid)
    if asked.called_domain and directory.is_foreign(home, asked.called_domain):
        foreign = Reject(404, "the number is one of another account")
        return Dispatch(home, caller, asked.called, Direction.INTERNAL, foreign, cid)
    bare = _WITHOUT_PLUS.fullmatch(asked.called) is not None
    found = route(directory, home, asked.called, source=None, hours=hours, by_default=not bare)
    if isinstance(found, Reject) and bare:
        found = route(directory, home, "+" + asked.called, source=None, hours=hours)
    direction = Direction.INTERNAL if isinstance(found, Reject) else found.direction
    return Dispatch(home, caller, asked.called, direction, found, cid)


def _home(accounts: Collection[Account], domain: str, default: Account | None) -> Account | None:
    if not domain:
        return default
    wanted = domain.lower().strip("[]").rstrip(".")
    return next((account for account in accounts if wanted in account.domains), None)


def _caller(directory: Accounts, home: Account | None, name: str) -> User | None:
    aor = directory.aor(home, name) if home is not None and name else None
    return directory.user(home, aor.user) if home is not None and aor is not None else None


def _is_extension(directory: Accounts, home: Account | None, called: str) -> bool:
    return home is not None and directory.extension(home, called) is not None
