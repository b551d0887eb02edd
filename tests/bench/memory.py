"""What 300 bridged calls take in resident memory, and what of it stays when they are over.

The interpreter keeps what it once had for the next calls, so a leak is what grows from one peak of 300 to the next.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Calls, Programs

CALLS = 300
A_SECOND = 50
SETTLE_S = 35  # 64*T1 and a little: the last timer of a call has run out
FIRST_CALLS = 20  # that load what every first call loads

FIGURES = (
    Figure("memory: of a bridged call", "KiB", bar=100, digits=1, remark="Asterisk 23: 340, FreeSWITCH 1.11: 500"),
    Figure("memory: kept after 300 calls", "KiB a call", digits=1, remark="35 s after the last BYE; for the next ones"),
    Figure("memory: more after 300 again", "KiB a call", bar=1, digits=1, remark="a leak would show here"),
    Figure("memory: of the daemon without calls", "MiB", digits=0),
)


def run(programs: Programs, place: Path) -> Readings:
    with Daemon(place) as daemon:
        with Calls(programs, daemon, FIRST_CALLS, A_SECOND, hold_ms=0) as calls:
            calls.over()
        time.sleep(SETTLE_S)
        base = daemon.resident_kib
        full, kept = _round(programs, daemon)
        _, kept_then = _round(programs, daemon)
        _, kept_again = _round(programs, daemon)
    return {
        "memory: of a bridged call": (full - base) / CALLS,
        "memory: kept after 300 calls": (kept - base) / CALLS,
        "memory: more after 300 again": (kept_again - kept_then) / CALLS,
        "memory: of the daemon without calls": base / 1024,
    }


def _round(programs: Programs, daemon: Daemon) -> tuple[int, int]:
    """Resident KiB with all calls up, and when they are over."""
    with Calls(programs, daemon, CALLS, A_SECOND, hold_ms=None) as calls:
        calls.up()
        time.sleep(1)
        full = daemon.resident_kib
        calls.hang_up()
    time.sleep(SETTLE_S)
    daemon.until("pbxd_calls", 0)
    return full, daemon.resident_kib
