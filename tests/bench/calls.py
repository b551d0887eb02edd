"""What one bridged call costs from INVITE to the 200 of its BYE, at 100 a second, in the steady state.

Steady means that the timers of calls that ended run out at the rate at which calls begin: 64*T1 = 32 s after the start.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Calls, Programs

A_SECOND = 100
HOLD_MS = 500
STEADY_S = 34
SECONDS = 10

FIGURES = (
    Figure("call: process CPU", "ms", bar=3, remark="goal 2; Asterisk 23: 2.4–3.1, FreeSWITCH 1.11: 9–14"),
    Figure("call: failed", "of 100", bar=0, digits=2),
    Figure("call: INVITE→200 p50", "ms", digits=1),
    Figure("call: INVITE→200 p99", "ms", bar=50, digits=1),
    Figure("call: BYE→200 p99", "ms", digits=1),
    Figure("call: CPU of the load generator", "ms"),
)


def run(programs: Programs, place: Path, *, steady_s: int = STEADY_S, seconds: int = SECONDS) -> Readings:
    with Daemon(place) as daemon:
        count = A_SECOND * (steady_s + seconds + 1)  # calls go on beyond the span that is measured
        with Calls(programs, daemon, count, A_SECOND, hold_ms=HOLD_MS) as calls:
            time.sleep(steady_s)
            used, at = daemon.cpu_s, time.monotonic()
            time.sleep(seconds)
            used, took = daemon.cpu_s - used, time.monotonic() - at
            called = calls.over()
    return {
        "call: process CPU": 1000 * used / (A_SECOND * took),
        "call: failed": 100 * called.not_ended / called.calls,
        "call: INVITE→200 p50": called.p50_us / 1000,
        "call: INVITE→200 p99": called.p99_us / 1000,
        "call: BYE→200 p99": called.bye_p99_us / 1000,
        "call: CPU of the load generator": called.cpu_us / 1000,
    }
