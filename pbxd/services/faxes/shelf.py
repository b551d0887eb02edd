"""Rows and files of faxes: each job and each received fax has a folder of its own."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Select, func, insert, select, update

from media.fax import FaxReason
from pbxd.services.faxes.carrier import Papers
from pbxd.services.faxes.job import FaxJob, JobState
from pbxd.services.faxes.received import ReceivedFax, ReceivedState
from pbxd.store import Store
from pbxd.store.faxes import fax_jobs, received_faxes

MAX_PAGE = 100
_OPEN = (JobState.QUEUED.value, JobState.IN_PROGRESS.value)
_JOB_FIELDS = tuple(field.name for field in fields(FaxJob))
_CHANGING = tuple(name for name in _JOB_FIELDS if name not in ("id", "account_id", "idempotency_key"))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs, newest first."""

    account_id: str
    state: JobState | None = None
    backend: str | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ReceivedFilter:
    """Which received faxes, newest first."""

    account_id: str
    called: str | None = None
    state: ReceivedState | None = None
    box: str | None = None
    limit: int = MAX_PAGE


class Rows:
    """What the store knows of faxes. Every method may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._update = store.update_by_id(fax_jobs, *_CHANGING)

    async def add(self, job: FaxJob) -> None:
        await self._store.commit([(insert(fax_jobs), _job_row(job))])

    async def keep(self, job: FaxJob) -> None:
        row = _job_row(job)
        await self._store.commit([(self._update, {"key": job.id} | {name: row[name] for name in _CHANGING})])

    async def confirm(self, job_id: str, pages: int) -> None:
        """The far end has so many pages of a job that is under way; of what has ended nothing changes, however late
        this comes."""
        going = (fax_jobs.c.id == job_id) & fax_jobs.c.state.in_(_OPEN) & (fax_jobs.c.confirmed < pages)
        await self._store.commit([(update(fax_jobs).where(going), {"confirmed": pages})])

    async def job(self, job_id: str) -> FaxJob | None:
        return await self._one(fax_jobs.c.id == job_id)

    async def job_of_key(self, account_id: str, key: str) -> FaxJob | None:
        return await self._one(fax_jobs.c.idempotency_key == key, fax_jobs.c.account_id == account_id)

    async def job_of_provider(self, backend: str, sid: str) -> FaxJob | None:
        return await self._one(fax_jobs.c.provider_sid == sid, fax_jobs.c.backend == backend)

    async def open_jobs(self) -> list[FaxJob]:
        return await self._jobs(select(fax_jobs).where(fax_jobs.c.state.in_(_OPEN)).order_by(fax_jobs.c.created_at))

    async def untold(self, since: float) -> list[FaxJob]:
        """Jobs that ended and of which nobody was told."""
        ended = fax_jobs.c.state.not_in(_OPEN) & (fax_jobs.c.told_at.is_(None)) & (fax_jobs.c.updated_at >= since)
        return await self._jobs(select(fax_jobs).where(ended))

    async def page(self, wanted: JobFilter) -> tuple[int, list[FaxJob]]:
        """How many there are, and one page of them."""
        where = [fax_jobs.c.account_id == wanted.account_id]
        if wanted.state is not None:
            where.append(fax_jobs.c.state == wanted.state.value)
        if wanted.backend is not None:
            where.append(fax_jobs.c.backend == wanted.backend)
        counted = await self._store.rows(select(func.count()).select_from(fax_jobs).where(*where))
        newest = select(fax_jobs).where(*where).order_by(fax_jobs.c.created_at.desc(), fax_jobs.c.id)
        return int(counted[0][0]), await self._jobs(newest.limit(wanted.limit).offset(wanted.offset))

    async def counts(self, account_id: str) -> dict[JobState, int]:
        """Jobs by state."""
        query = select(fax_jobs.c.state, func.count()).where(fax_jobs.c.account_id == account_id)
        rows: Sequence[Any] = await self._store.rows(query.group_by(fax_jobs.c.state))
        return dict.fromkeys(JobState, 0) | {JobState(row[0]): int(row[1]) for row in rows}

    async def failures_since(self, account_id: str, since: float) -> int:
        bad = fax_jobs.c.state.in_((JobState.FAILED.value, JobState.REFUSED.value))
        mine = (fax_jobs.c.account_id == account_id) & (fax_jobs.c.updated_at >= since)
        rows = await self._store.rows(select(func.count()).select_from(fax_jobs).where(bad, mine))
        return int(rows[0][0])

    async def to_clean(self, before: float, limit: int) -> list[FaxJob]:
        """Jobs that ended before and still have documents."""
        old = fax_jobs.c.state.not_in(_OPEN) & (fax_jobs.c.updated_at < before) & fax_jobs.c.cleaned_at.is_(None)
        return await self._jobs(select(fax_jobs).where(old).limit(limit))

    # ---- received

    async def add_received(self, fax: ReceivedFax) -> None:
        await self._store.commit([(insert(received_faxes), _received_row(fax))])

    async def keep_received(self, fax: ReceivedFax) -> None:
        told = self._store.update_by_id(received_faxes, "told_at", "updated_at")
        await self._store.commit([(told, {"key": fax.id, "told_at": fax.told_at, "updated_at": fax.updated_at})])

    async def received(self, fax_id: str) -> ReceivedFax | None:
        found = await self._received(select(received_faxes).where(received_faxes.c.id == fax_id))
        return found[0] if found else None

    async def received_of(self, account_id: str, event: str) -> ReceivedFax | None:
        found = await self._received(
            select(received_faxes).where(received_faxes.c.event == event, received_faxes.c.account_id == account_id)
        )
        return found[0] if found else None

    async def received_page(self, wanted: ReceivedFilter) -> list[ReceivedFax]:
        query = select(received_faxes).where(received_faxes.c.account_id == wanted.account_id)
        if wanted.called is not None:
            query = query.where(received_faxes.c.called == wanted.called)
        if wanted.state is not None:
            query = query.where(received_faxes.c.state == wanted.state.value)
        if wanted.box is not None:
            query = query.where(received_faxes.c.box == wanted.box)
        return await self._received(query.order_by(received_faxes.c.received_at.desc()).limit(wanted.limit))

    async def received_untold(self, since: float) -> list[ReceivedFax]:
        untold = received_faxes.c.told_at.is_(None) & (received_faxes.c.received_at >= since)
        return await self._received(select(received_faxes).where(untold))

    async def received_before(self, before: float, limit: int) -> list[ReceivedFax]:
        return await self._received(select(received_faxes).where(received_faxes.c.received_at < before).limit(limit))

    async def forget_received(self, fax: ReceivedFax) -> None:
        await self._store.commit([(self._store.delete_by_id(received_faxes), {"key": fax.id})])

    async def count_received(self, account_id: str) -> int:
        mine = select(func.count()).select_from(received_faxes).where(received_faxes.c.account_id == account_id)
        return int((await self._store.rows(mine))[0][0])

    # ---- inside

    async def _one(self, *where: Any) -> FaxJob | None:
        found = await self._jobs(select(fax_jobs).where(*where))
        return found[0] if found else None

    async def _jobs(self, query: Select[Any]) -> list[FaxJob]:
        return [_job(row._asdict()) for row in await self._store.rows(query)]

    async def _received(self, query: Select[Any]) -> list[ReceivedFax]:
        rows: Sequence[Any] = await self._store.rows(query)
        return [ReceivedFax(**row._asdict() | {"state": ReceivedState(row.state)}) for row in rows]


class Files:
    """The folder of all faxes; nobody else may read it. Methods that touch the disk may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def papers(self, job_id: str) -> Papers:
        own = self.folder / "out" / job_id
        return Papers(own / "document.pdf", own / "pages.tiff")

    def original(self, job_id: str) -> Path:
        """The document as it was given, if it was no PDF."""
        return self.folder / "out" / job_id / "original"

    def received_tiff(self, fax_id: str) -> Path:
        return self.folder / "in" / fax_id / "fax.tiff"

    def received_pdf(self, fax_id: str) -> Path:
        return self.folder / "in" / fax_id / "fax.pdf"

    async def take(self, file: BinaryIO, target: Path) -> str:
        """Copies what is left of `file` to `target`; its SHA-256 in hex."""
        return await asyncio.to_thread(_copied, file, target)

    async def remove(self, file: Path) -> None:
        """Removes the folder that a document lies in."""
        await asyncio.to_thread(shutil.rmtree, file.parent, ignore_errors=True)


def _copied(file: BinaryIO, target: Path) -> str:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as copy:
        while part := file.read(1 << 18):
            digest.update(part)
            copy.write(part)
    return digest.hexdigest()


def _job(row: dict[str, Any]) -> FaxJob:
    reason = FaxReason(row["reason"]) if row["reason"] else None
    return FaxJob(**row | {"state": JobState(row["state"]), "reason": reason})


def _job_row(job: FaxJob) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in _JOB_FIELDS}
    return row | {"state": job.state.value, "reason": job.reason.value if job.reason else None}


def _received_row(fax: ReceivedFax) -> dict[str, Any]:
    row = {field.name: getattr(fax, field.name) for field in fields(ReceivedFax)}
    return row | {"state": fax.state.value}
