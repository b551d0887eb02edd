"""Calls between G.711 and Opus: how many there may be before one packet is missing.

    python -m tests.bench.transcoding PORT PEER_PORT PHONES     the process that is measured

Two calls lie behind each other: a phone's G.711 becomes Opus, goes over the loopback to the next call, and is G.711
again for the phone at the other end. So each of its packets is one of Opus on the way, and all of it is one process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from media.plan import Codec, CodecSettings, MediaPlan
from media.ports import PortPool
from media.session import Media, MediaSession
from media.wire import Wire
from tests.bench.daemon import BenchError, MediaPorts
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs
from tests.bench.rooms import HERE, SECONDS, Case, Paced, Used, measure, report

COMPLEXITY, OPUS_TYPE = 5, 96
BAR, STEP, MOST = 60, 20, 300

FIGURES = (
    Figure(
        f"transcoding: G.711↔Opus calls without loss, complexity {COMPLEXITY}",
        "calls",
        bar=BAR,
        digits=0,
        at_least=True,
    ),
    Figure("transcoding: at so many, pace off by p99", "ms", digits=2),
    Figure("transcoding: at so many, wire late p99, at most", "ms", digits=2),
    Figure(f"transcoding: {BAR} calls: missing", "packets", bar=0, digits=0),
    Figure(f"transcoding: {BAR} calls: CPU of one core", "%", digits=0),
)


# ---- the process that is measured


def serve(port: int, peer_port: int, phones: int) -> None:
    """Two calls for each two phones, until the standard input says "end"."""
    wire = Wire()
    wire.start()
    media = Media(wire, PortPool(port, port + 4 * phones))
    heard_by = [media.open("127.0.0.1") for _ in range(phones)]
    between = [media.open("127.0.0.1") for _ in range(phones)]
    rooms = [media.open_room(passes_digits=True) for _ in range(phones)]
    for number, (phone, opus, room) in enumerate(zip(heard_by, between, rooms, strict=True)):
        if phone.local[1] != port + 2 * number:
            raise BenchError("a port of the bench is in use")
        loopback = frozenset({"127.0.0.1"})
        phone.apply(MediaPlan(("127.0.0.1", peer_port + number), Codec.PCMU, 0, 0, latch_from=loopback))
        settings = CodecSettings(complexity=COMPLEXITY)
        far = between[number ^ 1].local
        opus.apply(MediaPlan(far, Codec.OPUS, OPUS_TYPE, OPUS_TYPE, latch_from=loopback, codec_settings=settings))
        room.join(phone)
        room.join(opus)
    report(wire, lambda: sum(map(_missed, (*heard_by, *between))))
    wire.close()


def _missed(session: MediaSession) -> int:
    """Packets that a leg was not sent, or that came too late for its ears."""
    numbers = session.statistics().numbers
    return max(0, numbers.lost) + (numbers.hearing.late if numbers.hearing is not None else 0)


# ---- the measurement


def attempt(crowd: Path, calls: int) -> tuple[Used, Paced, float]:
    """So many calls: what they cost, what was heard, and how many packets were missing."""
    ports, case = MediaPorts.free(), Case(calls, 2, 2)
    arguments = map(str, (ports.rtp_first, ports.media_first, case.phones))
    used, heard = measure([sys.executable, "-m", "tests.bench.transcoding", *arguments], crowd, ports, case)
    return used, heard, used.missed + max(0, case.phones * (SECONDS * 50 - 1) - heard.received)


def run(programs: Programs, place: Path) -> Readings:
    crowd = place / "crowd"
    subprocess.run(["gcc", "-O2", "-o", str(crowd), str(HERE / "crowd.c"), "-lm"], check=True)
    used, heard, missing = attempt(crowd, BAR)
    readings = {
        f"transcoding: {BAR} calls: missing": missing,
        f"transcoding: {BAR} calls: CPU of one core": 100 * used.cost_us * 2 * BAR * 50 / 1e6,
    }
    most = 0 if missing else BAR
    for calls in range(BAR + STEP, MOST + 1, STEP) if most else ():
        tried = attempt(crowd, calls)
        if tried[2]:
            break
        most, used, heard = calls, tried[0], tried[1]
    return readings | {
        f"transcoding: G.711↔Opus calls without loss, complexity {COMPLEXITY}": most,
        "transcoding: at so many, pace off by p99": heard.p99_us / 1000,
        "transcoding: at so many, wire late p99, at most": used.late_us / 1000,
    }


if __name__ == "__main__":
    serve(*(int(word) for word in sys.argv[1:]))
