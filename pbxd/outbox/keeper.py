"""Who keeps the items: a promise that the composition root fills with the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pbxd.outbox.item import Item, Parcel, State


class KeeperError(Exception):
    """What was to be kept may not be kept. The message holds no values."""


class Keeper(Protocol):
    """Durable when a call returns: a process killed just then has lost nothing. Each may raise KeeperError."""

    async def add(self, parcel: Parcel) -> Item:
        """Keep it, unless one of its account and key is kept already; the item that is kept."""

    async def update(self, item: Item, *, forget_content: bool = False) -> None:
        """Keep the item as it now is, and let go of what was sent where nobody needs it again."""

    async def parcel(self, item_id: str) -> Parcel | None: ...

    async def open(self) -> Sequence[Item]:
        """Everything that has not ended, oldest first."""

    async def page(self, state: State | None, limit: int, before: str | None) -> Sequence[Item]:
        """Items newest first, older than the id `before`."""

    async def purge(self, before: float) -> None:
        """Forget what ended before that moment."""
