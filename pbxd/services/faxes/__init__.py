"""Faxes: sent with retries until every page is confirmed, received into boxes, kept as long as wanted.

job       what is to be sent, and its states     queue     which is next: pure        retry    what follows a try: pure
carrier   who takes it away (Protocols)          sending   one job from begin to end  arrivals what comes in
provider  one over HTTP      manifest  how it is asked: pure       builtin  those known   exchange  the shell
received  what came in, and its box              shelf     rows and files             notices  mail and webhooks
depot     where documents lie in the end         bucket    one that speaks S3         office   what they share
meant     who a stored secret is meant for
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from media.fax import FaxMode
from media.pages import Pages
from pbxd.config.faxes import Faxes as Settings
from pbxd.errors import Unavailable
from pbxd.events import Bus
from pbxd.outbox import Outbox
from pbxd.services.faxes.arrivals import Arrival, Arrivals, arrival_of
from pbxd.services.faxes.builtin import BUILT_IN, FREESWITCH, PHAXIO, SIGNALWIRE, SINCH
from pbxd.services.faxes.carrier import DISABLED, SIP, Carrier, Handed, Line, News, Paged, Papers, SipCarrier
from pbxd.services.faxes.depot import Depot
from pbxd.services.faxes.job import FaxJob, FaxJobChanged, FaxWish, JobState
from pbxd.services.faxes.manifest import MAX_MANIFEST, Manifest, state_of
from pbxd.services.faxes.meant import guard, guard_changes
from pbxd.services.faxes.office import Office
from pbxd.services.faxes.provider import HttpProvider, Providers, manifest_of
from pbxd.services.faxes.received import FaxArrived, ReceivedFax, ReceivedState
from pbxd.services.faxes.sending import Sending
from pbxd.services.faxes.shelf import MAX_PAGE, Files, JobFilter, ReceivedFilter, Rows
from pbxd.store import Store, StoreError

__all__ = [
    "BUILT_IN",
    "DISABLED",
    "FREESWITCH",
    "MAX_MANIFEST",
    "MAX_PAGE",
    "PHAXIO",
    "SIGNALWIRE",
    "SINCH",
    "SIP",
    "Arrival",
    "Arrivals",
    "Carrier",
    "Depot",
    "FaxArrived",
    "FaxJob",
    "FaxJobChanged",
    "FaxWish",
    "Faxes",
    "Files",
    "Handed",
    "HttpProvider",
    "JobFilter",
    "JobState",
    "Line",
    "Manifest",
    "News",
    "Paged",
    "Papers",
    "Providers",
    "ReceivedFax",
    "ReceivedFilter",
    "ReceivedState",
    "Rows",
    "Sending",
    "SipCarrier",
    "arrival_of",
    "guard",
    "guard_changes",
    "manifest_of",
    "state_of",
]

log = logging.getLogger(__name__)


class Faxes:
    """All faxes; those of nobody else are of the account `account_id`.

    `start` it once, `serve` with the outbox, call `beat` every second, `stop` it once.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        account_id: str,
        settings: Settings,
        bus: Bus,
        wall: Callable[[], float],
        pages: Pages | None = None,
    ) -> None:
        self.sip = SipCarrier(FaxMode(settings.way.value))
        self.rows = Rows(store)
        self.files = Files(folder)
        self.depot = Depot(self.files, settings.storage, wall)
        self.office = Office(account_id, self.rows, self.files, self.depot, pages or Pages(), bus, wall, settings)
        self.providers = Providers()
        self.sending = Sending(self.office, self._carriers(settings))
        self.sip.paged = self.sending.paged
        self.arrivals = Arrivals(self.office)
        self._cleaned_at: float | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self.cleaned = 0

    async def start(self) -> None:
        """Raises StoreError."""
        await self.sending.start()

    def serve(self, outbox: Outbox) -> None:
        """From now on people are told."""
        self.office.outbox = outbox
        self.office.aside(self._tell_again(), "fax-tell-again")

    def reload(self, settings: Settings) -> None:
        """Faxes under way go on as they began."""
        if settings.storage != self.depot.settings:
            self.depot.reload(settings.storage)
        self.office.settings = settings
        self.sending.carriers = self._carriers(settings)
        self.sip.mode = FaxMode(settings.way.value)

    def beat(self, wall: float) -> None:
        """What is due every second."""
        self.sending.beat(wall)
        idle = self._cleaning is None or self._cleaning.done()
        if self._cleaned_at is None or (idle and wall - self._cleaned_at >= self.office.settings.clean_every_s):
            self._cleaned_at = wall
            self._cleaning = self.office.aside(self._clean(wall), "fax-clean")

    async def stop(self) -> None:
        """Hangs up what is being sent; the next start takes it up again."""
        await self.office.close()
        await self.providers.close()
        await self.depot.close()

    def _carriers(self, settings: Settings) -> Mapping[str, Carrier]:
        return {**self.providers.take(settings.providers), SIP: self.sip}

    async def _clean(self, wall: float) -> None:
        try:
            self.cleaned += await self.sending.clean(wall) + await self.arrivals.clean(wall)
            await self.depot.tidy(wall, self._has_ended)
        except (StoreError, Unavailable) as error:
            log.warning("old faxes cannot be deleted now: %s", error)

    async def _has_ended(self, way: str, fax_id: str) -> bool:
        if way == "in":
            return await self.rows.received(fax_id) is not None
        job = None if self.sending.queue.get(fax_id) else await self.rows.job(fax_id)
        return job is not None and job.state.ended

    async def _tell_again(self) -> None:
        try:
            await self.sending.tell_again()
            await self.arrivals.tell_again()
        except StoreError as error:
            log.warning("nobody can be told of earlier faxes now: %s", error)
