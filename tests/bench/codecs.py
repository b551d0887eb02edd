"""What 20 ms of sound cost in each codec: CPU of encoding and of decoding, and of changing the rate."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs

HERE = Path(__file__).parent
WIRE = HERE.parents[1] / "media" / "wire"
SOURCES = [WIRE / f"{name}.c" for name in ("codec", "g711", "g722", "l16", "opus_codec", "resample")]
NAMES = ("PCMU", "PCMA", "G722", "L16", "L16/16000", "opus-0", "opus-5", "opus-10")

FIGURES = (
    *(Figure(f"codecs: {name} {way}, 20 ms", "µs") for name in NAMES for way in ("encode", "decode")),
    Figure("codecs: 8 to 16 kHz, 20 ms", "µs"),
    Figure("codecs: 16 to 8 kHz, 20 ms", "µs"),
)


def run(programs: Programs, place: Path) -> Readings:
    program = place / "codecs"
    sources = [str(path) for path in (HERE / "codecs.c", *SOURCES)]
    subprocess.run(["gcc", "-std=gnu11", "-O2", f"-I{WIRE}", *sources, "-lopus", "-o", str(program)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    readings: dict[str, float] = {}
    for line in output.splitlines():
        name, one, other = line.split()
        if name == "resample":
            ways = ("8 to 16 kHz", "16 to 8 kHz")
        else:
            ways = (f"{name} encode", f"{name} decode")
        readings |= {f"codecs: {way}, 20 ms": float(value) for way, value in zip(ways, (one, other), strict=True)}
    return readings
