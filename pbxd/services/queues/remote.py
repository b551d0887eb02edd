"""A caller whose call is at a node of the edge: the node plays the music and rings, the queue decides for whom.

    node says `waiting` --> waits here --offered--> the node rings --confirm or claim--> they talk --> the node says so

The node asks again and again how its caller stands. One that asks no more for a while has lost it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pbxd.calls.facilities import Facilities
from pbxd.calls.record import CallRecord
from pbxd.directory.model import Account
from pbxd.services.queues.line import Wishes
from pbxd.services.queues.model import Exit, Lease, Left, QueueRules, Why
from pbxd.trace import Topic

PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the caller is to be told; `number` grows by one each time."""

    number: int
    position: int
    expected_s: float | None


class Desk(Protocol):
    """The queues, as the line of a node's caller knows them."""

    @property
    def facilities(self) -> Facilities: ...

    def leave(self, line: RemoteLine, exit_: Exit, now: float) -> None: ...

    def connected(self, line: RemoteLine, lease: Lease, now: float) -> bool: ...


class RemoteLine:
    """`waited_s` is how long it has waited already, before this process."""

    def __init__(
        self,
        desk: Desk,
        account: Account,
        rules: Callable[[], QueueRules],
        record: CallRecord,
        wishes: Wishes,
        waited_s: float,
    ) -> None:
        self._desk = desk
        self._asked_at = 0.0
        self.rules = rules
        self.account = account
        self.queue = rules().name
        self.record = record
        self.wishes = wishes
        self.waited_s = waited_s
        self.remote = True
        self.offers: dict[str, Lease] = {}  # by operator
        self.talks_to: str | None = None
        self.announcement: Announcement | None = None
        self.exit: Exit | None = None
        record.queue = self.queue

    def asked(self, now: float) -> None:
        """Its node wants to know how it stands."""
        self._asked_at = now

    def leave(self, exit_: Exit, now: float) -> None:
        """Its node says that it is out of the queue, or is gone."""
        self._desk.leave(self, exit_, now)

    # ---- Waiter

    def offer(self, lease: Lease, now: float) -> None:
        self.offers[lease.operator] = lease
        text = f"{self.queue} offers the call to {lease.operator}, to be rung by its node"
        self._desk.facilities.tracer.note(self.record.id, Topic.DECISION, text, now)

    def withdraw(self, lease: Lease, why: Why, now: float) -> None:
        del why, now
        held = self.offers.get(lease.operator)
        if held is not None and held.epoch == lease.epoch:
            del self.offers[lease.operator]

    def claim(self, lease: Lease, now: float) -> None:
        """Whoever answered at the node hears the caller: that is what the node asked for."""
        self.offers.clear()
        self.talks_to = self.record.operator = lease.operator
        self._desk.connected(self, lease, now)

    def returned(self, lease: Lease, now: float) -> None:
        del lease, now
        self.talks_to = self.record.operator = None

    def announce(self, position: int, expected_s: float | None, now: float) -> None:
        del now
        number = self.announcement.number + 1 if self.announcement is not None else 1
        self.announcement = Announcement(number, position, expected_s)

    def left(self, event: Left, now: float) -> None:
        del now
        self.exit = event.exit
        self.offers.clear()
        self.record.queue_exit, self.record.queue_wait_s = event.exit.value, round(event.waited_s, 3)

    def look(self, now: float) -> None:
        if self.talks_to is None and self.exit is None and now - self._asked_at >= PATIENCE_S:
            self.leave(Exit.ABANDON, now)
