"""The soak's judgement on made-up half hours, and one call of each of its kinds against a real daemon."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.daemon import BenchError, Daemon
from tests.bench.soak import ROWS, Line, Reading, Verdict, judge, report
from tests.bench.soak_load import Load, Outcome

METRICS = {
    "pbxd_tasks": 6.0,
    "pbxd_media_legs": 50.0,
    "pbxd_rtp_ports_in_use": 50.0,
    'pbxd_sip_transactions{side="client"}': 700.0,
    'pbxd_sip_transactions{side="server"}': 900.0,
    "pbxd_store_pending_rows": 10.0,
    "pbxd_registrations": 10.0,
}
AT_REST = Reading(0.0, 0, 100_000, 29, 20, 10, dict.fromkeys(METRICS, 0.0))
A_SECOND = 20


def half_hour(change: Callable[[Reading], Reading] = lambda one: one) -> list[Reading]:
    """Samples every 3 s with the noise of calls that come and go; `change` spoils each of them."""
    noise = random.Random(1)
    samples = []
    for at in range(600, 1800, 3):
        swing = noise.randint(-12, 12)
        metrics = {name: value + (swing if value > 20 else 0) for name, value in METRICS.items()}
        files = 129 + 2 * swing
        one = Reading(float(at), at * A_SECOND, 129_000 + noise.randint(-200, 200), files, files - 20, 10, metrics)
        samples.append(change(one))
    return samples


def verdicts(samples: list[Reading], after: Reading = AT_REST, warm_up_s: float = 600.0) -> dict[str, Verdict]:
    return {verdict.row.name: verdict for verdict in judge(ROWS, samples, AT_REST, after, warm_up_s)}


def bad(found: dict[str, Verdict]) -> list[str]:
    return [name for name, verdict in found.items() if not verdict.good]


def test_a_line_is_found_with_its_error() -> None:
    line = Line.through([(float(x), 3.0 + 0.5 * x) for x in range(10)])
    assert line.slope == pytest.approx(0.5)
    assert line.error == pytest.approx(0.0, abs=1e-9)
    jagged = Line.through([(float(x), float(x % 2)) for x in range(10)])
    assert jagged.certain == 0.0


def test_noise_is_no_growth() -> None:
    assert bad(verdicts(half_hour())) == []


def test_a_kibibyte_a_call_is_found() -> None:
    leaking = half_hour(lambda one: dataclasses.replace(one, resident_kib=one.resident_kib + one.calls))
    found = verdicts(leaking)
    assert bad(found) == ["resident memory, KiB per 1,000 calls"]
    assert found["resident memory, KiB per 1,000 calls"].growth == pytest.approx(1000, abs=20)


def test_a_socket_left_by_one_call_in_a_thousand_is_found() -> None:
    def leak(one: Reading) -> Reading:
        left = one.calls // 1000
        return dataclasses.replace(one, files=one.files + left, sockets=one.sockets + left)

    assert bad(verdicts(half_hour(leak))) == ["open files", "sockets"]


def test_one_leg_left_at_rest_is_found() -> None:
    after = dataclasses.replace(AT_REST, metrics={**AT_REST.metrics, "pbxd_media_legs": 1.0})
    assert bad(verdicts(half_hour(), after)) == ["media legs"]


def test_memory_is_not_judged_before_what_fills_by_right_is_full() -> None:
    leaking = half_hour(lambda one: dataclasses.replace(one, resident_kib=one.resident_kib + one.calls))
    found = verdicts(leaking, warm_up_s=100.0)["resident memory, KiB per 1,000 calls"]
    assert (found.good, "not judged" in found.text()) == (True, True)


def test_a_run_that_is_too_short_is_no_verdict() -> None:
    with pytest.raises(BenchError, match="9 samples are too few"):
        verdicts(half_hour()[:9])


def test_the_report_says_why_calls_were_turned_away() -> None:
    after = dataclasses.replace(
        AT_REST, metrics={**AT_REST.metrics, 'pbxd_calls_refused_total{reason="overloaded"}': 3.0}
    )
    samples = half_hour()
    outcome = Outcome(begun=2, unlike=1)
    outcome.kinds["echo"] += 2
    outcome.surprise("echo", TimeoutError())
    lines = report(judge(ROWS, samples, AT_REST, after, 600.0), outcome, samples, after)
    assert lines[0] == "400 samples over 19.9 min after the warm-up"
    assert [line.split()[-1] for line in lines[3 : 3 + len(ROWS)]] == ["ok"] * len(ROWS)
    assert lines[-3:] == [
        "  echo                          2",
        "  not as expected: echo: TimeoutError (1)",
        '  pbxd_calls_refused_total{reason="overloaded"} 3',
    ]


async def test_each_kind_of_call_goes_as_its_script_says(tmp_path: Path) -> None:
    with await asyncio.to_thread(Daemon, tmp_path) as daemon:
        async with Load.open(daemon, 20) as load:
            await asyncio.gather(*(load.one(kind) for kind in load.kinds))
            reading = await asyncio.to_thread(Reading.take, daemon, load.outcome.begun)
        assert (load.outcome.begun, load.outcome.unlike, dict(load.outcome.surprises)) == (len(load.kinds), 0, {})
    assert reading.metrics["pbxd_registrations"] == 10
    assert reading.sockets < reading.files
    assert all(row.read(reading) >= 0 for row in ROWS)
