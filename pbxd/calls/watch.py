"""Who looks at the sound of the calls that are up: how good it is over time, and whether one side is not heard.

A leg is looked at every few seconds, each in its own turn; what is found is kept in its history, counted for the house,
and told where it is news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from media.history import PERIOD_S, History, Sample
from media.plan import MediaPlan
from media.session import MediaStatistics
from media.wire import LegStatistics
from pbxd.calls.record import LegQuality
from pbxd.metrics import Histogram
from pbxd.trace.score import HEARD_AGAIN, ONE_WAY

ONE_WAY_S = 5.0  # without a packet
_AT_ONCE = float("-inf")


class Scores(Histogram):
    """Mean opinion scores."""

    BOUNDS = (1.5, 2.0, 2.5, 3.0, 3.5, 3.75, 4.0, 4.25)

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(self.BOUNDS)

    def count(self, value: float | None) -> None:
        """One more; None is none."""
        if value is not None:
            super().count(value)


class Watchers:
    """What all watches have seen: the scores of what we heard, those of what far sides heard, and how often a side was
    not heard."""

    __slots__ = ("heard", "one_way", "remote")

    def __init__(self) -> None:
        self.heard = Scores()
        self.remote = Scores()
        self.one_way = 0


class Watch:
    """Of one leg. `history` is how it was, `silent_s` how long nothing came in all when something should have."""

    __slots__ = ("_due", "_expecting", "_next_row", "_sent", "_silent_since", "_watchers", "history", "silent_s")

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._due = self._next_row = _AT_ONCE
        self._expecting: float | None = None  # since when something should come
        self._silent_since: float | None = None
        self._sent = 0
        self.history = History()
        self.silent_s = 0.0

    def look(self, read: Callable[[], LegStatistics], plan: MediaPlan, now: float, *, answered: bool) -> Sequence[str]:
        """What is news, in words. To be called every second; reads only when it is time to."""
        if now < self._due:
            return ()
        numbers = read()
        if now >= self._next_row:
            self._next_row = now + PERIOD_S
            self._count(self.history.take(numbers, plan, now))
        news = self._listen(numbers, now, expected=answered and plan.receives)
        self._sent = numbers.sent
        return news

    def end(self, numbers: LegStatistics, plan: MediaPlan, now: float) -> None:
        """The leg is over."""
        if self._silent_since is not None:
            self.silent_s += now - self._silent_since
            self._silent_since = None
        if len(self.history):
            self.history.take(numbers, plan, now, last=True)

    def _count(self, sample: Sample | None) -> None:
        if sample is not None:
            self._watchers.heard.count(sample.mos)
            self._watchers.remote.count(sample.remote_mos)

    def _listen(self, numbers: LegStatistics, now: float, *, expected: bool) -> Sequence[str]:
        """One side is not heard when nothing comes of it while something is sent to it."""
        self._due = self._next_row
        since, self._silent_since = self._silent_since, None
        if not expected:
            self._expecting = None
            self._due = min(self._due, now + 1.0)  # that may change
            self._over(since, now)
            return ()
        self._expecting = now if self._expecting is None else self._expecting
        heard = self._expecting
        if numbers.since_heard_s is not None:
            heard = max(heard, now - numbers.since_heard_s)
        if since is not None and heard > since:
            return self._over(since, heard)
        if since is None and now - heard >= ONE_WAY_S and numbers.sent > self._sent:
            self._silent_since = heard
            self._watchers.one_way += 1
            self._due = now + 1.0
            ever = "" if numbers.received else "ever "
            return (f"{ONE_WAY} {ever}came for {now - heard:.0f} s, while packets go to it",)
        self._silent_since = since
        self._due = now + 1.0 if since is not None else min(self._due, max(heard + ONE_WAY_S, now + 1.0))
        return ()

    def _over(self, since: float | None, until: float) -> Sequence[str]:
        if since is None:
            return ()
        self.silent_s += until - since
        return (f"{HEARD_AGAIN} after {until - since:.0f} s",)


def quality_of(seen: MediaStatistics, samples: Sequence[Sample], silent_s: float) -> LegQuality:
    """How a leg sounded, for the record: in all, by the samples of its history, and how long nothing came."""
    numbers = seen.numbers
    scores = [sample.mos for sample in samples if sample.mos is not None]
    return LegQuality(
        packets_received=numbers.received,
        packets_sent=numbers.sent,
        packets_lost=numbers.lost,
        loss_percent=round(100 * seen.loss, 2),
        jitter_ms=round(numbers.jitter_ms, 2),
        round_trip_ms=None if numbers.round_trip_ms is None else round(numbers.round_trip_ms, 1),
        remote_loss_percent=None if seen.remote_loss is None else round(100 * seen.remote_loss, 2),
        mos=None if seen.mos is None else round(seen.mos, 2),
        loss_bursts=numbers.bursts,
        longest_burst=numbers.longest_burst,
        least_mos=round(min(scores), 2) if scores else None,
        silent_s=round(silent_s, 1),
    )


def agreed(plan: MediaPlan, codec: str) -> str:
    """What a leg has come to, in words."""
    remote = "nowhere yet" if plan.remote is None else f"{plan.remote[0]} port {plan.remote[1]}"
    ways = " and ".join(word for word, on in (("send", plan.sends), ("receive", plan.receives)) if on) or "hold"
    return f"agreed: {codec}, {plan.ptime_ms} ms, with {remote}; we {ways}"


def heard(seen: MediaStatistics) -> str:
    """The packets of a leg in words."""
    drops = ", ".join(f"{name} {count}" for name, count in seen.drops.items()) or "nothing"
    numbers = seen.numbers
    return f"{numbers.received} packets came, {numbers.sent} went, {numbers.lost} were lost; dropped: {drops}"
