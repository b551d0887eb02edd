"""What a leg's hearing costs a tick of 20 ms: CPU of taking its packet in and of pulling its sound, G.711."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs

HERE = Path(__file__).parent
WIRE = HERE.parents[1] / "media" / "wire"
CODECS = ("codec", "g711", "g722", "l16", "opus_codec", "resample")
SOURCES = [
    WIRE / f"{name}.c"
    for name in (*CODECS, "hearing", "jitter", "noise", "pitch", "playout", "plc", "stream", "stretch", "vad")
]
CASES = {"speaking": "a speaker", "silent": "silence", "absent": "nobody", "losing": "a speaker, 5 % lost"}

FIGURES = tuple(Figure(f"hearing: {case}, {way}", "µs") for case in CASES.values() for way in ("put", "pull"))


def run(programs: Programs, place: Path) -> Readings:
    program = place / "hearing"
    sources = [str(path) for path in (HERE / "hearing.c", *SOURCES)]
    subprocess.run(["gcc", "-std=gnu11", "-O2", f"-I{WIRE}", *sources, "-lopus", "-lm", "-o", str(program)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    readings: dict[str, float] = {}
    for line in output.splitlines():
        name, put, pull = line.split()
        readings |= {f"hearing: {CASES[name]}, put": float(put), f"hearing: {CASES[name]}, pull": float(pull)}
    return readings
