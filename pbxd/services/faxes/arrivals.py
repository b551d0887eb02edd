"""Faxes that come in: into a box once, as TIFF and PDF with a checksum; told by mail and webhook; deleted in time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from media.fax import FaxReceived, FaxResult
from media.pages import BadDocument, Kind
from pbxd.errors import NotFound, Unavailable
from pbxd.services.faxes import notices
from pbxd.services.faxes.office import Office
from pbxd.services.faxes.received import FaxArrived, ReceivedFax, ReceivedState, box_of
from pbxd.store import StoreError

log = logging.getLogger(__name__)

DAY_S = 86_400.0
UNTOLD_S = 7 * DAY_S
_STATES = {FaxResult.SUCCESS: ReceivedState.RECEIVED, FaxResult.PARTIAL: ReceivedState.PARTIAL}


@dataclass(frozen=True, slots=True)
class Arrival:
    """What somebody says came in. `event` tells it from every other; `file` is a TIFF, or a PDF where `is_pdf`, or
    nothing where not one page is there. Without an `account_id` it is for the account that has the called number."""

    event: str
    caller: str
    called: str
    backend: str
    file: Path | None
    is_pdf: bool = False
    state: ReceivedState = ReceivedState.RECEIVED
    pages: int = 0
    remote_ident: str = ""
    speed: int | None = None
    ecm: bool | None = None
    duration_s: float = 0.0
    reason: str = ""
    account_id: str = ""


def arrival_of(fax: FaxReceived) -> Arrival:
    """What the house's own line received."""
    outcome = fax.outcome
    well = outcome.result is FaxResult.SUCCESS
    return Arrival(
        event=f"call:{fax.call_id}",
        caller=fax.caller,
        called=fax.called,
        account_id=fax.account,
        backend="sip",
        file=fax.tiff,
        state=_STATES.get(outcome.result, ReceivedState.FAILED),
        pages=outcome.pages_confirmed,
        remote_ident=outcome.remote_ident,
        speed=outcome.speed or None,
        ecm=outcome.ecm if outcome.speed else None,
        duration_s=outcome.duration_s,
        reason="" if well else outcome.reason.value,
    )


class Arrivals:
    """The boxes."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._turn = asyncio.Lock()  # of those with the same event, one finds the other
        self.taken: Counter[ReceivedState] = Counter(dict.fromkeys(ReceivedState, 0))

    def received(self, fax: FaxReceived) -> None:
        """Takes in what the house's own line received; returns at once."""
        self._office.surely_aside(self._take_own(fax), f"fax-in-{fax.call_id}")

    async def _take_own(self, fax: FaxReceived) -> None:
        await self._office.surely(lambda: self._take(arrival_of(fax)))
        if fax.tiff is not None:
            await asyncio.to_thread(_drop, fax.tiff)

    async def _take(self, arrival: Arrival) -> None:
        await self.take(arrival)

    async def take(self, arrival: Arrival) -> tuple[ReceivedFax, bool]:
        """Stores what came in; whether it is new. The file is copied. Raises BadDocument where it is a provider's and
        no fax, StoreError, OSError."""
        office = self._office
        async with self._turn:
            account_id = arrival.account_id or office.account_of(arrival.called)
            known = await office.rows.received_of(account_id, arrival.event)
            if known is not None:
                return known, False
            fax = await self._stored(replace(arrival, account_id=account_id))
        self.taken[fax.state] += 1
        log.info("a fax came in for the box %s: %d pages", fax.box, fax.pages)
        office.bus.publish(FaxArrived(fax))
        office.aside(self._told(fax), f"fax-tell-{fax.id}")
        return fax, True

    async def _told(self, fax: ReceivedFax) -> None:
        files = self._office.files
        await self._tell(fax)
        await self._office.depot.put_away(files.received_pdf(fax.id), files.received_tiff(fax.id))

    async def has(self, event: str, called: str) -> bool:
        """Whether it came in before, for the account that has the called number. Raises StoreError."""
        return await self._office.rows.received_of(self._office.account_of(called), event) is not None

    async def find(self, fax_id: str, account_id: str | None = None) -> ReceivedFax:
        """One of an account; None: of any. Raises NotFound, StoreError."""
        fax = await self._office.rows.received(fax_id)
        if fax is None or account_id not in (None, fax.account_id):
            raise NotFound("Inbound fax not found")
        return fax

    async def delete(self, fax_id: str, account_id: str | None = None) -> None:
        """Raises NotFound, Unavailable, StoreError."""
        await self._forget(await self.find(fax_id, account_id))

    async def tell_again(self) -> None:
        """Raises StoreError."""
        for fax in await self._office.rows.received_untold(self._office.wall() - UNTOLD_S):
            await self._tell(fax)

    async def clean(self, wall: float) -> int:
        """Deletes what is too old, rows and files; how many. Raises StoreError, Unavailable."""
        office, days = self._office, self._office.settings.inbound.keep_days
        if not days:
            return 0
        old = await office.rows.received_before(wall - days * DAY_S, 200)
        for fax in old:
            await self._forget(fax)
        return len(old)

    async def _forget(self, fax: ReceivedFax) -> None:
        files = self._office.files
        await self._office.depot.remove(files.received_pdf(fax.id), files.received_tiff(fax.id))
        await self._office.rows.forget_received(fax)

    async def _stored(self, arrival: Arrival) -> ReceivedFax:
        office, wall = self._office, self._office.wall()
        fax_id = uuid.uuid4().hex
        pdf = office.files.received_pdf(fax_id)
        state, reason = arrival.state, arrival.reason
        pages = octets = 0
        digest: str | None = None
        try:
            if arrival.file is not None:
                pages, digest, octets = await self._filed(arrival.file, arrival, fax_id)
        except BadDocument as error:
            await office.files.remove(pdf)
            if arrival.backend != "sip":
                raise
            state, reason = ReceivedState.FAILED, str(error)
        fax = ReceivedFax(
            id=fax_id,
            account_id=arrival.account_id,
            event=arrival.event,
            caller=arrival.caller,
            called=arrival.called,
            box=box_of(arrival.called, office.settings.boxes),
            state=state,
            backend=arrival.backend,
            pages=pages or arrival.pages,
            octets=octets,
            sha256=digest,
            received_at=wall,
            updated_at=wall,
            remote_ident=arrival.remote_ident,
            speed=arrival.speed,
            ecm=arrival.ecm,
            duration_s=arrival.duration_s,
            reason=reason,
        )
        try:
            await office.rows.add_received(fax)
        except StoreError:
            await office.files.remove(pdf)
            raise
        return fax

    async def _filed(self, file: Path, arrival: Arrival, fax_id: str) -> tuple[int, str, int]:
        """Pages, SHA-256 and size of the PDF, once it is there."""
        office = self._office
        pdf, tiff = office.files.received_pdf(fax_id), office.files.received_tiff(fax_id)
        if arrival.is_pdf:
            layout = office.layout(office.settings.detail.value)
            pages = await office.pages.examine(file, Kind.PDF, pdf, layout)
            await asyncio.to_thread(_copy, file, pdf)
        else:
            await asyncio.to_thread(_copy, file, tiff)
            pages = await office.pages.bind(tiff, pdf)
        digest, octets = await asyncio.to_thread(_summed, pdf)
        return pages, digest, octets

    async def _pages(self, fax: ReceivedFax) -> bytes | None:
        """The PDF, for a mail; None where it cannot be had."""
        try:
            pdf = await self._office.depot.bring(self._office.files.received_pdf(fax.id), fax.sha256)
            return await asyncio.to_thread(pdf.read_bytes)
        except (NotFound, Unavailable, OSError) as error:
            log.warning("the pages of a fax cannot be read: %s", error)
            return None

    async def _tell(self, fax: ReceivedFax) -> None:
        office = self._office
        box = office.settings.boxes.get(fax.box)
        if office.outbox is None:
            return
        told = True
        if box is not None and box.mail is not None:
            pdf = await self._pages(fax) if fax.sha256 else None
            letter = notices.letter_of_received(box.mail, fax, pdf)
            told &= await notices.mail(
                office.outbox, fax.account_id, letter, f"fax-in-mail-{fax.id}", f"fax for {fax.box}"
            )
        if box is not None and box.webhook is not None:
            said = notices.of_received(fax)
            told &= await notices.hook(office.outbox, fax.account_id, box.webhook, said, f"fax-in-hook-{fax.id}")
        if told:
            await office.surely(lambda: office.rows.keep_received(replace(fax, told_at=office.wall())))


def _drop(tiff: Path) -> None:
    """The pages, and the label that the line put beside them."""
    tiff.unlink(missing_ok=True)
    tiff.with_suffix(".json").unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source.open("rb") as original, target.open("wb") as copy:
        while part := original.read(1 << 18):
            copy.write(part)


def _summed(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
