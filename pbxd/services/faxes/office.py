"""What sending and receiving faxes share: rows, files, the printing room, the clock, and whom to tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from media.pages import Layout, Pages, Paper, Resolution
from pbxd.config.faxes import FaxDetail, Faxes
from pbxd.events import Bus
from pbxd.outbox import Outbox
from pbxd.services.faxes.depot import Depot
from pbxd.services.faxes.shelf import Files, Rows
from pbxd.store import StoreError

log = logging.getLogger(__name__)

STORE_PAUSE_S = 2.0
FAREWELL_S = 5.0  # that long a stop waits for what has happened to be stored
_LINES = {
    FaxDetail.STANDARD: Resolution.STANDARD,
    FaxDetail.FINE: Resolution.FINE,
    FaxDetail.SUPERFINE: Resolution.SUPERFINE,
}


@dataclass(slots=True)
class Office:
    """`account_id` is the house's own account, `account_for` names that of a called number, if one has it; `wall` is
    the time in seconds since the epoch. `account_for`, `has_account` (whether it is still there), `settings` and
    `outbox` may be assigned to while it runs."""

    account_id: str
    rows: Rows
    files: Files
    depot: Depot
    pages: Pages
    bus: Bus
    wall: Callable[[], float]
    settings: Faxes
    outbox: Outbox | None = None
    account_for: Callable[[str], str | None] = lambda _called: None
    has_account: Callable[[str], bool] = lambda _account_id: True
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    firm: set[asyncio.Task[None]] = field(default_factory=set)  # of these, those that a stop waits for

    def layout(self, detail: str) -> Layout:
        paper = Paper(self.settings.paper.value)
        return Layout(_LINES[FaxDetail(detail)], paper, self.settings.max_pages)

    def account_of(self, called: str) -> str:
        """The account that a fax to that number is for."""
        return self.account_for(called) or self.account_id

    async def surely(self, write: Callable[[], Awaitable[None]]) -> None:
        """Writes what has happened already, however long the store takes to come back."""
        while True:
            try:
                await write()
            except StoreError as error:
                log.warning("what became of a fax is not stored yet: %s", error)
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                return

    def aside(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Runs it beside everything else, until it has ended or the office closes."""
        task: asyncio.Task[None] = asyncio.create_task(_logged(work), name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # of one that was cancelled before its first turn
        return task

    def surely_aside(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """The same for what writes down what has happened: a stop gives it time."""
        task = self.aside(work, name)
        self.firm.add(task)
        task.add_done_callback(self.firm.discard)
        return task

    async def close(self) -> None:
        """Ends what is under way: calls are hung up, and what was confirmed by then is for the next start. What has
        ended by then is stored, as long as the store takes it."""
        for task in self.tasks - self.firm:
            task.cancel()
        if self.firm:
            await asyncio.wait(set(self.firm), timeout=FAREWELL_S)
        for task in tuple(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(set(self.tasks))


async def _logged(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a fax could not be looked after")
