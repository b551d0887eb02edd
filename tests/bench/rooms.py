"""Rooms: what a packet costs in a room of 60 and in 30 rooms of ten, beside a bare C relay that passes as many.

    python -m tests.bench.rooms PORT PEER_PORT PHONES ROOM     the process that is measured

A packet is one that came in; as many go out. The bare relay knows nothing of what it passes on; a room decodes, mixes
and encodes it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from media.plan import Codec, MediaPlan
from media.ports import PortPool
from media.session import Media
from media.wire import LatenessBucket, Wire
from tests.bench.daemon import BenchError, MediaPorts
from tests.bench.figures import Figure, Readings
from tests.bench.generators import GRACE_S, WARM_UP_S, Programs

HERE = Path(__file__).parent
SECONDS = 5
DESCRIPTORS = 8192


@dataclass(frozen=True, slots=True)
class Case:
    """So many phones, in rooms of so many, of which so many talk."""

    phones: int
    room: int
    talkers: int

    @property
    def name(self) -> str:
        rooms = self.phones // self.room
        return f"{rooms} room{'s' if rooms > 1 else ''} of {self.room}, {self.talkers} talk"


CASES = (Case(60, 60, 1), Case(60, 60, 2), Case(60, 60, 3), Case(300, 10, 1), Case(300, 10, 3))

FIGURES = tuple(
    figure
    for case in CASES
    for figure in (
        Figure(f"{case.name}: CPU a packet", "µs", reference=f"bare relay for {case.name}: CPU a packet"),
        Figure(f"{case.name}: against the bare relay", "×", bar=2 if case.room == 60 else None),
        Figure(f"{case.name}: missing", "packets", bar=0, digits=0),
        Figure(f"{case.name}: pace off by p99", "ms", bar=2, digits=3),
        Figure(f"{case.name}: wire late p99, at most", "ms", bar=2, digits=2),
    )
)


# ---- the process that is measured


def serve(port: int, peer_port: int, phones: int, size: int) -> None:
    """Puts phones into rooms and tells its CPU use from "begin" to "end" on the standard input."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    wire = Wire()
    wire.start()
    media = Media(wire, PortPool(port, port + 2 * phones))
    rooms = [media.open_room(gated=True) for _ in range(phones // size)]
    for number in range(phones):
        session = media.open("127.0.0.1")
        if session.local[1] != port + 2 * number:
            raise BenchError("a port of the bench is in use")
        remote = ("127.0.0.1", peer_port + number)
        plan = MediaPlan(remote, Codec.PCMU, 0, 0, latch_from=frozenset({"127.0.0.1"}), dtmf_send=101, dtmf_receive=101)
        session.apply(plan)
        rooms[number // size].join(session)
    report(wire)
    wire.close()


def report(wire: Wire, missed: Callable[[], int] = lambda: 0) -> None:
    """Tells what it cost from "begin" to "end" on the standard input, and what was `missed` meanwhile."""
    print("ready", flush=True)
    sys.stdin.readline()
    before = (time.process_time(), wire.packets()[0], missed())
    sys.stdin.readline()
    cpu, packets = time.process_time() - before[0], wire.packets()[0] - before[1]
    told = {"packets": packets, "cpu": cpu, "late_us": _late_us(wire.lateness()), "missed": missed() - before[2]}
    print(json.dumps(told), flush=True)


def _late_us(buckets: list[LatenessBucket]) -> int:
    """Below this the thread was late 99 times of 100."""
    left = sum(bucket.count for bucket in buckets) * 99 // 100
    for bucket in buckets:
        left -= bucket.count
        if left < 0 and bucket.below_us is not None:
            return bucket.below_us
    return 1_000_000


# ---- the measurement


@dataclass(frozen=True, slots=True)
class Paced:
    """What came back to the phones; by how much its pace was off, in microseconds."""

    sent: int
    received: int
    p50_us: int
    p99_us: int


@dataclass(frozen=True, slots=True)
class Used:
    """CPU in microseconds a packet, below what the wire thread was late 99 times of 100, and what legs missed."""

    cost_us: float
    late_us: int
    missed: int = 0


def measure(command: list[str], crowd: Path, ports: MediaPorts, case: Case) -> tuple[Used, Paced]:
    """What it cost, and what was heard."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        served.stdout.readline()
        numbers = (case.phones, ports.media_first, ports.rtp_first, SECONDS + WARM_UP_S, case.room, case.talkers)
        words = [str(crowd), *map(str, numbers)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as talking:
            time.sleep(WARM_UP_S)
            served.stdin.write("begin\n")
            served.stdin.flush()
            heard = Paced(**json.loads(talking.communicate(timeout=SECONDS + GRACE_S)[0]))
        used = json.loads(served.communicate("end\n", timeout=GRACE_S)[0])
    return Used(1e6 * used["cpu"] / used["packets"], used.get("late_us", 0), used.get("missed", 0)), heard


def run(programs: Programs, place: Path) -> Readings:
    crowd = place / "crowd"
    subprocess.run(["gcc", "-O2", "-o", str(crowd), str(HERE / "crowd.c"), "-lm"], check=True)
    readings: dict[str, float] = {}
    for case in CASES:
        ports = MediaPorts.free()
        reference = f"bare relay for {case.name}: CPU a packet"
        bare = [programs.path("relay"), *map(str, (case.phones, ports.rtp_first, ports.media_first))]
        yardstick, _ = measure(bare, crowd, ports, case)
        arguments = map(str, (ports.rtp_first, ports.media_first, case.phones, case.room))
        used, heard = measure([sys.executable, "-m", "tests.bench.rooms", *arguments], crowd, ports, case)
        expected = case.phones * SECONDS * 50
        readings |= {
            reference: yardstick.cost_us,
            f"{case.name}: CPU a packet": used.cost_us,
            f"{case.name}: against the bare relay": used.cost_us / yardstick.cost_us,
            f"{case.name}: missing": max(0, expected - case.phones - heard.received),
            f"{case.name}: pace off by p99": heard.p99_us / 1000,
            f"{case.name}: wire late p99, at most": used.late_us / 1000,
        }
    return readings


if __name__ == "__main__":
    serve(*(int(word) for word in sys.argv[1:]))
