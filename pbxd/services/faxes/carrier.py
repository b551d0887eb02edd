"""Who carries a fax away: the house's own lines, or a provider."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult
from pbxd.services.faxes.job import FaxJob
from pbxd.services.faxes.retry import options_at

SIP = "sip"
DISABLED = "disabled"


class Line(Protocol):
    """Dials a number and sends the pages of a TIFF file; says how that went, whatever happened.

    Who cancels the call of `send` hangs up.
    """

    async def send(self, number: str, tiff: Path, options: FaxOptions) -> FaxOutcome: ...


@dataclass(frozen=True, slots=True)
class Papers:
    """The files of one job."""

    pdf: Path
    tiff: Path


@dataclass(frozen=True, slots=True)
class Handed:
    """A provider has taken it, and tells what becomes of it later."""

    provider_sid: str


class Carrier(Protocol):
    """Takes one try of a fax. `dials` is whether it needs the pages as TIFF."""

    name: str
    dials: bool

    async def carry(self, job: FaxJob, papers: Papers) -> FaxOutcome | Handed: ...


class SipCarrier:
    """The house itself. `line` comes once SIP is there."""

    name = SIP
    dials = True

    def __init__(self, mode: FaxMode) -> None:
        self.mode = mode
        self.line: Line | None = None

    async def carry(self, job: FaxJob, papers: Papers) -> FaxOutcome:
        asked = FaxOptions(ident=job.ident, header=job.header, mode=self.mode, start_page=job.confirmed)
        if self.line is None:
            return failed(FaxReason.NO_ROUTE, "this house has no fax line")
        return await self.line.send(job.to, papers.tiff, options_at(job.step, asked))


def failed(reason: FaxReason, detail: str) -> FaxOutcome:
    """A try that ended before it began."""
    return FaxOutcome(FaxResult.FAILED, reason, detail=detail)
