"""Finding the one thing that a name means, when several accounts may use the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pbxd.errors import Invalid, NotFound

Thing = TypeVar("Thing")


def only_one(found: Sequence[Thing], what: str) -> Thing:
    """The one that was found. Raises NotFound for none, Invalid for several."""
    if not found:
        raise NotFound(f"there is no {what}")
    if len(found) > 1:
        raise Invalid(f"accountId: more than one account has a {what}")
    return found[0]
