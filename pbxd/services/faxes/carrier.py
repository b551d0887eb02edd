"""Who carries a fax away: the house's own lines, or a provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult
from pbxd.errors import Invalid
from pbxd.services.faxes.job import FaxJob, JobState
from pbxd.services.faxes.retry import options_at

SIP = "sip"
DISABLED = "disabled"


Paged = Callable[[int], None]
"""Hears, in the event loop's thread, that the far end has confirmed so many pages of the document."""


class Line(Protocol):
    """Dials a number for an account and sends the pages of a TIFF file; says how that went, whatever happened, and
    tells `paged` of each page in between.

    Who cancels the call of `send` hangs up.
    """

    async def send(
        self, number: str, tiff: Path, options: FaxOptions, paged: Paged, *, account_id: str
    ) -> FaxOutcome: ...


@dataclass(frozen=True, slots=True)
class Papers:
    """The files of one job."""

    pdf: Path
    tiff: Path


@dataclass(frozen=True, slots=True)
class Handed:
    """A provider has taken it, and tells what becomes of it later; whoever does not hear asks after `look_s`."""

    provider_sid: str
    look_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class News:
    """What a provider says of a fax that it has."""

    state: JobState
    error: str | None = None
    pages: int | None = None


class Refused(Invalid):
    """A provider does not take it, and another try would be the same."""


class Carrier(Protocol):
    """Takes one try of a fax. `dials` is whether it needs the pages as TIFF."""

    name: str
    dials: bool

    async def carry(self, job: FaxJob, papers: Papers) -> FaxOutcome | Handed: ...


@runtime_checkable
class Provider(Carrier, Protocol):
    """A carrier that faxes are handed to.

    `look` asks for news of a fax, None where there are none just now, and says after how many seconds to ask again;
    `asked` is how often it was asked in vain. `withdraw` takes a fax back. Both raise Unavailable.
    """

    async def look(self, job: FaxJob, asked: int) -> tuple[News | None, float]: ...

    async def withdraw(self, job: FaxJob) -> None: ...


class SipCarrier:
    """The house itself. `line` comes once SIP is there; `paged` hears of the pages of each job as they come through."""

    name = SIP
    dials = True

    def __init__(self, mode: FaxMode) -> None:
        self.mode = mode
        self.line: Line | None = None
        self.paged: Callable[[str, int], None] = lambda _job_id, _pages: None

    async def carry(self, job: FaxJob, papers: Papers) -> FaxOutcome:
        asked = FaxOptions(ident=job.ident, header=job.header, mode=self.mode, start_page=job.confirmed)
        if self.line is None:
            return failed(FaxReason.NO_ROUTE, "this house has no fax line")
        options, paged = options_at(job.step, asked), partial(self.paged, job.id)
        return await self.line.send(job.to, papers.tiff, options, paged, account_id=job.account_id)


def failed(reason: FaxReason, detail: str) -> FaxOutcome:
    """A try that ended before it began."""
    return FaxOutcome(FaxResult.FAILED, reason, detail=detail)
