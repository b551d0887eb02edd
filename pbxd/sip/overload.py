"""When to refuse new work: while what comes in has waited too long for too long, before latency collapses."""

from __future__ import annotations

from enum import Enum


class OverloadReason(Enum):
    """What showed that we are too slow."""

    QUEUE_DELAY = "datagrams wait too long before they are read"
    TIMER_DELAY = "timers fire too late"


class Overload:
    """Watches how late things are, in the manner of CoDel (RFC 8289 §3): one late moment, such as a garbage
    collection, is no overload; lateness that stays above `limit_s` for `interval_s` is, until it falls to half.

    `reason` is None while all is well. Times in monotonic seconds.
    """

    def __init__(self, limit_s: float = 0.2, interval_s: float = 0.1) -> None:
        self.limit_s = limit_s
        self.interval_s = interval_s
        self.reason: OverloadReason | None = None
        self.episodes = 0
        self._above_since: dict[OverloadReason, float] = {}
        self._observed = 0.0

    def observe(self, what: OverloadReason, delay: float, now: float) -> None:
        """Something was `delay` seconds late."""
        self._observed = now
        if delay > self.limit_s:
            since = self._above_since.setdefault(what, now)
            if self.reason is None and now - since >= self.interval_s:
                self.reason = what
                self.episodes += 1
        elif delay <= self.limit_s / 2 and self._above_since:
            self._above_since.pop(what, None)
            if self.reason is what:
                self.reason = None

    def expire(self, now: float) -> None:
        """Silence is no overload: called now and then, it ends one in which nothing was observed for a second."""
        if now - self._observed >= 1.0:
            self._above_since.clear()
            self.reason = None
