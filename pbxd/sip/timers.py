"""SIP's clock work: the timer values of RFC 3261 table 4, and the one heap that all timers of a stack wait in.

Nothing here reads a clock: `now` and `at` are monotonic seconds that the shell (or a test) passes in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any


@dataclass(frozen=True, slots=True)
class Timers:
    """The timer values of RFC 3261 §17 and table 4, in seconds. Timer C is a proxy's and has no place here."""

    t1: float = 0.5  # RFC 3261 §17.1.1.1: estimate of the round trip
    t2: float = 4.0  # RFC 3261 §17.1.2.2: longest retransmission interval of non-INVITE requests and of responses
    t4: float = 5.0  # RFC 3261 §17.1.2.2: longest time a message stays in the network
    trying: float = 0.2  # RFC 3261 §17.2.1: an INVITE that the core has not answered by then gets a 100

    @property
    def timeout(self) -> float:
        """64*T1: Timers B, F, H, J, L and M, and how long a 2xx is sent again (RFC 3261 §13.3.1.4)."""
        return 64 * self.t1

    @property
    def reluctant_trying(self) -> float:
        """When a non-INVITE request that nobody answered gets a 100: the client's Timer E has reached T2
        (RFC 4320 §4.1), 3.5 s with the RFC's values."""
        interval, elapsed = self.t1, 0.0
        while interval < self.t2:
            elapsed += interval
            interval *= 2
        return elapsed


RFC = Timers()


class TimerHandle:
    """One timer that waits; `cancel` may be called at any time, also twice or after it fired."""

    __slots__ = ("_arguments", "_callback", "_timetable", "at")

    def __init__(
        self, at: float, callback: Callable[..., object], arguments: tuple[Any, ...], timetable: Timetable
    ) -> None:
        self.at = at
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments
        self._timetable = timetable

    @property
    def waiting(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._arguments = ()
            self._timetable._one_died()

    def _fire(self, now: float) -> None:
        callback, arguments = self._callback, self._arguments
        self._callback = None  # also frees what the callback refers to: handle and owner refer to each other
        self._arguments = ()
        if callback is not None:
            callback(*arguments, now)


class Timetable:
    """All timers of one stack in one heap. A cancelled timer stays in it, dead, until it comes to the top or until
    most of the heap is dead and it is swept: so the heap never holds more than twice what waits, plus a few."""

    __slots__ = ("_dead", "_heap", "_serial")

    SWEEP_FLOOR = 64  # fewer dead entries than this are not worth a sweep

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TimerHandle]] = []
        self._serial = count()  # timers of one instant fire in the order they were set
        self._dead = 0

    def __len__(self) -> int:
        """How many timers wait."""
        return len(self._heap) - self._dead

    @property
    def footprint(self) -> int:
        """How many entries the heap holds, dead ones too."""
        return len(self._heap)

    def schedule(self, at: float, callback: Callable[..., object], *arguments: Any) -> TimerHandle:
        """Call `callback(*arguments, now)` in the first `run(now)` with `now >= at`."""
        handle = TimerHandle(at, callback, arguments, self)
        heapq.heappush(self._heap, (at, next(self._serial), handle))
        return handle

    def next_at(self) -> float | None:
        """When `run` is due next; None when nothing waits."""
        heap = self._heap
        while heap and heap[0][2]._callback is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Fire everything due at `now`, earliest first, also what is set meanwhile and due at once."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            handle = heapq.heappop(heap)[2]
            if handle._callback is None:
                self._dead -= 1
            else:
                handle._fire(now)

    def _one_died(self) -> None:
        self._dead += 1
        if self._dead > self.SWEEP_FLOOR and self._dead * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2]._callback is not None]  # `run` may hold it
            heapq.heapify(self._heap)
            self._dead = 0
