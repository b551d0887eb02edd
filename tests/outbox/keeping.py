"""A keeper in memory, senders that do as they are told, a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from pbxd.outbox import Item, KeeperError, Parcel, State
from pbxd.outbox.verdict import Outcome, Verdict

WALL = 1_790_000_000.0
DONE = Verdict(Outcome.DELIVERED, "HTTP 200")


class MemoryKeeper:
    """Keeps parcels in a dict; refuses everything while `broken`. `history` has every state an item was kept in."""

    def __init__(self) -> None:
        self.parcels: dict[str, Parcel] = {}
        self.history: list[tuple[str, State, int]] = []
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            raise KeeperError("SQLITE_FULL")

    async def add(self, parcel: Parcel) -> Item:
        self._check()
        item = parcel.item
        for kept in self.parcels.values():
            if (kept.item.account_id, kept.item.key) == (item.account_id, item.key):
                return kept.item
        self.parcels[item.id] = parcel
        return item

    async def update(self, item: Item, *, forget_content: bool = False) -> None:
        self._check()
        parcel = self.parcels[item.id]
        self.parcels[item.id] = Parcel(item, "{}", b"") if forget_content else replace(parcel, item=item)
        self.history.append((item.id, item.state, item.attempts))

    async def parcel(self, item_id: str) -> Parcel | None:
        self._check()
        return self.parcels.get(item_id)

    async def open(self) -> Sequence[Item]:
        self._check()
        return [parcel.item for parcel in self.parcels.values() if not parcel.item.state.ended]

    async def page(self, state: State | None, limit: int, before: str | None) -> Sequence[Item]:
        self._check()
        items = [parcel.item for _, parcel in sorted(self.parcels.items(), reverse=True)]
        items = [item for item in items if state in (None, item.state)]
        return [item for item in items if before is None or item.id < before][:limit]

    async def purge(self, before: float) -> None:
        self._check()
        gone = [i for i, one in self.parcels.items() if one.item.ended_at is not None and one.item.ended_at < before]
        for item_id in gone:
            del self.parcels[item_id]


class ScriptedSender:
    """Gives the verdicts of `script` in turn, then DONE; waits while `gate` is closed."""

    def __init__(self, *script: Verdict | Exception) -> None:
        self.script = list(script)
        self.sent: list[Parcel] = []
        self.finished = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, parcel: Parcel) -> Verdict:
        self.sent.append(parcel)
        await self.gate.wait()
        self.finished += 1
        verdict = self.script.pop(0) if self.script else DONE
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


class Hands:
    """A clock turned by hand: `now` is monotonic, the wall clock goes along unless it is pushed."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.push = 0.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now - 1000.0 + self.push


async def until(reached: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a state, turn by turn of the event loop."""
    async with asyncio.timeout(seconds):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
