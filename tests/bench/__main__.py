"""`python -m tests.bench`: the rounds, and the table at their end. The exit code tells whether a bar was missed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import (
    calls,
    codecs,
    edge,
    faxes,
    flows,
    hearing,
    ivr,
    junk,
    memory,
    packets,
    pesq,
    recordings,
    registrations,
    rooms,
    soak,
    srtp,
    starts,
    transcoding,
)
from tests.bench.figures import Figure, Readings, missed, table
from tests.bench.generators import Programs


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure."""

    figures: tuple[Figure, ...]
    run: Callable[[Programs, Path], Readings]


PARTS = {
    "packets": Part(packets.FIGURES, packets.run),
    "rooms": Part(rooms.FIGURES, rooms.run),
    "transcoding": Part(transcoding.FIGURES, transcoding.run),
    "recordings": Part(recordings.FIGURES, recordings.run),
    "calls": Part(calls.FIGURES, calls.run),
    "memory": Part(memory.FIGURES, memory.run),
    "starts": Part(starts.FIGURES, starts.run),
    "codecs": Part(codecs.FIGURES, codecs.run),
    "srtp": Part(srtp.FIGURES, srtp.run),
    "pesq": Part(pesq.FIGURES, pesq.run),
    "hearing": Part(hearing.FIGURES, hearing.run),
    "registrations": Part(registrations.FIGURES, registrations.run),
    "junk": Part(junk.FIGURES, junk.run),
    "flows": Part(flows.FIGURES, flows.run),
    "edge": Part(edge.FIGURES, edge.run),
    "ivr": Part(ivr.FIGURES, ivr.run),
    "faxes": Part(faxes.FIGURES, faxes.run),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="What pbxd costs, and how fast it is.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (all)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30, help="how long `soak` lasts, which stands alone (30)")
    parser.add_argument("--rate", type=float, default=20, help="calls a second of `soak` (20)")
    options = parser.parse_args()
    if options.parts == ["soak"]:
        with tempfile.TemporaryDirectory(prefix="pbxd-soak-") as directory:
            return soak.run(Path(directory), options.minutes, options.rate)
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    chosen = {name: part for name, part in PARTS.items() if not options.parts or name in options.parts}
    results: dict[str, list[Readings]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="pbxd-bench-") as directory:
        programs = Programs.compile(Path(directory))
        for number in range(options.runs):
            for name, part in chosen.items():
                place = Path(directory) / f"{name}-{number}"
                place.mkdir()
                began = time.monotonic()
                results[name].append(part.run(programs, place))
                print(f"round {number + 1}: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {options.runs} interleaved rounds, medians")
    for name, part in chosen.items():
        print("\n".join(["", *table(part.figures, results[name])]))
    return 1 if any(missed(part.figures, results[name]) for name, part in chosen.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
