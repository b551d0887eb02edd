"""A line whose far side does what a script says, and the office that sends by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from media.fax import FaxOptions, FaxOutcome, FaxReason, FaxResult, FaxTransport
from media.pages import Kind
from pbxd.config.faxes import Faxes as Settings
from pbxd.events import Bus
from pbxd.services.faxes import FaxArrived, Faxes, FaxJob, FaxJobChanged, FaxWish
from pbxd.store import Store

START = 1_800_000_000.0
REMOTE = "+1 555 0100"


def outcome(confirmed: int, reason: FaxReason = FaxReason.OK, **changes: object) -> FaxOutcome:
    """A try that ended like this."""
    result = FaxResult.SUCCESS if reason is FaxReason.OK else FaxResult.PARTIAL if confirmed else FaxResult.FAILED
    heard = bool(confirmed)
    return FaxOutcome(
        result,
        reason,
        pages_confirmed=confirmed,
        speed=14400 if heard else 0,
        ecm=heard,
        remote_ident=REMOTE if heard else "",
        duration_s=30.0,
        transport=FaxTransport.T38,
        **changes,  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """What the line was asked for."""

    number: str
    options: FaxOptions
    pages: int


@dataclass(slots=True)
class ScriptedLine:
    """Ends each try as `script` says, in order; with nothing left to say every page is confirmed. A try that is to
    `hold` lasts until somebody lets it go or hangs up."""

    script: list[FaxOutcome] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    hung_up: int = 0
    hold: asyncio.Event | None = None
    at_once: int = 0
    most_at_once: int = 0

    async def send(self, number: str, tiff: Path, options: FaxOptions) -> FaxOutcome:
        with Image.open(tiff) as file:
            pages = int(getattr(file, "n_frames", 1))
        self.sent.append(Sent(number, options, pages))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.hung_up += 1
            raise
        finally:
            self.at_once -= 1
        return self.script.pop(0) if self.script else outcome(pages - options.start_page)


@dataclass(slots=True)
class Desk:
    """The office of a test, with its own time."""

    faxes: Faxes
    line: ScriptedLine
    bus: Bus
    store: Store
    told: list[FaxJob] = field(default_factory=list)
    arrived: list[FaxArrived] = field(default_factory=list)
    wall: float = START

    async def settle(self) -> None:
        """Returns when nothing is under way but what the line holds."""
        while any(not task.done() for task in self.faxes.office.tasks) and not (self.line.hold and self.line.at_once):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)

    async def after(self, seconds: float) -> None:
        """Lets that much time pass, and what is due happen."""
        self.wall += seconds
        self.faxes.beat(self.wall)
        await self.settle()

    async def submit(self, source: Path, to: str = "+15551230000", kind: Kind = Kind.PDF, **wish: object) -> FaxJob:
        with source.open("rb") as file:
            return await self.faxes.sending.submit(FaxWish(to, source.name, **wish), file, kind)  # type: ignore[arg-type]

    async def job(self, job: FaxJob) -> FaxJob:
        """As it is stored now."""
        found = await self.faxes.rows.job(job.account_id, job.id)
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where an office keeps its faxes, and its rows."""

    folder: Path
    store_url: str


@asynccontextmanager
async def a_desk(
    place: Place, line: ScriptedLine | None = None, wall: float = START, **settings: object
) -> AsyncIterator[Desk]:
    """An office at a place, which may have been another one's."""
    store = await Store.open(place.store_url)
    bus = Bus()
    now: list[Desk] = []
    faxes = Faxes(store, place.folder / "fax", "acc_1", Settings(**settings), bus, lambda: now[0].wall)  # type: ignore[arg-type]
    desk = Desk(faxes, line or ScriptedLine(), bus, store, wall=wall)
    now.append(desk)
    faxes.sip.line = desk.line
    bus.subscribe(FaxJobChanged, lambda event: desk.told.append(event.job))
    bus.subscribe(FaxArrived, desk.arrived.append)
    await faxes.start()
    try:
        yield desk
    finally:
        await faxes.stop()
        await store.close()
