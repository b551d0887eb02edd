"""Faxes: 60 over T.38 and 30 over G.711 at once on loopback, both ends in this process, so each page is paid twice; and
documents made into pages."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from media.fax import FaxEvent, FaxOptions, FaxOutcome, FaxResult, FaxTransport
from media.fax_session import FaxSession
from media.faxing import FaxEngine
from media.plan import Codec, MediaPlan
from media.ports import PortPool
from media.session import Media, MediaSession
from media.wire import Wire
from tests.bench import paperwork
from tests.bench.daemon import MediaPorts
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs
from tests.media import documents

PAGES = 2
LINES = 1100  # a page of A4 at 98 lines an inch
CASES = {FaxTransport.T38: 60, FaxTransport.AUDIO: 30}
LIMIT_S = 240.0

FIGURES = (
    *(
        figure
        for way, count in CASES.items()
        for figure in (
            Figure(f"{count} faxes over {way.value}: pages missing or wrong", "pages", bar=0, digits=0),
            Figure(f"{count} faxes over {way.value}: the slowest", "s", digits=1),
        )
    ),
    Figure("90 faxes: CPU a page and end", "ms", digits=1),
    Figure("90 faxes: CPU", "cores", bar=2, digits=2),
    Figure("90 faxes: turns of the modems too late", "turns", bar=0, digits=0),
    Figure("90 faxes: frames that were not there in time", "frames", bar=0, digits=0),
    *paperwork.FIGURES,
)


class Pair:
    """A fax from one leg to another."""

    def __init__(self, bench: Bench, number: int, transport: FaxTransport) -> None:
        self.transport = transport
        self.received = bench.folder / f"{transport.value}-{number}.tif"
        self._left = 2
        self.outcomes: list[FaxOutcome] = []
        self._over = bench.over
        one, other = (bench.media.open("127.0.0.1") for _ in range(2))
        for session, far in ((one, other), (other, one)):
            plan = MediaPlan(far.local, Codec.PCMU, 0, 0, latch_from=frozenset({"127.0.0.1"}), silence_s=0.0)
            session.apply(plan)
        self._begin(bench, one, bench.document, sends=True)
        self._begin(bench, other, self.received, sends=False)

    def _begin(self, bench: Bench, leg: MediaSession, document: Path, *, sends: bool) -> None:
        session = FaxSession(FaxOptions(), document, Wire.now(), sends=sends, transport=self.transport)
        bench.engine.add(session, leg.fax(self.transport), self._told)

    def _told(self, _events: Sequence[FaxEvent], outcome: FaxOutcome | None) -> None:
        if outcome is not None:
            self.outcomes.append(outcome)
            self._over.release()

    def wrong(self, sent: list[bytes]) -> int:
        """Pages that did not arrive bit by bit, or were not confirmed."""
        found = documents.read(self.received)
        good = sum(page == wanted for page, wanted in zip(found, sent, strict=False))
        whole = all(outcome.result is FaxResult.SUCCESS for outcome in self.outcomes)
        return len(sent) - good if whole else len(sent)


class Bench:
    """Everything on one wire."""

    def __init__(self, folder: Path, media: Media) -> None:
        self.folder, self.media = folder, media
        self.sent = documents.pages(PAGES, LINES)
        self.document = documents.write(folder / "sent.tif", self.sent)
        self.over = threading.Semaphore(0)
        self.engine = FaxEngine(Wire.now)


def run(_programs: Programs, folder: Path) -> Readings:
    """All at once, until the last has ended; then the documents."""
    return {**_faxes(), **paperwork.measure(folder)}


def _faxes() -> Readings:
    with tempfile.TemporaryDirectory() as name:
        wire = Wire()
        wire.start()
        ports = MediaPorts.free()
        media = Media(wire, PortPool(ports.rtp_first, ports.rtp_last, rest_s=0))
        bench = Bench(Path(name), media)
        bench.engine.start()
        cpu, began = time.process_time(), time.monotonic()
        pairs = [Pair(bench, number, way) for way, count in CASES.items() for number in range(count)]
        for _ in range(2 * len(pairs)):
            if not bench.over.acquire(timeout=LIMIT_S):
                break
        cpu, took = time.process_time() - cpu, time.monotonic() - began
        bench.engine.stop()
        readings = _readings(bench, pairs, cpu, took)
        media.close()
        wire.close()
    return readings


def _readings(bench: Bench, pairs: list[Pair], cpu: float, took: float) -> Readings:
    readings = {
        "90 faxes: CPU a page and end": 1000 * cpu / (2 * PAGES * len(pairs)),
        "90 faxes: CPU": cpu / took,
        "90 faxes: turns of the modems too late": bench.engine.turns_late,
        "90 faxes: frames that were not there in time": bench.engine.underruns,
    }
    for way, count in CASES.items():
        of_way = [pair for pair in pairs if pair.transport is way]
        readings[f"{count} faxes over {way.value}: pages missing or wrong"] = sum(
            pair.wrong(bench.sent) for pair in of_way
        )
        readings[f"{count} faxes over {way.value}: the slowest"] = max(
            (outcome.duration_s for pair in of_way for outcome in pair.outcomes), default=0.0
        )
    return readings
