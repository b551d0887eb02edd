"""Sending: a document for a number, how far it is, and its PDF."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from media.pages import Kind
from pbxd.api.contract import Download, FormFile, Identity, Room
from pbxd.api.fax.door import FAX, FaxHouse, FaxPath, Own, Unsupported, is_number, known_id, moment
from pbxd.errors import Conflict, Denied, Invalid, NotFound, Overloaded, TooLarge, Unavailable
from pbxd.services.audit import masked
from pbxd.services.faxes import FaxJob, FaxWish

SNIFFED = 1024
NAME_MAX = 200
_TYPES = {Kind.PDF, Kind.TEXT}


class FaxForm(BaseModel):
    """What is asked for. What is not on the contract's page is optional."""

    model_config = ConfigDict(extra="ignore")

    to: str = Field(description="the number, E.164 or digits", max_length=4096)
    file: FormFile = Field(description="a PDF, or plain text in UTF-8")
    idempotency_key: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = Field(
        default=None, description="the same key is the same fax, however often it is sent here"
    )
    priority: Annotated[int, Field(ge=-10, le=10)] = Field(default=0, description="higher goes first")
    send_at: Annotated[float, Field(ge=0, le=1e11)] | None = Field(
        default=None, description="when it is to go, in seconds since the epoch"
    )
    header: Annotated[str, Field(pattern=r"^[ -~]{0,50}$")] | None = Field(
        default=None, description="the text over each page, in place of that of the settings"
    )
    ident: Annotated[str, Field(pattern=r"^[0-9+ ]{0,20}$")] | None = Field(
        default=None, description="the number that the far side shows, in place of that of the settings"
    )


class FaxJobOut(BaseModel):
    """A fax and how far it is."""

    id: str
    to: str
    status: str = Field(description="queued, in_progress, SUCCESS, FAILED, failed or disabled")
    error: str | None
    pages: int | None
    backend: str
    provider_sid: str | None
    created_at: str
    updated_at: str


class TokenQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: str = Field(description="what the link to the PDF carries")


def job_out(job: FaxJob) -> FaxJobOut:
    return FaxJobOut(
        id=job.id,
        to=job.to,
        status=job.state.value,
        error=job.error,
        pages=job.pages,
        backend=job.backend,
        provider_sid=job.provider_sid,
        created_at=moment(job.created_at),
        updated_at=moment(job.updated_at),
    )


def _room(house: FaxHouse) -> Room:
    most = house.config().faxes.max_mb
    return Room(most << 20, f"File exceeds {most} MB limit")


@FAX.operation(
    "POST",
    "/fax",
    tag="fax",
    scope="fax:send",
    status=202,
    errors=(Invalid, TooLarge, Unsupported, Conflict, Overloaded),
    room=_room,
)
async def send_fax(house: FaxHouse, form: FaxForm, query: Own, identity: Identity) -> FaxJobOut:
    """Send a fax.

    It is taken, and goes out as soon as a line is free; `GET /fax/{id}` says how far it is.
    """
    if not is_number(form.to):
        raise Invalid("'to' must be E.164 or digits only")
    kind = Kind.of(form.file.file.read(SNIFFED))
    form.file.file.seek(0)
    if kind not in _TYPES:
        raise Unsupported("Only PDF and TXT are allowed")
    wish = FaxWish(
        to=form.to,
        file_name="".join(sign for sign in form.file.name if sign.isprintable())[-NAME_MAX:],
        key=f"{identity.name}:{form.idempotency_key}" if form.idempotency_key else "",
        priority=form.priority,
        at=form.send_at,
        ident=form.ident,
        header=form.header,
        made_by=identity.name,
        account_id=house.account_of(identity),
    )
    job = await house.faxes.sending.submit(wish, form.file.file, kind)
    house.audit.note("job_created", job_id=job.id, to=masked(job.to), key_id=identity.name, backend=job.backend)
    return job_out(job)


@FAX.operation("GET", "/fax/{id}", tag="fax", scope="fax:read", errors=(NotFound,))
async def get_fax(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> FaxJobOut:
    """Get a fax and how far it is."""
    return job_out(await house.faxes.sending.find(known_id(path.id, "Job not found"), house.account_of(identity)))


@FAX.operation("DELETE", "/fax/{id}", tag="fax", scope="fax:send", errors=(NotFound, Conflict, Unavailable))
async def cancel_fax(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> FaxJobOut:
    """Cancel a fax.

    One that is being sent is hung up. It ends as FAILED.
    """
    job = await house.faxes.sending.cancel(known_id(path.id, "Job not found"), house.account_of(identity))
    house.audit.note("job_cancelled", job_id=job.id, key_id=identity.name)
    return job_out(job)


@FAX.operation(
    "GET", "/fax/{id}/pdf", tag="fax", scope=None, errors=(NotFound, Denied, Unavailable), media="application/pdf"
)
async def get_fax_pdf(house: FaxHouse, path: FaxPath, query: TokenQuery) -> Download:
    """Get the PDF of a fax, by the link that a provider was given."""
    job = await house.faxes.sending.find(known_id(path.id, "Job not found"))
    house.check_token(query.token, "out", job.id)
    pdf = await pdf_of(house, job)
    house.audit.note("pdf_served", job_id=job.id)
    return pdf


async def pdf_of(house: FaxHouse, job: FaxJob) -> Download:
    """The PDF of a job. Raises NotFound where it is no longer kept, Unavailable."""
    try:
        pdf = await house.faxes.depot.bring(house.faxes.files.papers(job.id).pdf)
    except NotFound:
        raise NotFound("PDF not available" if job.cleaned_at else "PDF file not found") from None
    return Download(pdf, "application/pdf", f"fax_{job.id}.pdf")
