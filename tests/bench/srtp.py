"""What SRTP costs a packet of 20 ms: sealing it, opening it, and relaying it between two legs that have keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

from media.keys import SrtpSuite
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs
from tests.media.toolchain import CORE, WIRE

HERE = Path(__file__).parent
WAYS = ("seal", "open", "relay")

FIGURES = (
    Figure("srtp: relay without, in wire", "µs"),
    *(Figure(f"srtp: {suite.value} {way}", "µs") for suite in SrtpSuite for way in WAYS),
)


def run(programs: Programs, place: Path) -> Readings:
    program = place / "srtp"
    sources = [str(path) for path in (HERE / "srtp.c", *CORE)]
    libraries = ["-lopus", "-lsrtp2", "-lpthread", "-lm"]
    subprocess.run(["gcc", "-std=gnu11", "-O2", f"-I{WIRE}", *sources, *libraries, "-o", str(program)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    readings: dict[str, float] = {}
    for line in output.splitlines():
        name, *values = line.split()
        if name == "none":
            readings["srtp: relay without, in wire"] = float(values[-1])
            continue
        readings |= {f"srtp: {name} {way}": float(value) for way, value in zip(WAYS, values, strict=True)}
    return readings
