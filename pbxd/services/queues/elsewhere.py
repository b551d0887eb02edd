"""Operators beyond the house: what its queues ask of the nodes of the edge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pbxd.directory.model import Aor


class Elsewhere(Protocol):
    """What nodes of the edge say of operators."""

    def reachable(self, aor: Aor, now: float) -> bool:
        """Whether a phone of theirs is registered at a node."""

    def busy(self, account_id: str) -> Iterable[str]:
        """Who is in a call at a node."""


class NoNodes:
    """A house without an edge."""

    def reachable(self, aor: Aor, now: float) -> bool:
        del aor, now
        return False

    def busy(self, account_id: str) -> Iterable[str]:
        del account_id
        return ()
