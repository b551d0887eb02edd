"""Looking after faxes: jobs with masked numbers, health, the store, the audit log, diagnostics, a restart."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import make_url

from pbxd.api.contract import Download, Identity, OneAccount
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse, FaxPath, Own, known_id, moment
from pbxd.api.fax.outbound import pdf_of
from pbxd.api.health import FaxReadiness
from pbxd.errors import Denied, Invalid, NotFound, Unavailable
from pbxd.services.audit import masked
from pbxd.services.faxes import DISABLED, SIP, FaxJob, JobFilter, JobState

ERROR_MAX = 80
HOUR_S = 3600
MAX_LINES = 20_000
_DIGITS = re.compile(r"\+?[0-9]{6,}")
_Word = Annotated[str, Field(max_length=128)]
RESTART_NOTE = "pbxd ends now; what started it starts it again"


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore")


class JobsQuery(_Query, OneAccount):
    status: _Word | None = None
    backend: _Word | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class AdminJob(BaseModel):
    """A fax as an admin sees it."""

    id: str
    to_number: str
    status: str
    backend: str
    pages: int | None
    error: str | None
    created_at: str
    updated_at: str


class AdminJobDetail(AdminJob):
    provider_sid: str | None
    file_name: str
    pages_confirmed: int
    tries: int
    speed: int | None
    ecm: bool | None
    transport: str | None
    remote_ident: str | None
    duration_s: float
    reason: str | None


class AdminJobs(BaseModel):
    total: int
    jobs: list[AdminJob]


class JobCounts(BaseModel):
    queued: int
    in_progress: int
    recent_failures: int


class HealthStatus(BaseModel):
    timestamp: str
    backend: str
    backend_healthy: bool
    jobs: JobCounts
    inbound_enabled: bool
    api_keys_configured: bool
    require_auth: bool


class StoreStatus(BaseModel):
    url: str
    engine: str
    connected: bool
    error: str | None
    counts: dict[str, int]
    sqlite: bool


class LogQuery(_Query):
    q: _Word | None = None
    event: _Word | None = None
    since: _Word | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class TailQuery(_Query):
    q: _Word | None = None
    event: _Word | None = None
    lines: Annotated[int, Field(ge=1, le=MAX_LINES)] = 2000


class LogItems(BaseModel):
    items: list[dict[str, Any]]
    count: int


class LogTail(LogItems):
    source: str


class Summary(BaseModel):
    healthy: bool
    critical_issues: list[str]
    warnings: list[str]


class Diagnostics(BaseModel):
    timestamp: str
    backend: str
    checks: dict[str, Any]
    summary: Summary


class Restarting(BaseModel):
    ok: bool
    note: str


def _job(job: FaxJob) -> AdminJob:
    error = _DIGITS.sub(lambda found: masked(found[0]), job.error)[:ERROR_MAX] if job.error else None
    return AdminJob(
        id=job.id,
        to_number=masked(job.to),
        status=job.state.value,
        backend=job.backend,
        pages=job.pages,
        error=error,
        created_at=moment(job.created_at),
        updated_at=moment(job.updated_at),
    )


def detail(job: FaxJob) -> AdminJobDetail:
    return AdminJobDetail(
        **_job(job).model_dump(),
        provider_sid=job.provider_sid,
        file_name=job.file_name,
        pages_confirmed=job.confirmed,
        tries=job.tries,
        speed=job.speed,
        ecm=job.ecm,
        transport=job.transport,
        remote_ident=job.remote_ident,
        duration_s=job.duration_s,
        reason=job.reason.value if job.reason else None,
    )


@FAX.operation("GET", "/admin/fax-jobs", tag="jobs", scope=ADMIN)
async def list_jobs(house: FaxHouse, query: JobsQuery, identity: Identity) -> AdminJobs:
    """List faxes, newest first, with masked numbers."""
    states = {state.value: state for state in JobState}
    if query.status is not None and query.status not in states:
        return AdminJobs(total=0, jobs=[])
    state = states[query.status] if query.status is not None else None
    wanted = JobFilter(house.account_of(identity), state, query.backend, query.limit, query.offset)
    total, jobs = await house.faxes.rows.page(wanted)
    return AdminJobs(total=total, jobs=[_job(job) for job in jobs])


@FAX.operation("GET", "/admin/fax-jobs/{id}", tag="jobs", scope=ADMIN, errors=(NotFound,))
async def get_job(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> AdminJobDetail:
    """Get a fax with all that is known of it."""
    return detail(await house.faxes.sending.find(known_id(path.id, "Job not found"), house.account_of(identity)))


@FAX.operation(
    "GET",
    "/admin/fax-jobs/{id}/pdf",
    tag="jobs",
    scope=ADMIN,
    errors=(NotFound, Unavailable),
    media="application/pdf",
)
async def get_job_pdf(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> Download:
    """Get the PDF of a fax."""
    job = await house.faxes.sending.find(known_id(path.id, "Job not found"), house.account_of(identity))
    pdf = await pdf_of(house, job)
    house.audit.note("admin_pdf_download", job_id=job.id, key_id=identity.name)
    return pdf


@FAX.operation("POST", "/admin/fax-jobs/{id}/refresh", tag="jobs", scope=ADMIN, errors=(NotFound, Invalid, Unavailable))
async def refresh_job(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> AdminJobDetail:
    """Ask the provider of a fax how far it is.

    The house's own lines tell of themselves.
    """
    job = await house.faxes.sending.find(known_id(path.id, "Job not found"), house.account_of(identity))
    provider = house.providers.get(job.backend)
    if provider is None or not provider.refreshes:
        raise Invalid("Refresh not supported for this backend")
    return detail(await house.faxes.sending.look(job))


@FAX.operation("GET", "/admin/health-status", tag="admin", scope=ADMIN)
async def health_status(house: FaxHouse) -> HealthStatus:
    """Get how faxes are."""
    account, settings = house.faxes.office.account_id, house.config().faxes
    counts = await house.faxes.rows.counts(account)
    failures = await house.faxes.rows.failures_since(account, house.wall() - HOUR_S)
    return HealthStatus(
        timestamp=moment(house.wall()),
        backend=settings.backend,
        backend_healthy=backend_trouble(house) is None,
        jobs=JobCounts(
            queued=counts[JobState.QUEUED], in_progress=counts[JobState.IN_PROGRESS], recent_failures=failures
        ),
        inbound_enabled=settings.inbound.enabled,
        api_keys_configured=bool(len(house.keys) or house.config().keys),
        require_auth=settings.require_key,
    )


@FAX.operation("GET", "/admin/db-status", tag="admin", scope=ADMIN)
async def db_status(house: FaxHouse) -> StoreStatus:
    """Get how the store is."""
    said = house.config().store.url
    url = make_url(said.get_secret_value()) if said is not None else None
    account = house.faxes.office.account_id
    counts = await house.faxes.rows.counts(account)
    received = await house.faxes.rows.count_received(account)
    trouble = house.store_trouble()
    return StoreStatus(
        url=url.render_as_string(hide_password=True) if url is not None else "sqlite:///pbxd.db",
        engine=url.get_backend_name() if url is not None else "sqlite",
        connected=trouble is None,
        error=trouble,
        counts={"fax_jobs": sum(counts.values()), "inbound_faxes": received, "api_keys": len(house.keys)},
        sqlite=url is None or url.get_backend_name() == "sqlite",
    )


@FAX.operation("GET", "/admin/logs", tag="admin", scope=ADMIN)
async def recent_logs(house: FaxHouse, query: LogQuery) -> LogItems:
    """List the newest entries of the audit log."""
    found = house.audit.recent(query.q, query.event, query.since, query.limit)
    return LogItems(items=found, count=len(found))


@FAX.operation("GET", "/admin/logs/tail", tag="admin", scope=ADMIN, errors=(NotFound, Invalid))
async def tail_logs(house: FaxHouse, query: TailQuery) -> LogTail:
    """Get the end of the audit log's file."""
    file = house.audit.settings.file
    if not house.audit.settings.enabled or file is None:
        raise Invalid("Audit log file not configured")
    try:
        found = await asyncio.to_thread(house.audit.tail, file, query.q, query.event, query.lines)
    except OSError:
        raise NotFound("Audit log file not found") from None
    return LogTail(items=found, count=len(found), source=file.name)


@FAX.operation("POST", "/admin/diagnostics/run", tag="admin", scope=ADMIN)
async def run_diagnostics(house: FaxHouse) -> Diagnostics:
    """Look at everything that faxes need."""
    config, settings = house.config(), house.config().faxes
    troubles = {
        "backend": backend_trouble(house),
        "store": house.store_trouble(),
        "sip": house.sip_trouble(),
        "storage": await storage_trouble(house),
    }
    checks: dict[str, Any] = {name: why or "ok" for name, why in troubles.items()}
    checks["waiting"] = len(house.faxes.sending.queue)
    checks["sending"] = len(house.faxes.sending.queue.active)
    checks["inbound"] = "enabled" if settings.inbound.enabled else "disabled"
    warnings = []
    if not settings.require_key:
        warnings.append("anybody may send faxes: faxes.require_key is false")
    if config.mail.server is None and (settings.mail or any(box.mail for box in settings.boxes.values())):
        warnings.append("mail is wanted, and mail.server is not set")
    critical = [f"{name}: {why}" for name, why in troubles.items() if why is not None]
    summary = Summary(healthy=not critical, critical_issues=critical, warnings=warnings)
    return Diagnostics(timestamp=moment(house.wall()), backend=settings.backend, checks=checks, summary=summary)


@FAX.operation("POST", "/admin/restart", tag="admin", scope=ADMIN, errors=(Denied,))
async def restart(house: FaxHouse, identity: Identity) -> Restarting:
    """End the daemon, as a stop does; systemd or a supervisor starts it again."""
    if not house.config().faxes.allow_restart:
        raise Denied("Restart not allowed")
    house.audit.note("admin_restart", key_id=identity.name)
    house.restart()
    return Restarting(ok=True, note=RESTART_NOTE)


def readiness(house: FaxHouse) -> FaxReadiness:
    """How faxes are, for `/health/ready`. What renders documents is part of the house: `ghostscript` is that."""
    settings = house.config().faxes
    backend, store = backend_trouble(house), house.store_trouble()
    storage = None
    if settings.inbound.enabled:
        storage = _folder_trouble(house) or house.faxes.depot.trouble
    return FaxReadiness(
        backend=settings.backend,
        checks={
            "db": store is None,
            "backend_config": backend is None,
            "storage": storage is None if settings.inbound.enabled else None,
            "ami_connected": None,
            "ghostscript": True,
        },
        warnings=[] if backend is None else [backend],
        storage_error=storage,
    )


async def storage_trouble(house: FaxHouse) -> str | None:
    """What is wrong with where documents lie; a bucket is asked."""
    return _folder_trouble(house) or await house.faxes.depot.check()


def _folder_trouble(house: FaxHouse) -> str | None:
    folder = house.faxes.files.folder
    writable = os.access(folder if folder.exists() else folder.parent, os.W_OK)
    return None if writable else "the folder of faxes cannot be written to"


def backend_trouble(house: FaxHouse) -> str | None:
    """What is wrong with who carries faxes."""
    backend = house.config().faxes.backend
    if backend == DISABLED:
        return None
    if backend not in house.faxes.sending.carriers:
        return f"there is no fax backend {backend}"
    provider = house.providers.get(backend)
    if provider is not None:
        return provider.trouble
    return line_trouble(house) if backend == SIP else None


def line_trouble(house: FaxHouse) -> str | None:
    """What is wrong with the house's own line."""
    return "this house has no fax line" if house.faxes.sip.line is None else None
