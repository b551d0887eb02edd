"""What an answer of the far side means for an item: pure, and the only place that decides it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

MAX_REASON = 200
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_PASSING_STATUS = frozenset([408, 425, 429])
_LASTING_STATUS = frozenset([501, 505, 511])


class Outcome(StrEnum):
    """How one try went."""

    DELIVERED = "delivered"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`everyone` is true where any other item would fare the same at this destination now."""

    outcome: Outcome
    reason: str
    retry_after_s: float | None = None
    everyone: bool = False


def printable(text: str) -> str:
    """What a far side said, fit for a log line and a table."""
    return _UNPRINTABLE.sub(" ", text).strip()[:MAX_REASON]


def temporary(reason: str, *, everyone: bool = False) -> Verdict:
    return Verdict(Outcome.TEMPORARY, printable(reason), everyone=everyone)


def permanent(reason: str) -> Verdict:
    return Verdict(Outcome.PERMANENT, printable(reason))


def of_smtp_reply(code: int, text: str) -> Verdict:
    """RFC 5321 §4.2.1: 2yz done, 4yz try again, 5yz do not; what is none of these is no answer."""
    reason = printable(f"{code} {text}")
    if 200 <= code < 300:
        return Verdict(Outcome.DELIVERED, reason)
    if 500 <= code < 600:
        return Verdict(Outcome.PERMANENT, reason)
    # RFC 5321 §4.5.4.1: 421 is the service closing, so nobody else is served either
    return Verdict(Outcome.TEMPORARY, reason, everyone=code == 421)


def of_http_status(status: int, retry_after: str | None, wall: float) -> Verdict:
    """2xx is delivered; 408, 425, 429 and most 5xx pass; redirects are refused, for what a URL was checked against
    does not hold for another one. RFC 9110 §15."""
    said = f"HTTP {status}"
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, said)
    if 300 <= status < 400:
        return Verdict(Outcome.PERMANENT, f"{said}: redirects are not followed")
    if status in _PASSING_STATUS or (status >= 500 and status not in _LASTING_STATUS):
        return Verdict(Outcome.TEMPORARY, said, _seconds(retry_after, wall))
    return Verdict(Outcome.PERMANENT, said)


def _seconds(retry_after: str | None, wall: float) -> float | None:
    """RFC 9110 §10.2.3: seconds, or a date; nonsense is passed over."""
    if retry_after is None or len(retry_after) > 64:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - wall) if _sane(moment) else None


def _sane(moment: datetime) -> bool:
    return 1970 < moment.year < 9000
