"""A fax that came in, and the box it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pbxd.config.faxes import FaxBox

EVERYBODY = "default"


class ReceivedState(StrEnum):
    """How much of it is there."""

    RECEIVED = "received"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceivedFax:
    """One fax in a box. `event` makes it one and the same, however often somebody tells of it; `octets` and `sha256`
    are those of its PDF. Times are seconds since the epoch."""

    id: str
    account_id: str
    event: str
    caller: str
    called: str
    box: str
    state: ReceivedState
    backend: str
    pages: int
    octets: int
    sha256: str | None
    received_at: float
    updated_at: float
    remote_ident: str = ""
    speed: int | None = None
    ecm: bool | None = None
    duration_s: float = 0.0
    reason: str = ""
    told_at: float | None = None


@dataclass(frozen=True, slots=True)
class FaxArrived:
    """On the bus once for each fax that came in, when it is stored."""

    fax: ReceivedFax


def box_of(called: str, boxes: Mapping[str, FaxBox]) -> str:
    """The name of the box of a called number, with or without its plus."""
    digits = called.removeprefix("+")
    for name, box in boxes.items():
        if any(number.removeprefix("+") == digits for number in box.numbers):
            return name
    return EVERYBODY
