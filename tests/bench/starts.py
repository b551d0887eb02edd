"""How long from exec until a REGISTER gets its answer: with an empty data directory, and with one that is there."""

from __future__ import annotations

from pathlib import Path

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs

FIGURES = (
    Figure("start: first, exec → REGISTER answered", "s"),
    Figure("start: again, exec → REGISTER answered", "s", bar=1.5, remark="goal 0.5"),
    Figure("start: again, CPU", "s"),
)


def run(programs: Programs, place: Path) -> Readings:
    with Daemon(place) as daemon:
        first = daemon.answered_after_s
    with Daemon(place) as daemon:
        again, used = daemon.answered_after_s, daemon.cpu_s
    return {
        "start: first, exec → REGISTER answered": first,
        "start: again, exec → REGISTER answered": again,
        "start: again, CPU": used,
    }
