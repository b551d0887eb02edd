"""CPU, loss and latency of relayed packets: wire in a Python process against a bare C relay loop.

    python -m tests.bench.bench_relay [--pairs 300] [--seconds 6] [--runs 3]

Runs are interleaved, the median of each kind counts. "wire+gc" is the same with `gc.collect()` over a large heap in a
loop beside it; its CPU is that of the wire thread alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from media.plan import Codec, MediaPlan
from media.ports import PortPool
from media.session import Media
from media.wire import Wire

HERE = Path(__file__).parent
RELAY_PORT, LOAD_PORT = 30000, 28000
LITTER = 400_000  # objects that a full collection has to look at
DESCRIPTORS = 20_000


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement."""

    cpu_us: float  # for each relayed packet
    lost: int
    sent: int
    p50_us: int
    p99_us: int
    max_us: int
    notes: str


def compile_c(name: str, place: Path) -> Path:
    target = place / name
    subprocess.run(["gcc", "-O2", "-o", str(target), str(HERE / f"{name}.c")], check=True)
    return target


# ---- the process under test


def serve(legs: int, *, collect: bool) -> None:
    """Bridges the legs in pairs and tells its CPU use from "begin" to "end" on the standard input."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    litter = [[number] for number in range(LITTER)] if collect else []
    wire = Wire()
    wire.start()
    media = Media(wire, PortPool(RELAY_PORT, RELAY_PORT + 2 * legs))
    sessions = [media.open("127.0.0.1") for _ in range(legs)]
    for number, session in enumerate(sessions):
        assert session.local[1] == RELAY_PORT + 2 * number, "a port of the bench is in use"
        remote = ("127.0.0.1", LOAD_PORT + number)
        session.apply(MediaPlan(remote, Codec.PCMU, 0, 0, latch_from=frozenset({"127.0.0.1"})))
    for one, other in zip(sessions[::2], sessions[1::2], strict=True):
        one.relay(other)
    print("ready", flush=True)
    sys.stdin.readline()
    before = (time.process_time(), wire.thread_cpu_s(), wire.packets()[0])
    collections = 0
    while collect and not select.select([sys.stdin], [], [], 0)[0]:
        gc.collect()
        collections += 1
    sys.stdin.readline()
    cpu = wire.thread_cpu_s() - before[1] if collect else time.process_time() - before[0]
    drops = {name: count for name, count in wire.drops().items() if count}
    late = {f"<{bucket.below_us}": bucket.count for bucket in wire.lateness() if bucket.count}
    notes = f"rt={wire.realtime} late={late} drops={drops} collections={collections} litter={len(litter)}"
    print(json.dumps({"packets": wire.packets()[0] - before[2], "cpu": cpu, "notes": notes}), flush=True)
    wire.close()


# ---- the measurement


def measure(command: list[str], load: Path, legs: int, seconds: int) -> Run:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        assert served.stdout.readline() == "ready\n"
        arguments = [str(load), str(legs), str(LOAD_PORT), str(RELAY_PORT), str(seconds)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as talking:
            time.sleep(1)
            served.stdin.write("begin\n")
            served.stdin.flush()
            heard = json.loads(talking.communicate(timeout=seconds + 30)[0])
        served.stdin.write("end\n")
        served.stdin.flush()
        used = json.loads(served.stdout.readline())
    return Run(
        cpu_us=1e6 * used["cpu"] / used["packets"],
        lost=heard["sent"] - heard["received"],
        sent=heard["sent"],
        p50_us=heard["p50_us"],
        p99_us=heard["p99_us"],
        max_us=heard["max_us"],
        notes=used.get("notes", ""),
    )


def median(runs: list[Run], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


def report(kinds: dict[str, list[Run]]) -> None:
    yardstick = median(kinds["bare"], "cpu_us")
    print(f"{'':10}{'µs/packet':>10}{'ratio':>8}{'lost':>8}{'of':>10}{'p50 µs':>9}{'p99 µs':>9}{'max µs':>9}")
    for kind, runs in kinds.items():
        cpu = median(runs, "cpu_us")
        latency = "".join(f"{median(runs, field):9.0f}" for field in ("p50_us", "p99_us", "max_us"))
        lost, sent = sum(run.lost for run in runs), sum(run.sent for run in runs)
        print(f"{kind:10}{cpu:10.2f}{cpu / yardstick:8.2f}{lost:8}{sent:10}{latency}")
    for kind, runs in kinds.items():
        print(f"{kind}: {runs[-1].notes}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", choices=["plain", "collect"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    legs = 2 * options.pairs
    if options.serve:
        serve(legs, collect=options.serve == "collect")
        return
    myself = [sys.executable, "-m", "tests.bench.bench_relay", "--pairs", str(options.pairs), "--serve"]
    with tempfile.TemporaryDirectory() as place:
        bare, load = compile_c("relay", Path(place)), compile_c("load", Path(place))
        commands = {
            "bare": [str(bare), str(legs), str(RELAY_PORT), str(LOAD_PORT)],
            "wire": [*myself, "plain"],
            "wire+gc": [*myself, "collect"],
        }
        kinds: dict[str, list[Run]] = {kind: [] for kind in commands}
        for _ in range(options.runs):
            for kind, command in commands.items():
                kinds[kind].append(measure(command, load, legs, options.seconds))
    report(kinds)


if __name__ == "__main__":
    main()
