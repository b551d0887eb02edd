"""Faxes, put together: the service, its keys and audit log, the surface, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from media.fax import FaxEvent, FaxEventKind, FaxOptions, FaxOutcome
from pbxd.api.access import Access
from pbxd.api.fax import FAX, FaxAccess, FaxHouse, readiness
from pbxd.api.health import FaxReadiness
from pbxd.api.surface import Failure, Surface
from pbxd.config import Config, ConfigError
from pbxd.config.overlay import NAME, changed, stored, write
from pbxd.directory.minted import MintedKeys
from pbxd.errors import Invalid, Unavailable
from pbxd.events import Bus
from pbxd.faxline import FaxLine
from pbxd.metrics import Metrics
from pbxd.outbox import Outbox
from pbxd.services.audit import AuditLog, masked
from pbxd.services.faxes import FaxArrived, Faxes, FaxJobChanged, JobState, Paged, guard_changes
from pbxd.store import DataDirectory, Store

FOLDER = "faxes"
Judge = Callable[[Config], None]
Reload = Callable[[Judge | None], Awaitable[list[str]]]
"""Reads all settings again and takes them up, if the judge lets it; the keys that changed. Raises ConfigError."""


class FaxSurface(Surface[FaxHouse]):
    """The surface, whose failures stand in the audit log."""

    def failure(self, failure: Failure) -> web.Response:
        if failure.status >= 500:
            self._context.audit.note("api_error", status=failure.status, code=failure.code)
        return super().failure(failure)


class OwnLine:
    """The house's own fax line, that tells which pages were confirmed."""

    def __init__(self, line: FaxLine) -> None:
        self._line = line

    async def send(self, number: str, tiff: Path, options: FaxOptions, paged: Paged, *, account_id: str) -> FaxOutcome:
        def happened(events: Sequence[FaxEvent]) -> None:
            for event in events:
                if event.kind is FaxEventKind.PAGE_CONFIRMED:
                    paged(event.page)

        return await self._line.send(number, tiff, options, account_id=account_id, progress=happened)


class Faxroom:
    """`open` it before SIP is answered, `serve` with the outbox, `stop` it before the last calls end.

    `house` is what the surface works with, once that is made.
    """

    house: FaxHouse

    def __init__(
        self, config: Config, data: DataDirectory, store: Store, account_id: str, bus: Bus, wall: Callable[[], float]
    ) -> None:
        self._config = config
        self._data = data
        self._store = store
        self._wall = wall
        self._turn = asyncio.Lock()
        self._line: FaxLine | None = None
        self.keys = MintedKeys(store, wall)
        self.faxes = Faxes(store, data.path / FOLDER, account_id, config.faxes, bus, wall)
        self.audit = AuditLog(config.faxes.audit, wall)
        self.keys.used = lambda key: self.audit.note("api_key_used", key_id=key.id)
        bus.subscribe(FaxJobChanged, self._job_changed)
        bus.subscribe(FaxArrived, self._arrived)

    async def open(self) -> None:
        """Raises StoreError."""
        await self.keys.load()
        await self.faxes.start()

    def connect(
        self,
        line: FaxLine,
        trunk_of: Callable[[str, str], str],
        account_for: Callable[[str], str | None],
        has_account: Callable[[str], bool],
    ) -> None:
        """Faxes go out by `line` from now on, and those that come in are taken from it. `trunk_of` names the trunk that
        a number leaves an account by, `account_for` the account that has a number; `has_account` is whether one is
        there."""
        self._line = line
        self.faxes.sip.line = OwnLine(line)
        self.faxes.sending.trunk_of = lambda job: trunk_of(job.account_id, job.to)
        self.faxes.office.account_for, self.faxes.office.has_account = account_for, has_account
        line.received = self.faxes.arrivals.received
        line.ident, line.header = self._config.faxes.ident, self._config.faxes.header
        for fax in line.left_behind():
            self.faxes.arrivals.received(fax)

    def serve(self, outbox: Outbox) -> None:
        """From now on people are told."""
        self.faxes.serve(outbox)

    def reload(self, config: Config) -> None:
        if config.faxes.audit != self._config.faxes.audit:
            self.audit.reload(config.faxes.audit)
        self._config = config
        self.faxes.reload(config.faxes)
        if self._line is not None:
            self._line.ident, self._line.header = config.faxes.ident, config.faxes.header

    async def stop(self) -> None:
        """Hangs up what is being sent; the next start tries again."""
        await self.faxes.stop()
        self.audit.close()

    def surface(
        self,
        access: Access,
        reread: Reload,
        restart: Callable[[], None],
        sip_trouble: Callable[[], str | None],
        home: Callable[[], str],
    ) -> Surface[FaxHouse]:
        """The fax contract over all of this."""

        async def reread_in_words(judge: Judge | None = None) -> list[str]:
            try:
                return await reread(judge)
            except ConfigError as error:
                raise Invalid("; ".join(problem.message for problem in error.problems[:5])) from None

        async def change(changes: dict[str, Any]) -> list[str]:
            return await self._change(changes, reread_in_words)

        house = self.house = FaxHouse(
            faxes=self.faxes,
            keys=self.keys,
            audit=self.audit,
            config=lambda: self._config,
            wall=self._wall,
            secret=self._data.secret,
            change=change,
            reread=reread_in_words,
            restart=restart,
            store_trouble=lambda: None if self._store.trouble is None else self._store.trouble.name.lower(),
            sip_trouble=sip_trouble,
        )
        providers = self.faxes.providers
        providers.public_url = lambda: self._config.http.public_url
        providers.file_link = self._file_link
        has_account = self.faxes.office.has_account
        identify = FaxAccess(
            access, self.keys, self.audit, lambda: self._config.faxes, self._wall, has_account
        ).identify
        return FaxSurface(FAX, house, identify, lambda: self._config.http.public_url, home)

    def readiness(self) -> FaxReadiness:
        """How faxes are, once there is a surface."""
        return readiness(self.house)

    def _file_link(self, job_id: str) -> str | None:
        base = self._config.http.public_url
        return f"{base}/fax/{job_id}/pdf?token={self.house.pdf_token('out', job_id)}" if base else None

    async def _change(self, changes: dict[str, Any], reread: Reload) -> list[str]:
        """Writes the settings file and takes it up; what is no good is taken back, and so is what would send a stored
        secret elsewhere. Raises Invalid, Unavailable."""
        path: Path = self._data.path / NAME

        def judge(after: Config) -> None:
            guard_changes(self._config.faxes, after.faxes, self.faxes.providers, changes)

        async with self._turn:
            try:
                before = await asyncio.to_thread(stored, path)
                await asyncio.to_thread(write, path, changed(before, changes))
            except (OSError, ValueError) as error:
                raise Unavailable(f"Failed to write settings: {error}") from None
            try:
                return await reread(judge)
            except BaseException:
                await asyncio.to_thread(write, path, before)
                raise

    def _job_changed(self, event: FaxJobChanged) -> None:
        job = event.job
        what = "job_updated"
        if event.ended and job.error is not None:
            what = "job_failed"
        elif job.state is JobState.IN_PROGRESS and job.reason is None and job.provider_sid is None:
            what = "job_dispatch"
        values = {"job_id": job.id, "to": masked(job.to), "status": job.state.value, "backend": job.backend}
        self.audit.note(what, **values)

    def _arrived(self, event: FaxArrived) -> None:
        fax = event.fax
        self.audit.note("inbound_received", inbound_id=fax.id, to=masked(fax.called), backend=fax.backend)


def measure(metrics: Metrics, room: Faxroom) -> None:
    """Names what is counted."""
    sending, arrivals = room.faxes.sending, room.faxes.arrivals
    metrics.gauge("fax_jobs_waiting", "Faxes that are not sent yet", lambda: len(sending.queue))
    metrics.gauge("fax_jobs_sending", "Faxes that are being sent", lambda: len(sending.queue.active))
    metrics.counters("fax_jobs_ended", "Faxes that have ended", ["result"], lambda: {
        state.name.lower(): count for state, count in sending.ended.items()})  # fmt: skip
    metrics.counters("fax_job_tries", "Tries of faxes, by how they ended", ["reason"], lambda: {
        reason.value: count for reason, count in sending.tries.items()})  # fmt: skip
    metrics.counter("fax_job_pages", "Pages that the far side confirmed", lambda: sending.pages_confirmed)
    metrics.counters("faxes_received", "Faxes that came in", ["state"], lambda: {
        state.value: count for state, count in arrivals.taken.items()})  # fmt: skip
    metrics.counter(
        "fax_storage_failures", "Documents that a bucket did not take or give", lambda: room.faxes.depot.failures
    )
    metrics.counter("fax_audit_failures", "Lines of the audit log that are lost", lambda: room.audit.failures)
