"""Half an hour of mixed calls at 20 a second: does anything in the daemon grow?

    python -m tests.bench soak --minutes 30 [--rate 20]

Ten phones register and refresh; calls go from phone to phone, to the echo, out through the trunk, to a prompt, into
rooms, flows and mailboxes, to nobody, to the busy, with a wrong password, are cancelled, held, recorded and hung up
through the API, while the API is read. Every few seconds
the process is measured from outside. Two verdicts a row, both needed:

    growth    what a straight line through the samples after the warm-up (a third, 1.5 to 10 minutes) gained over
              their span; `certain` is the part of it that twice its standard error does not explain
    at rest   what there is more than before the first call, when the last timer of the last call has run out
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.daemon import BenchError, Daemon
from tests.bench.soak_load import Load, Outcome

SAMPLE_S = 3.0
WARM_UP_SHARE, WARM_UP_LEAST_S, WARM_UP_MOST_S = 1 / 3, 90.0, 600.0
SETTLE_S = 40.0  # 64*T1, and the rest of RTP ports
FIRST_S = 20.0  # load before the state at rest is taken: what every first call loads


@dataclass(frozen=True, slots=True)
class Row:
    """Something that must not grow. `bound` is the most it may gain over the measured span, in its unit (for memory a
    thousand calls); `rest` the most there may be more at rest than before, None where that says nothing; `warm_up_s`
    how long it fills up by right: after less it is not judged."""

    name: str
    read: Callable[[Reading], float]
    bound: float
    rest: float | None
    per_thousand_calls: bool = False
    warm_up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The daemon at one moment, `at` in monotonic seconds."""

    at: float
    calls: int
    resident_kib: int
    files: int
    sockets: int
    threads: int
    metrics: dict[str, float]

    @classmethod
    def take(cls, daemon: Daemon, calls: int) -> Reading:
        files, sockets = daemon.descriptors()
        return cls(time.monotonic(), calls, daemon.resident_kib, files, sockets, daemon.threads, daemon.metrics())

    def transactions(self) -> float:
        """SIP transactions of both sides."""
        return sum(value for name, value in self.metrics.items() if name.startswith("pbxd_sip_transactions{"))


NONCES_S = 330.0  # nonces that were used are remembered for 300 s, and caches are full by then

ROWS = (
    Row(
        "resident memory, KiB per 1,000 calls",
        lambda one: one.resident_kib,
        250,
        None,
        per_thousand_calls=True,
        warm_up_s=NONCES_S,
    ),
    Row("open files", lambda one: one.files, 8, 4),
    Row("sockets", lambda one: one.sockets, 8, 4),
    Row("asyncio tasks", lambda one: one.metrics["pbxd_tasks"], 8, 2),
    Row("threads", lambda one: one.threads, 2, 4),
    Row("media legs", lambda one: one.metrics["pbxd_media_legs"], 4, 0),
    Row("RTP ports in use", lambda one: one.metrics["pbxd_rtp_ports_in_use"], 4, 0),
    Row("SIP transactions", Reading.transactions, 40, 0),
    Row("rows not yet in the store", lambda one: one.metrics["pbxd_store_pending_rows"], 20, 0),
    Row("registrations", lambda one: one.metrics["pbxd_registrations"], 0.5, 0),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points, by least squares: slope a second, and the slope's standard error."""

    slope: float
    error: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        count = len(points)
        mean_x, mean_y = (sum(point[axis] for point in points) / count for axis in (0, 1))
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
        left = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
        return cls(slope, math.sqrt(left / (count - 2) / spread))

    @property
    def certain(self) -> float:
        """The part of the slope that two standard errors do not explain; 0 where they explain all."""
        return math.copysign(max(0.0, abs(self.slope) - 2 * self.error), self.slope)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one row."""

    row: Row
    mean: float
    growth: float
    certain: float
    at_rest: float
    judged: bool

    @property
    def good(self) -> bool:
        """True also where the run was too short to judge."""
        return not self.judged or (
            self.certain <= self.row.bound and (self.row.rest is None or self.at_rest <= self.row.rest)
        )

    def text(self) -> str:
        verdict = (
            ("ok" if self.good else "GROWS") if self.judged else f"not judged: warm-up under {self.row.warm_up_s:g} s"
        )
        bound, rest = f"≤ {self.row.bound:g}", "" if self.row.rest is None else f"≤ {self.row.rest:g}"
        return (
            f"{self.row.name:40}{self.mean:>10.0f}{self.growth:>+10.1f}{self.certain:>+10.1f}{bound:>9}"
            f"{self.at_rest:>+9.0f}{rest:>7}  {verdict}"
        )


def judge(
    rows: Sequence[Row], samples: Sequence[Reading], before: Reading, after: Reading, warm_up_s: float
) -> list[Verdict]:
    """A verdict for each row; `samples` without the warm-up of so many seconds. Raises BenchError when there are too
    few."""
    if len(samples) < 10:
        raise BenchError(f"{len(samples)} samples are too few to judge by: more minutes")
    span = samples[-1].at - samples[0].at
    calls = max(1, samples[-1].calls - samples[0].calls)
    found = []
    for row in rows:
        line = Line.through([(one.at, row.read(one)) for one in samples])
        scale = span * 1000 / calls if row.per_thousand_calls else span
        mean = sum(map(row.read, samples)) / len(samples)
        at_rest, judged = row.read(after) - row.read(before), warm_up_s >= row.warm_up_s
        found.append(Verdict(row, mean, line.slope * scale, line.certain * scale, at_rest, judged))
    return found


def report(verdicts: Sequence[Verdict], outcome: Outcome, samples: Sequence[Reading], after: Reading) -> list[str]:
    """The table, what the calls came to, and why the daemon turned some away: on a busy machine it may fall behind."""
    heading = f"{'':40}{'mean':>10}{'growth':>10}{'certain':>10}{'bound':>9}{'at rest':>9}{'bound':>7}"
    minutes = (samples[-1].at - samples[0].at) / 60
    lines = [f"{len(samples)} samples over {minutes:.1f} min after the warm-up", "", heading]
    lines += [verdict.text() for verdict in verdicts]
    lines += ["", f"{outcome.begun} calls begun, {outcome.unlike} not as their script says"]
    lines += [f"  {name:24}{count:>7}" for name, count in sorted(outcome.kinds.items())]
    lines += [f"  not as expected: {text} ({count})" for text, count in outcome.surprises.most_common(10)]
    refused = {
        name: count for name, count in after.metrics.items() if name.startswith("pbxd_calls_refused_total") and count
    }
    return lines + [f"  {name} {count:.0f}" for name, count in refused.items()]


async def soak(daemon: Daemon, seconds: float, rate: float) -> tuple[list[Reading], Reading, Reading, Outcome]:
    """Load for so long; the samples under load, and the daemon at rest before and after."""
    async with Load.open(daemon, rate) as load:
        await load.run(FIRST_S)
        await asyncio.sleep(SETTLE_S)
        before = await asyncio.to_thread(Reading.take, daemon, load.outcome.begun)
        print(f"at rest: {before.resident_kib} KiB, {before.files} files; the load begins", file=sys.stderr)
        running = asyncio.get_running_loop().create_task(load.run(seconds))
        samples: list[Reading] = []
        while not running.done():
            await asyncio.wait([running], timeout=SAMPLE_S)
            samples.append(await asyncio.to_thread(Reading.take, daemon, load.outcome.begun))
            if len(samples) % 20 == 0:
                last = samples[-1]
                print(f"{last.calls} calls, {last.resident_kib} KiB, {last.files} files", file=sys.stderr)
        await running
        await asyncio.sleep(SETTLE_S)
        after = await asyncio.to_thread(Reading.take, daemon, load.outcome.begun)
        return samples, before, after, load.outcome


def run(place: Path, minutes: float, rate: float) -> int:
    """The whole of it, and its exit code."""
    with Daemon(place) as daemon:
        samples, before, after, outcome = asyncio.run(soak(daemon, minutes * 60, rate))
    warm_up_s = max(WARM_UP_LEAST_S, min(minutes * 60 * WARM_UP_SHARE, WARM_UP_MOST_S))
    # The last sample may have been taken when the load was over already.
    kept = [one for one in samples if one.at >= samples[0].at + warm_up_s][:-1]
    verdicts = judge(ROWS, kept, before, after, warm_up_s)
    print("\n".join(report(verdicts, outcome, kept, after)))
    failed = outcome.unlike > outcome.begun // 1000
    return 1 if failed or not all(verdict.good for verdict in verdicts) else 0
