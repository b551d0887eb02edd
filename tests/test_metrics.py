"""Metrics are read when somebody asks, and one broken reading hides no other."""

from __future__ import annotations

import asyncio
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pbxd.calls.record import Result
from pbxd.metrics import HistogramReading, LoopLag, Metrics


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_values_are_those_of_the_moment() -> None:
    metrics = Metrics()
    calls = [1]
    metrics.gauge("calls", "Calls up", lambda: len(calls))
    metrics.counter("datagrams", "Datagrams", lambda: 7)
    assert _samples(metrics)["pbxd_calls", ()] == 1
    calls.append(2)
    samples = _samples(metrics)
    assert samples["pbxd_calls", ()] == 2
    assert samples["pbxd_datagrams_total", ()] == 7


def test_labels_are_words_or_members_of_enums() -> None:
    metrics = Metrics()
    metrics.counters("calls_ended", "Calls", ["result"], lambda: {Result.CLIENT: 3, Result.SUCCESS: 4})
    metrics.gauges("legs", "Legs", ["role", "codec"], lambda: {("caller", "PCMU"): 2})
    samples = _samples(metrics)
    assert samples["pbxd_calls_ended_total", (("result", "client"),)] == 3
    assert samples["pbxd_calls_ended_total", (("result", "success"),)] == 4
    assert samples["pbxd_legs", (("codec", "PCMU"), ("role", "caller"))] == 2


def test_a_histogram_is_cumulative() -> None:
    metrics = Metrics()
    metrics.histogram("lateness_seconds", "Lateness", lambda: HistogramReading((0.001, 0.01), (5, 2, 1), 0.5))
    samples = _samples(metrics)
    assert [samples["pbxd_lateness_seconds_bucket", (("le", le),)] for le in ("0.001", "0.01", "+Inf")] == [5, 7, 8]
    assert samples["pbxd_lateness_seconds_count", ()] == 8
    assert samples["pbxd_lateness_seconds_sum", ()] == 0.5


def test_a_broken_reading_is_counted_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> float:
        raise RuntimeError("gone")

    metrics = Metrics()
    metrics.gauge("broken", "Broken", broken)
    metrics.gauge("well", "Well", lambda: 1)
    with caplog.at_level(logging.ERROR):
        metrics.render()
    samples = _samples(metrics)
    assert ("pbxd_broken", ()) not in samples
    assert samples["pbxd_well", ()] == 1
    assert samples["pbxd_metrics_failures_total", ()] == 1
    assert "the metric broken could not be read" in caplog.text


def test_a_name_stands_for_one_thing() -> None:
    metrics = Metrics()
    metrics.gauge("calls", "Calls up", lambda: 1)
    with pytest.raises(ValueError, match="the metric calls is named twice"):
        metrics.counter("calls", "Calls", lambda: 1)


def test_the_process_itself_is_measured() -> None:
    samples = _samples(Metrics())
    assert samples["process_resident_memory_bytes", ()] > 1_000_000
    assert samples["process_open_fds", ()] > 2


def test_lateness_falls_into_its_bucket() -> None:
    lag = LoopLag()
    for late in (-0.1, 0.001, 0.02, 5.0):
        lag.observe(late)
    reading = lag.reading()
    assert reading.counts == (2, 0, 0, 1, 0, 0, 0, 0, 0, 1)
    assert reading.total == pytest.approx(5.021)
    assert lag.worst_s == 5.0


async def test_the_loop_is_measured_until_stop() -> None:
    lag = LoopLag(interval_s=0.0)
    seen = asyncio.Event()
    observe = lag.observe

    def observed(late_s: float) -> None:
        observe(late_s)
        seen.set()

    lag.observe = observed  # type: ignore[method-assign]
    lag.start(asyncio.get_running_loop())
    await seen.wait()
    lag.stop()
    lag.stop()
    count = sum(lag.reading().counts)
    await asyncio.sleep(0)
    assert sum(lag.reading().counts) == count >= 1
