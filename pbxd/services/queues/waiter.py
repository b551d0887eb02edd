"""Who waits, as the service of queues knows it: a call of the house, or one at a node."""

from __future__ import annotations

from typing import Protocol

from pbxd.calls.record import CallRecord
from pbxd.directory.model import Account
from pbxd.services.queues.line import Wishes
from pbxd.services.queues.model import Lease, Left, Why


class Waiter(Protocol):
    """The line of one caller, here or at a node."""

    @property
    def record(self) -> CallRecord: ...

    @property
    def account(self) -> Account: ...

    @property
    def queue(self) -> str: ...

    @property
    def wishes(self) -> Wishes: ...

    @property
    def remote(self) -> bool:
        """Whether the call is at a node of the edge."""

    @property
    def waited_s(self) -> float:
        """What it has waited before it came here."""

    def offer(self, lease: Lease, now: float) -> None: ...

    def withdraw(self, lease: Lease, why: Why, now: float) -> None: ...

    def claim(self, lease: Lease, now: float) -> None: ...

    def returned(self, lease: Lease, now: float) -> None: ...

    def announce(self, position: int, expected_s: float | None, now: float) -> None: ...

    def left(self, event: Left, now: float) -> None: ...

    def look(self, now: float) -> None:
        """Called every second."""
