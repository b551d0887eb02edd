"""What the outbox keeps. Times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How an item travels."""

    MAIL = "mail"
    HTTP = "http"


class State(StrEnum):
    """waiting → sending → delivered, or back to waiting; dead after the last try; cancelled by somebody."""

    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.DELIVERED, State.DEAD, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery as it may be shown: neither content nor URL path nor header, for these may hold secrets.

    `key` makes it idempotent within its account. `destination` is what shares a fate: `mail`, or the origin of a URL.
    `attempts` counts tries that were begun, `reason` says what became of the last one.
    """

    id: str
    account_id: str
    key: str
    kind: Kind
    destination: str
    summary: str
    state: State
    attempts: int
    created_at: float
    due_at: float
    ended_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """An item with what is sent. `address` is where to and how, as JSON; `body` the bytes."""

    item: Item
    address: str
    body: bytes
