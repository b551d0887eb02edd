"""What providers tell: how a fax that they were handed ended, and what came in. Signed, and the same thing once."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from media.pages import BadDocument, Kind
from pbxd.api.fax.door import FAX, FaxHouse, Status, known_id
from pbxd.api.fax.posted import (
    Posted,
    body_signature,
    phaxio_signature,
    same,
    signalwire_sha256,
    signalwire_signatures,
)
from pbxd.errors import Invalid, NotFound, TooLarge, Unauthorized, Unavailable
from pbxd.services.faxes import (
    FREESWITCH,
    PHAXIO,
    SIGNALWIRE,
    SINCH,
    Arrival,
    FaxJob,
    HttpProvider,
    JobState,
    ReceivedState,
    state_of,
)

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MAX_ERROR = 400
_SID = re.compile(r"[A-Za-z0-9_.-]{1,96}")
_NO_NUMBER = re.compile(r"[^0-9A-Za-z+*#@._ -]")


class JobQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    job_id: str | None = Field(default=None, description="the fax that this is about", max_length=64)


class InternalSecret(BaseModel):
    model_config = ConfigDict(extra="ignore")

    secret: str = Field(default="", alias="X-Internal-Secret", description="creds.inbound_secret of freeswitch")


class FreeswitchResult(BaseModel):
    """What txfax said at its end."""

    model_config = ConfigDict(extra="ignore")

    job_id: Annotated[str, Field(max_length=64)] | None = None
    fax_status: Annotated[str, Field(max_length=64)] = ""
    fax_result_text: Annotated[str, Field(max_length=1024)] | None = None
    fax_document_transferred_pages: Annotated[int, Field(ge=0, le=10_000)] | None = None


class Told(BaseModel):
    ok: bool


# ---- how a fax ended


@FAX.operation("POST", "/phaxio-callback", tag="providers", scope=None, errors=(NotFound, TooLarge), body_type=FORM)
async def phaxio_callback(house: FaxHouse, query: JobQuery, request: web.Request) -> Status:
    """Hear from Phaxio how a fax ended. Its signature is checked before anything else."""
    posted = await _signed_by_phaxio(house, request)
    if query.job_id is None:
        return Status(status="no job_id provided")
    job = await _job(house, query.job_id, PHAXIO)
    said = posted.said()
    sid = _text(said, "id")
    if sid and job.provider_sid not in (None, sid):
        raise NotFound("Job not found")
    state = state_of(_text(said, "status"), {})
    await house.faxes.sending.heard(job, state, _error(said, state), _count(said, "num_pages", "pages"))
    return Status(status="ok")


@FAX.operation("POST", "/signalwire-callback", tag="providers", scope=None, errors=(NotFound, TooLarge), body_type=FORM)
async def signalwire_callback(house: FaxHouse, query: JobQuery, request: web.Request) -> Told:
    """Hear from SignalWire how a fax ended."""
    posted = await _signed_by_signalwire(house, request)
    said = posted.said()
    sid = _text(said, "FaxSid", "sid", "id")
    if query.job_id is not None:
        job = await _job(house, query.job_id, SIGNALWIRE)
    elif (found := await house.faxes.rows.job_of_provider(SIGNALWIRE, sid)) is not None:
        job = found
    else:
        raise NotFound("Job not found")
    if sid and job.provider_sid not in (None, sid):
        raise NotFound("Job not found")
    word = _text(said, "FaxStatus", "Status", "status")
    state = state_of(word, {})
    error = (_text(said, "ErrorMessage", "error_message") or word)[:MAX_ERROR] if state is JobState.FAILED else None
    await house.faxes.sending.heard(job, state, error, _count(said, "NumPages", "num_pages"))
    return Told(ok=True)


@FAX.operation("POST", "/_internal/freeswitch/outbound_result", tag="providers", scope=None, errors=(NotFound, Invalid))
async def freeswitch_result(house: FaxHouse, headers: InternalSecret, body: FreeswitchResult) -> Told:
    """Hear from a FreeSWITCH how its txfax ended."""
    provider = house.providers.get(FREESWITCH)
    secret = provider.cred("inbound_secret") if provider else ""
    if not secret:
        raise Unauthorized("Internal secret not configured")
    if not same(headers.secret, secret):
        raise Unauthorized("Invalid internal secret")
    if not body.job_id:
        raise Invalid("Missing job_id")
    job = await _job(house, body.job_id, FREESWITCH)
    word = body.fax_status.upper()
    state = JobState.IN_PROGRESS
    if word in ("SUCCESS", "OK"):
        state = JobState.SUCCESS
    elif "FAIL" in word or word == "ERROR":
        state = JobState.FAILED
    error = (body.fax_result_text or word)[:MAX_ERROR] if state is JobState.FAILED else None
    await house.faxes.sending.heard(job, state, error, body.fax_document_transferred_pages)
    return Told(ok=True)


async def _job(house: FaxHouse, job_id: str, backend: str) -> FaxJob:
    job = await house.faxes.sending.find(known_id(job_id, "Job not found"))
    if job.backend != backend:
        raise NotFound("Job not found")
    return job


# ---- what came in


@FAX.operation(
    "POST", "/phaxio-inbound", tag="providers", scope=None, errors=(NotFound, Invalid, TooLarge), body_type=FORM
)
async def phaxio_inbound(house: FaxHouse, request: web.Request) -> Status:
    """Take in a fax that Phaxio received: its file, or what it names of Phaxio's own."""
    _receiving(house)
    posted = await _signed_by_phaxio(house, request)
    file = next((content for _name, content in posted.files), None)
    return await _arrived(house, PHAXIO, posted.said(), file)


@FAX.operation(
    "POST", "/sinch-inbound", tag="providers", scope=None, errors=(NotFound, Invalid, TooLarge), body_type=JSON
)
async def sinch_inbound(house: FaxHouse, request: web.Request) -> Status:
    """Take in a fax that Sinch received, or hear how one ended that it was handed."""
    _receiving(house)
    posted = await _signed_by_sinch(house, request)
    said = posted.said()
    if _text(said, "direction").upper() == "OUTBOUND":
        job = await house.faxes.rows.job_of_provider(SINCH, _text(said, "id"))
        if job is None:
            raise NotFound("Job not found")
        state = state_of(_text(said, "status"), {})
        await house.faxes.sending.heard(job, state, _error(said, state), _count(said, "numberOfPages"))
        return Status(status="ok")
    file = next((content for _name, content in posted.files), None)
    if file is None and (text := _text(said, "file")):
        try:
            file = await asyncio.to_thread(base64.b64decode, text, validate=True)
        except (ValueError, binascii.Error):
            raise Invalid("Invalid payload") from None
    return await _arrived(house, SINCH, said, file)


def _receiving(house: FaxHouse) -> None:
    if not house.config().faxes.inbound.enabled:
        raise NotFound("Inbound not enabled")


async def _arrived(house: FaxHouse, name: str, said: Mapping[str, Any], file: bytes | None) -> Status:
    """Takes in a fax, once for each id of the provider's."""
    sid = _text(said, "id")
    if not _SID.fullmatch(sid):
        return Status(status="ignored")
    event, called = f"{name}:{sid}", _number(said, "to", "to_number")
    if await house.faxes.arrivals.has(event, called):
        return Status(status="ok")
    failed = state_of(_text(said, "status"), {}) is JobState.FAILED
    folder = house.faxes.files.folder / "incoming"
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:
            path = None if failed and file is None else Path(own) / "document"
            if path is not None:
                await _fetched(house, name, said, file, path)
            kind = Kind.of(await asyncio.to_thread(_begin, path)) if path is not None else None
            if path is not None and kind not in (Kind.PDF, Kind.TIFF):
                raise Invalid("Invalid payload")
            arrival = Arrival(
                event=event,
                caller=_number(said, "from", "from_number"),
                called=called,
                backend=name,
                file=path,
                is_pdf=kind is Kind.PDF,
                state=ReceivedState.FAILED if failed else ReceivedState.RECEIVED,
                pages=_count(said, "num_pages", "numberOfPages", "pages") or 0,
                reason=_text(said, "error_message", "errorMessage")[:MAX_ERROR] if failed else "",
            )
            await house.faxes.arrivals.take(arrival)
    except BadDocument:
        raise Invalid("Invalid payload") from None
    except OSError as error:
        raise Unavailable(f"the fax cannot be kept now: {error.strerror}") from None
    return Status(status="ok")


async def _fetched(house: FaxHouse, name: str, said: Mapping[str, Any], file: bytes | None, path: Path) -> None:
    if file is not None:
        await asyncio.to_thread(path.write_bytes, file)
        return
    provider = house.providers.get(name)
    if provider is None:
        raise Invalid("Invalid file_url")
    await provider.fetch(_text(said, "file_url") or None, _text(said, "id"), path)


# ---- who says so


async def _signed_by_phaxio(house: FaxHouse, request: web.Request) -> Posted:
    """The body, if Phaxio signed it: HMAC-SHA256 of it with the API secret, as the contract has it, or HMAC-SHA1 of URL
    and fields with the callback token, as Phaxio does. Raises Unauthorized."""
    provider = house.providers.get(PHAXIO)
    given = request.headers.get("X-Phaxio-Signature", "").strip().lower()
    secret, token = (provider.cred("secret"), provider.cred("callback_token")) if provider else ("", "")
    checked = provider is None or provider.said.verify
    if checked and not given:
        raise Unauthorized("Missing Phaxio signature")
    if checked and not (secret or token):
        raise Unauthorized("Phaxio secret not configured")
    posted = await house.inlets[PHAXIO].read(request)
    if not checked:
        return posted
    base = house.config().http.public_url or f"{request.scheme}://{request.host}"
    good = [body_signature(secret, posted.raw)] if secret else []
    if token:
        good.append(phaxio_signature(token, base + request.raw_path, posted.fields, posted.files))
    if not sum(same(given, one) for one in good):  # all are looked at, whichever it is
        raise Unauthorized("Invalid Phaxio signature")
    return posted


async def _signed_by_sinch(house: FaxHouse, request: web.Request) -> Posted:
    """The body, if it came with the password or the signature that are configured, or both. Raises Unauthorized."""
    provider = house.providers.get(SINCH)
    password = _basic(provider) if provider else ""
    secret = provider.cred("inbound_secret") if provider else ""
    checked = provider is None or provider.said.verify
    if checked and not (password or secret):
        raise Unauthorized("Sinch secret not configured")
    if checked and password and not same(request.headers.get("Authorization", ""), password):
        raise Unauthorized("Invalid basic auth")
    given = request.headers.get("X-Sinch-Signature", "").strip().lower()
    if checked and secret and not given:
        raise Unauthorized("Invalid signature")
    posted = await house.inlets[SINCH].read(request)
    if checked and secret and not same(given, body_signature(secret, posted.raw)):
        raise Unauthorized("Invalid signature")
    return posted


async def _signed_by_signalwire(house: FaxHouse, request: web.Request) -> Posted:
    """The body, if SignalWire signed it with the signing key of its project. Raises Unauthorized."""
    provider = house.providers.get(SIGNALWIRE)
    key = provider.cred("signing_key") if provider else ""
    checked = provider is None or provider.said.verify
    given = request.headers.get("X-SignalWire-Signature", "").strip()
    stronger = request.headers.get("X-SignalWire-SHA256-Signature", "").strip()
    if checked and not key:
        raise Unauthorized("SignalWire signing key not configured")
    if checked and not (given or stronger):
        raise Unauthorized("Invalid signature")
    posted = await house.inlets[SIGNALWIRE].read(request)
    if not checked:
        return posted
    url = (house.config().http.public_url or f"{request.scheme}://{request.host}") + request.raw_path
    if stronger:
        good = same(stronger, signalwire_sha256(key, url, posted))
    else:
        good = bool(sum(same(given, one) for one in signalwire_signatures(key, url, posted)))  # all are looked at
    if not good:
        raise Unauthorized("Invalid signature")
    return posted


def _basic(provider: HttpProvider) -> str:
    user, password = provider.cred("inbound_user"), provider.cred("inbound_password")
    if not (user and password):
        return ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# ---- values


def _text(said: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = said.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def _number(said: Mapping[str, Any], *names: str) -> str:
    return _NO_NUMBER.sub("", _text(said, *names))[:32]


def _count(said: Mapping[str, Any], *names: str) -> int | None:
    text = _text(said, *names)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else None


def _error(said: Mapping[str, Any], state: JobState) -> str | None:
    if state is not JobState.FAILED:
        return None
    return (_text(said, "error_message", "errorMessage", "message") or _text(said, "status"))[:MAX_ERROR]


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)
