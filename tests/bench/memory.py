"""What 300 bridged calls take in resident memory, and what of it stays when they are over.

The interpreter keeps what it once had for the next calls, and caches fill: a leak is what still grows from one wave of
calls to the next when waves have passed already.
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
WAVE, WAVE_A_SECOND = 3000, 100

FIGURES = (
    Figure("memory: of a bridged call", "KiB", bar=100, digits=1, remark="Asterisk 23: 340, FreeSWITCH 1.11: 500"),
    Figure("memory: kept after 300 calls", "KiB a call", digits=1, remark="35 s after the last BYE; for the next ones"),
    Figure("memory: grown by 3,000 calls more", "KiB a call", bar=0.5, remark="after 3,000: a leak would show here"),
    Figure("memory: of the daemon without calls", "MiB", digits=0),
)


def run(programs: Programs, place: Path) -> Readings:
    with Daemon(place) as daemon:
        with Calls(programs, daemon, FIRST_CALLS, A_SECOND, hold_ms=0) as calls:
            calls.over()
        time.sleep(SETTLE_S)
        base = daemon.resident_kib
        full, kept = _peak(programs, daemon)
        waves = [_wave(programs, daemon) for _ in range(2)]
    return {
        "memory: of a bridged call": (full - base) / CALLS,
        "memory: kept after 300 calls": (kept - base) / CALLS,
        "memory: grown by 3,000 calls more": (waves[1] - waves[0]) / WAVE,
        "memory: of the daemon without calls": base / 1024,
    }


def _wave(programs: Programs, daemon: Daemon) -> int:
    """Resident KiB after many short calls."""
    with Calls(programs, daemon, WAVE, WAVE_A_SECOND, hold_ms=200) as calls:
        calls.over()
    time.sleep(SETTLE_S)
    return daemon.resident_kib


def _peak(programs: Programs, daemon: Daemon) -> tuple[int, int]:
    """Resident KiB with all calls up, and when they are over."""
    with Calls(programs, daemon, CALLS, A_SECOND, hold_ms=None) as calls:
        calls.up()
        time.sleep(1)
        full = daemon.resident_kib
        calls.hang_up()
    time.sleep(SETTLE_S)
    daemon.until("pbxd_calls", 0)
    return full, daemon.resident_kib
