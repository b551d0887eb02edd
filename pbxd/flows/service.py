"""The flows of the house: each account's own, run on calls and watched.

Those of the default account lie in the house's folder, where people edit them; those of every other one in a folder of
its own with the data.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from dialplan.hours import Opening
from dialplan.state import Ending
from media.library import PromptLibrary
from pbxd.calls import causes
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.stage import Act, Stage
from pbxd.directory.accounts import Directory
from pbxd.flows.act import FlowAct
from pbxd.flows.desk import Desk
from pbxd.flows.hours import Overrides
from pbxd.flows.repertoire import FILE, Backstage, Repertoire, mark_of
from pbxd.flows.versions import Versions
from pbxd.logs import get_logger
from pbxd.metrics import Metrics
from pbxd.store import Store

log = get_logger(part="flows")

WATCH_S = 2.0
LATE_S = 0.05


class Flows:
    """`folder` is where those of the default account lie; None is nowhere. `tenants` has a folder for each other
    account, by its id. `start` it once, `stop` it once; `tick` every second or so."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        directory: Directory,
        folder: Path | None,
        tenants: Path,
        language: Callable[[], str],
        library: Callable[[], PromptLibrary],
        wall: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._wall = wall
        self._folder = folder
        self._tenants = tenants
        self._looked_at = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._versions = Versions(store)
        self._backstage = Backstage(desk, directory, self._versions, language, library, wall)
        self._repertoires: dict[str, Repertoire] = {}
        self.desk = desk
        self.overrides = Overrides(store, self._schedules, lambda: directory.default_account.id, wall)
        self.sessions: dict[str, FlowAct] = {}
        self.endings: Counter[str] = Counter(dict.fromkeys((ending.value for ending in Ending), 0))
        self.ready = False  # they have been read once

    # ---- life

    async def start(self) -> None:
        """Read everything for the first time. Raises StoreError."""
        try:
            await self._versions.load()
            await self.overrides.load()
            for repertoire in self.every():
                await repertoire.start()
        finally:
            self.ready = True

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def tick(self, now: float) -> None:
        """Look, now and then, whether a file has changed."""
        if now - self._looked_at < WATCH_S or (self._watching is not None and not self._watching.done()):
            return
        self._looked_at = now
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="flows-watch")

    async def _watch(self) -> None:
        every = self.every()
        marks = await asyncio.to_thread(lambda: [mark_of(one.folder) for one in every])
        for repertoire, mark in zip(every, marks, strict=True):
            if repertoire.folder is not None and mark != repertoire.mark:
                await repertoire.load()

    async def load(self, by: str = FILE) -> None:
        """Read the folders of all accounts again."""
        for repertoire in self.every():
            await repertoire.load(by)

    async def forget(self, account_id: str) -> None:
        """An account was removed: its flows go with it. Its calls finish on what they began."""
        await self.of(account_id).forget()
        self._repertoires.pop(account_id, None)
        self.overrides.forget(account_id)

    # ---- of an account

    def of(self, account_id: str) -> Repertoire:
        """The flows of an account; those of one that is not there are none."""
        found = self._repertoires.get(account_id)
        if found is None:
            at_home = account_id == self._directory.default_account.id
            folder = self._folder if at_home else self._tenants / account_id
            found = Repertoire(self._backstage, account_id, folder)
            if self._directory.account(account_id) is not None:
                self._repertoires[account_id] = found
        return found

    def every(self) -> list[Repertoire]:
        """Those of all accounts, the default one's first."""
        home = self._directory.default_account.id
        others = (account.id for account in self._directory.accounts() if account.id != home)
        return [self.of(account_id) for account_id in (home, *others)]

    @property
    def loads(self) -> Mapping[str, int]:
        """Readings of folders, by result."""
        return self._backstage.loads

    # ---- on calls

    def act(self, name: str, record: CallRecord) -> Act:
        """What the house does with a call to a flow of its account."""
        if not self.ready:
            return Late(lambda: self.ready, lambda: self.act(name, record))
        library = self.of(record.account_id).book.library
        if name not in library.flows:
            return NotLive(name)
        act = FlowAct(self.desk, library, name, record, self._over)
        self.sessions[record.id] = act
        return act

    def opening(self, account_id: str, schedule: str) -> Opening | None:
        """What a schedule of the account, or one that all its flows share, says just now; None where there is none."""
        account = self._directory.account(account_id)
        own = self._directory.schedule(account, schedule) if account is not None else None
        shared = self.of(account_id).book.library.schedules.get(schedule)
        found = own.schedule if own is not None else shared
        return found.at(self.overrides.moment(account_id, self._wall())) if found is not None else None

    def _schedules(self, account_id: str) -> Collection[str]:
        """What can be overridden: the schedules of an account's flows, and its own."""
        account = self._directory.account(account_id)
        own = self._directory.schedules(account) if account is not None else ()
        return {*self.of(account_id).book.schedule_names(), *(spec.name for spec in own)}

    def _over(self, act: FlowAct) -> None:
        self.sessions.pop(act.record.id, None)
        if act.ending is not None:
            self.endings[act.ending.value] += 1


class Late:
    """The act for a call that comes while the flows are read for the first time: it waits for them."""

    def __init__(self, ready: Callable[[], bool], make: Callable[[], Act]) -> None:
        self._ready = ready
        self._make = make
        self._act: Act | None = None

    def begin(self, stage: Stage, now: float) -> None:
        if self._ready():
            self._act = self._make()
            self._act.begin(stage, now)
        else:
            stage.later(LATE_S, lambda later: self.begin(stage, later))

    def digit(self, digit: str, now: float) -> None:
        if self._act is not None:
            self._act.digit(digit, now)

    def talking(self, talks: bool) -> None:
        if self._act is not None:
            self._act.talking(talks)

    def leave(self, now: float) -> None:
        if self._act is not None:
            self._act.leave(now)


class NotLive:
    """The act for a number whose flow is not there, or was never good."""

    def __init__(self, name: str) -> None:
        self._name = name

    def begin(self, stage: Stage, now: float) -> None:
        reason = f"the flow {self._name} is not live"
        log.warning("a call came for a flow that is not live", flow=self._name, call=stage.record.id)
        stage.finish(now, reason=reason, status=503, q850=causes.TEMPORARY_FAILURE, result=Result.SERVER)

    def digit(self, digit: str, now: float) -> None:
        """It has ended."""

    def talking(self, talks: bool) -> None:
        """It has ended."""

    def leave(self, now: float) -> None:
        """It has ended."""


def measure(metrics: Metrics, flows: Flows) -> None:
    """Say how flows do."""
    metrics.gauge("flows_live", "Call flows that are live", lambda: sum(
        len(one.book.library.flows) for one in flows.every()))  # fmt: skip
    metrics.gauge("flow_problems", "Mistakes in the files of call flows", lambda: sum(
        len(one.book.report.errors) for one in flows.every()))  # fmt: skip
    metrics.gauge("flow_calls", "Calls that are in a flow", lambda: len(flows.sessions))
    metrics.counters("flow_loads", "Readings of folders of flows", ["result"], lambda: flows.loads)
    metrics.counters("flow_endings", "Calls that left a flow, by how", ["ending"], lambda: flows.endings)
