"""Whether there is room for one more call, asked before anything is spent on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why a call was not let in; each is a metric."""

    DRAINING = "draining"
    OVERLOADED = "overloaded"
    CALLS_FULL = "calls_full"
    TOO_FAST = "too_fast"
    LIMIT_ACCOUNT = "limit_account"
    LIMIT_USER = "limit_user"
    LIMIT_NUMBER = "limit_number"
    LIMIT_TRUNK = "limit_trunk"
    TOLL_FRAUD = "toll_fraud"
    PORTS_FULL = "ports_full"
    FILES_FULL = "files_full"
    MEDIA_STALLED = "media_stalled"


@dataclass(frozen=True, slots=True)
class CallRefused:
    """A call from `source` was not let in, or a leg of it could not be had. A record of it there is only where it is
    known who called."""

    reason: Refusal
    source: str


@dataclass(slots=True)
class Admission:
    """Lets calls in while the house is not draining, not behind its network, and under its limits.

    `max_calls` at a time, `setup_rate` a second with a burst of one second.

    `overloaded` says whether the queue before us is older than it may be: refusing then costs little, and keeps
    what is admitted fast (RFC 3261 §21.5.4). `stalled` says whether a call would have no sound. `retry_after_s` goes
    with each refusal.
    """

    max_calls: int
    setup_rate: float
    overloaded: Callable[[], bool]
    stalled: Callable[[], bool] = lambda: False
    retry_after_s: int = 5
    draining: bool = False
    _tokens: float = 0.0
    _filled_at: float = float("-inf")

    def refusal(self, calls: int) -> Refusal | None:
        """Why a call may not be set up beside `calls` others, or None. Asked before anything else is."""
        if self.draining:
            return Refusal.DRAINING
        if self.overloaded():
            return Refusal.OVERLOADED
        if self.stalled():
            return Refusal.MEDIA_STALLED
        if calls >= self.max_calls:
            return Refusal.CALLS_FULL
        return None

    def count(self, now: float) -> Refusal | None:
        """Counts a call against the rate, or says that it is too much. Asked once it is known who calls, so that
        strangers, who are only challenged, cannot use up the rate."""
        filled = self._tokens + (now - self._filled_at) * self.setup_rate
        self._tokens, self._filled_at = min(filled, self.setup_rate), now
        if self._tokens < 1.0:
            return Refusal.TOO_FAST
        self._tokens -= 1.0
        return None
