"""Faxes that came in: the list, one of them, its PDF; and the door for an Asterisk beside the house."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, RootModel

from media.pages import BadDocument
from pbxd.api.contract import Download, Identity, OneAccount
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse, FaxPath, Own, Status, known_id, moment
from pbxd.errors import Denied, Invalid, NotFound, Unauthorized, Unavailable
from pbxd.services.audit import masked
from pbxd.services.faxes import MAX_PAGE, Arrival, ReceivedFax, ReceivedFilter, ReceivedState

_Filter = Annotated[str, Field(max_length=64)]


class InboundFaxOut(BaseModel):
    """A fax that came in. `pdf_url` opens its PDF for a while, without a key."""

    id: str
    fr: str | None
    to: str | None
    status: str
    backend: str
    pages: int | None
    size_bytes: int | None
    created_at: str
    received_at: str
    updated_at: str
    mailbox: str | None
    sha256: str | None
    pdf_url: str | None


class InboundList(RootModel[list[InboundFaxOut]]):
    """Newest first."""


class InboundQuery(OneAccount):
    model_config = ConfigDict(extra="ignore")

    to_number: _Filter | None = Field(default=None, description="the number that was called, exactly")
    status: _Filter | None = Field(default=None, description="received, partial or failed")
    mailbox: _Filter | None = Field(default=None, description="the name of a box")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = Field(default=MAX_PAGE, description="how many at most")


def _enabled(house: FaxHouse) -> None:
    if not house.config().faxes.inbound.enabled:
        raise NotFound("Inbound not enabled")


def inbound_out(house: FaxHouse, fax: ReceivedFax) -> InboundFaxOut:
    base = house.config().http.public_url or ""
    link = f"{base}/inbound/{fax.id}/pdf?token={house.pdf_token('in', fax.id)}" if fax.sha256 else None
    return InboundFaxOut(
        id=fax.id,
        fr=fax.caller or None,
        to=fax.called or None,
        status=fax.state.value,
        backend=fax.backend,
        pages=fax.pages,
        size_bytes=fax.octets or None,
        created_at=moment(fax.received_at),
        received_at=moment(fax.received_at),
        updated_at=moment(fax.updated_at),
        mailbox=fax.box,
        sha256=fax.sha256,
        pdf_url=link,
    )


@FAX.operation("GET", "/inbound", tag="inbound", scope="inbound:list", errors=(NotFound,))
async def list_inbound(house: FaxHouse, query: InboundQuery, identity: Identity) -> InboundList:
    """List faxes that came in."""
    _enabled(house)
    states = {state.value: state for state in ReceivedState}
    if query.status is not None and query.status not in states:
        return InboundList([])
    account = house.account_of(identity)
    state = states[query.status] if query.status is not None else None
    wanted = ReceivedFilter(account, query.to_number, state, query.mailbox, query.limit)
    return InboundList([inbound_out(house, fax) for fax in await house.faxes.rows.received_page(wanted)])


@FAX.operation("GET", "/inbound/{id}", tag="inbound", scope="inbound:read", errors=(NotFound,))
async def get_inbound(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> InboundFaxOut:
    """Get a fax that came in."""
    _enabled(house)
    found = await house.faxes.arrivals.find(known_id(path.id, "Inbound fax not found"), house.account_of(identity))
    return inbound_out(house, found)


class PdfQuery(OneAccount):
    model_config = ConfigDict(extra="ignore")

    token: str | None = Field(default=None, description="what the link carries; not needed with a key")


@FAX.operation(
    "GET",
    "/inbound/{id}/pdf",
    tag="inbound",
    scope="inbound:read",
    errors=(NotFound, Denied, Unavailable),
    token_instead=True,
    media="application/pdf",
)
async def get_inbound_pdf(house: FaxHouse, path: FaxPath, query: PdfQuery, identity: Identity | None) -> Download:
    """Get the PDF of a fax that came in: with a key, or by the link of `GET /inbound/{id}`."""
    _enabled(house)
    account = None if query.token is not None else house.account_of(identity)
    fax = await house.faxes.arrivals.find(known_id(path.id, "Inbound fax not found"), account)
    if query.token is not None:
        house.check_token(query.token, "in", fax.id)
    try:
        pdf = await house.faxes.depot.bring(house.faxes.files.received_pdf(fax.id), fax.sha256)
    except NotFound:
        raise NotFound("PDF file not found") from None
    house.audit.note("inbound_pdf_served", inbound_id=fax.id)
    return Download(pdf, "application/pdf", f"inbound_{fax.id}.pdf", fax.sha256)


@FAX.operation("DELETE", "/inbound/{id}", tag="inbound", scope=ADMIN, errors=(NotFound, Unavailable))
async def delete_inbound(house: FaxHouse, path: FaxPath, query: Own, identity: Identity) -> Status:
    """Delete a fax that came in, pages and all."""
    _enabled(house)
    await house.faxes.arrivals.delete(known_id(path.id, "Inbound fax not found"), house.account_of(identity))
    house.audit.note("inbound_deleted", inbound_id=path.id, key_id=identity.name)
    return Status(status="ok")


class InternalSecret(BaseModel):
    model_config = ConfigDict(extra="ignore")

    secret: str = Field(default="", alias="X-Internal-Secret", description="faxes.inbound.asterisk_secret")


class AsteriskFax(BaseModel):
    """What an Asterisk beside the house has received."""

    model_config = ConfigDict(extra="ignore")

    tiff_path: Annotated[str, Field(min_length=1, max_length=1024)]
    to_number: Annotated[str, Field(min_length=1, max_length=64)]
    from_number: Annotated[str, Field(max_length=64)] | None = None
    faxstatus: Annotated[str, Field(max_length=64)] | None = None
    faxpages: Annotated[int, Field(ge=0, le=10_000)] | None = None
    uniqueid: Annotated[str, Field(min_length=1, max_length=128)]


class Taken(BaseModel):
    id: str
    status: str


def _knock(house: FaxHouse, request: web.Request) -> None:
    """Who does not know the secret hears nothing of what is wrong besides."""
    _enabled(house)
    secret = house.config().faxes.inbound.asterisk_secret
    if secret is None:
        raise Unauthorized("Internal secret not configured")
    if not _same(request.headers.get("X-Internal-Secret", ""), secret.get_secret_value()):
        raise Unauthorized("Invalid internal secret")


@FAX.operation(
    "POST",
    "/_internal/asterisk/inbound",
    tag="inbound",
    scope=None,
    errors=(NotFound, Invalid, Unauthorized),
    guard=_knock,
    wrong=lambda: Invalid("Invalid payload"),
)
async def asterisk_inbound(house: FaxHouse, headers: InternalSecret, body: AsteriskFax) -> Taken:
    """Take in a fax that an Asterisk beside the house received.

    The TIFF file lies in the inbox folder and nowhere else. The same `uniqueid` is the same fax.
    """
    settings = house.config().faxes.inbound
    tiff = await asyncio.to_thread(_in_inbox, settings.inbox or house.faxes.files.folder / "inbox", body.tiff_path)
    well = (body.faxstatus or "SUCCESS").upper() in ("SUCCESS", "OK")
    arrival = Arrival(
        event=f"asterisk:{body.uniqueid}",
        caller=body.from_number or "",
        called=body.to_number,
        backend="asterisk",
        file=tiff,
        state=ReceivedState.RECEIVED if well else ReceivedState.PARTIAL,
        pages=body.faxpages or 0,
        reason="" if well else str(body.faxstatus),
    )
    try:
        fax, _new = await house.faxes.arrivals.take(arrival)
    except (BadDocument, OSError):
        raise Invalid("Invalid payload") from None
    house.audit.note("inbound_received", inbound_id=fax.id, to=masked(fax.called), backend=fax.backend)
    return Taken(id=fax.id, status="ok")


def _same(given: str, expected: str) -> bool:
    """In a time that says nothing of either."""
    return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), hashlib.sha256(expected.encode()).digest())


def _in_inbox(inbox: Path, said: str) -> Path:
    """The file, if it is one and lies in the inbox, whatever links lead there. Raises Invalid."""
    try:
        folder = inbox.resolve(strict=True)
        path = (folder / said).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise Invalid("Invalid payload") from None
    if not (path.is_relative_to(folder) and path.is_file()):
        raise Invalid("Invalid payload")
    return path
