"""Finding the one thing that a name means: of several accounts which may use the same, of an account's users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.dialled import split_aor
from pbxd.directory.model import Account
from pbxd.errors import Invalid, NotFound

Thing = TypeVar("Thing")


def only_one(found: Sequence[Thing], what: str) -> Thing:
    """The one that was found. Raises NotFound for none, Invalid for several."""
    if not found:
        raise NotFound(f"there is no {what}")
    if len(found) > 1:
        raise Invalid(f"accountId: more than one account has a {what}")
    return found[0]


def user_named(edge: Edge, account: Account, wanted: str) -> str:
    """The name of a user, by id, name, extension or AOR. Raises NotFound."""
    aor = edge.directory.aor(account, split_aor(wanted)[0])
    if aor is not None:
        return aor.user
    for user in edge.directory.users(account):
        if user.id == wanted:
            return user.name
    raise NotFound("there is no such user")
