"""How the sound of one leg was over time: a row every few seconds, packed, so that hours of it take little room."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from media import quality
from media.plan import MediaPlan

if TYPE_CHECKING:  # who reads samples needs no packet mover
    from media.wire import LegStatistics

PERIOD_S = 5.0
MAX_ROWS = 720  # an hour; then every second one goes, again and again
# When; in all: packets received, expected, lost, bursts of loss, ms concealed; jitter, the far end's loss and jitter as
# it reports them; ms on the way, and in the buffer
_ROW = struct.Struct("<dIIIIIfffHH")
_UNKNOWN = -1.0
_MOST = 0xFFFFFFFF


class Sample(NamedTuple):
    """A few seconds of a leg, until `at` (monotonic, or as the reader counts).

    `mos` is that of what we heard of it, `remote_mos` of what its far end heard, by its reports; both are None where
    nothing came. `loss` is a share of what was expected, `bursts` how often packets were missing in a row; `delay_ms`
    is one way, to the ear, as far as it is known.
    """

    at: float
    mos: float | None
    remote_mos: float | None
    loss: float
    bursts: int
    jitter_ms: float
    concealed_ms: int
    delay_ms: int
    received: int


class History:
    """The rows of one leg. They are bounded: where some had to go, the others stand for their time too."""

    __slots__ = ("_concealed", "_heard", "_late", "_late_before", "_rows", "_skip", "_skipped")

    def __init__(self) -> None:
        self._rows = bytearray()
        self._skip = self._skipped = 0
        self._concealed = self._heard = self._late = self._late_before = 0

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def take(self, numbers: LegStatistics, plan: MediaPlan, now: float, *, last: bool = False) -> Sample | None:
        """The time since the row before; None for the first. Not every row is kept once they are many; the last is."""
        row = self._row(numbers, plan, now)
        before = bytes(self._rows[-_ROW.size :])
        if self._skipped < self._skip and not last:
            self._skipped += 1
        else:
            self._skipped = 0
            self._rows += row
            if len(self) > MAX_ROWS:
                self._thin()
        return _between(before, row) if before else None

    def samples(self, most: int = MAX_ROWS) -> list[Sample]:
        """Oldest first; at most so many, each of them then of a longer time."""
        count = len(self)
        step = max(1, math.ceil((count - 1) / most))
        kept = [*range(0, count - 1, step), count - 1] if count else []
        rows = [bytes(self._rows[at * _ROW.size : (at + 1) * _ROW.size]) for at in kept]
        return [_between(one, other) for one, other in pairwise(rows)]

    def _thin(self) -> None:
        self._rows = bytearray().join(
            self._rows[at : at + _ROW.size] for at in range(0, len(self._rows), 2 * _ROW.size)
        )
        self._skip = 2 * self._skip + 1

    def _row(self, numbers: LegStatistics, plan: MediaPlan, now: float) -> bytes:
        hearing = numbers.hearing
        if hearing is None:
            self._heard = self._late_before = 0
            buffer = quality.BUFFER_PER_JITTER * numbers.jitter_ms
        else:
            self._concealed += max(0, hearing.concealed - self._heard) // (16 if plan.codec.wide else 8)
            self._late += max(0, hearing.late - self._late_before)
            self._heard, self._late_before = hearing.concealed, hearing.late
            buffer = hearing.delay_ms
        return _ROW.pack(
            now,
            numbers.received & _MOST,
            numbers.expected & _MOST,
            (numbers.lost + self._late) & _MOST,
            numbers.bursts & _MOST,
            self._concealed & _MOST,
            numbers.jitter_ms,
            _UNKNOWN if numbers.remote_loss is None else numbers.remote_loss,
            numbers.remote_jitter_ms or 0.0,
            min(0xFFFF, round((numbers.round_trip_ms or 0.0) / 2 + (plan.ptime_ms or 20))),
            min(0xFFFF, round(buffer)),
        )


def _between(one: bytes, other: bytes) -> Sample:
    _, *before = _ROW.unpack(one)
    at, *now = _ROW.unpack(other)
    received, expected, lost, bursts, concealed = (max(0, now[field] - before[field]) for field in range(5))
    jitter, remote_loss, remote_jitter, way, buffer = now[5:]
    loss = min(1.0, lost / expected) if expected else 0.0
    heard = far = None
    if received:
        ratio = quality.burst_ratio(loss, lost / bursts if bursts else 1.0)
        heard = quality.mos_of(quality.rating(loss, way + buffer, ratio))
    if remote_loss >= 0:
        far = quality.mos_of(quality.rating(remote_loss, way + quality.BUFFER_PER_JITTER * remote_jitter))
    return Sample(at, heard, far, loss, bursts, jitter, concealed, way + buffer, received)
