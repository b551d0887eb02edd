"""10,000 phones that register with digest, stay, and refresh at 100 a second."""

from __future__ import annotations

import json
import time
from pathlib import Path

import yaml

from tests.bench.daemon import LAB, BenchError, Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs
from tests.bench.phones import Phones

PHONES = 10_000
FIRST_A_SECOND, REFRESH_A_SECOND = 400, 100
REFRESH_S = 15

FIGURES = (
    Figure("registrations: not held", "of 10,000", bar=0, digits=0),
    Figure("registrations: first, CPU each", "ms", remark="a challenge and an answer: two requests"),
    Figure("registrations: refresh, CPU each", "ms"),
    Figure("registrations: CPU at 100 refreshes/s", "% of a core", digits=1),
    Figure("registrations: refresh p50", "ms", digits=1),
    Figure("registrations: refresh p99", "ms", bar=50, digits=1),
    Figure("registrations: start with 10,000 phones", "s"),
    Figure("registrations: memory of each", "KiB", digits=1),
)


def run(programs: Programs, place: Path) -> Readings:
    config = place / "phones.yaml"
    phones = Phones([f"{number:05}" for number in range(20_000, 20_000 + PHONES)])
    config.write_text(json.dumps(_config(phones)))
    with Daemon(place, config=config):
        pass  # makes the phones, which a start need not do again
    with phones, Daemon(place, config=config) as daemon:
        base, used = daemon.resident_kib, daemon.cpu_s
        phones.register(daemon.sip_port, range(PHONES), FIRST_A_SECOND)
        used = daemon.cpu_s - used
        time.sleep(1)
        memory = daemon.resident_kib - base
        share_from, at = daemon.cpu_s, time.monotonic()
        took = phones.register(daemon.sip_port, range(REFRESH_S * REFRESH_A_SECOND), REFRESH_A_SECOND)
        refresh = daemon.cpu_s - share_from
        share = 100 * refresh / (time.monotonic() - at)
        held = daemon.metrics()["pbxd_registrations"]
        started = daemon.answered_after_s
    if phones.refused:
        raise BenchError(f"registrations were refused: {phones.refused}")
    took.sort()
    return {
        "registrations: not held": PHONES - held,
        "registrations: first, CPU each": 1000 * used / PHONES,
        "registrations: refresh, CPU each": 1000 * refresh / len(took),
        "registrations: CPU at 100 refreshes/s": share,
        "registrations: refresh p50": 1000 * took[len(took) // 2],
        "registrations: refresh p99": 1000 * took[int(0.99 * len(took))],
        "registrations: start with 10,000 phones": started,
        "registrations: memory of each": memory / PHONES,
    }


def _config(phones: Phones) -> object:
    config = yaml.safe_load(LAB.read_text())
    config["phones"] = {user: {"password": phones.password(user)} for user in phones.users}
    return config
