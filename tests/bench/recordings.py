"""100 bridged calls with media, all recorded at once by the daemon: nothing missing in anyone's ear or in any file."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.bench.daemon import BenchError, Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import GRACE_S, WARM_UP_S, Calls, Programs
from tests.bench.lateness import Lateness
from tests.bench.rooms import HERE, SECONDS, Paced

CALLS, BEGIN_A_SECOND = 100, 50
FINISHED_S = 60.0

FIGURES = (
    Figure(f"{CALLS} calls recorded: missing in ears", "packets", bar=0, digits=0),
    Figure(f"{CALLS} calls recorded: files not whole", "files", bar=0, digits=0),
    Figure(f"{CALLS} calls recorded: shortest file", "s", bar=SECONDS, at_least=True),
    Figure(f"{CALLS} calls recorded: pace off by p99", "ms", bar=2, digits=3),
    Figure(f"{CALLS} calls recorded: wire late p99, at most", "ms", bar=2),
    Figure(f"{CALLS} calls recorded: CPU of the process", "% of a core", digits=0),
)


def run(programs: Programs, place: Path) -> Readings:
    crowd = place / "crowd"
    subprocess.run(["gcc", "-O2", "-o", str(crowd), str(HERE / "crowd.c"), "-lm"], check=True)
    with (
        Daemon(place) as daemon,
        Calls(programs, daemon, CALLS, BEGIN_A_SECOND, hold_ms=None, media=True) as calls,
    ):
        calls.up()
        for call in daemon.ask("GET", "/house/v1/calls")["calls"]:
            daemon.ask("POST", f"/house/v1/calls/{call['id']}/recording", {"announce": "none", "format": "wav"})
        late = Lateness(daemon)
        heard, cpu = _talk(crowd, daemon, late)
        late_ms = late.p99_ms
        calls.hang_up()
        files = _finished(daemon)
    return {
        f"{CALLS} calls recorded: missing in ears": max(0, 2 * CALLS * (SECONDS * 50 - 1) - heard.received),
        f"{CALLS} calls recorded: files not whole": CALLS - sum(one["state"] == "done" for one in files),
        f"{CALLS} calls recorded: shortest file": min(one["seconds"] for one in files),
        f"{CALLS} calls recorded: pace off by p99": heard.p99_us / 1000,
        f"{CALLS} calls recorded: wire late p99, at most": late_ms,
        f"{CALLS} calls recorded: CPU of the process": cpu,
    }


def _talk(crowd: Path, daemon: Daemon, late: Lateness) -> tuple[Paced, float]:
    """Both sides of all calls speak; what they heard, and the CPU use in per cent of a core."""
    ports = daemon.media
    numbers = (2 * CALLS, ports.media_first, ports.rtp_first, SECONDS + WARM_UP_S, 2, 2)
    with subprocess.Popen([str(crowd), *map(str, numbers)], stdout=subprocess.PIPE, text=True) as talking:
        time.sleep(WARM_UP_S)
        late.begin()
        used, at = daemon.cpu_s, time.monotonic()
        output = talking.communicate(timeout=SECONDS + GRACE_S)[0]
    used, took = daemon.cpu_s - used, time.monotonic() - at
    return Paced(**json.loads(output)), 100 * used / took


def _finished(daemon: Daemon) -> list[dict[str, Any]]:
    """All recordings, once they are finished. Raises BenchError."""
    deadline = time.monotonic() + FINISHED_S
    while time.monotonic() < deadline:
        found = daemon.ask("GET", f"/house/v1/recordings?limit={CALLS}")["recordings"]
        if len(found) == CALLS and not any(one["state"] in ("recording", "finishing") for one in found):
            return list(found)
        time.sleep(0.5)
    raise BenchError("recordings are not finished")
