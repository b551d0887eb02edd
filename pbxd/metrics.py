"""Prometheus metrics, pulled: each value is read where it lives when somebody asks, and nothing is counted twice.

Parts keep plain integers; `app.py` names them here once. So a packet or a message never pays for being observed.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labelled = Mapping[Any, float]
"""Values by the label's value, a word or a member of an Enum; by a tuple of them when there are several labels."""


@dataclass(frozen=True, slots=True)
class HistogramReading:
    """Counts per bucket (not cumulative), with the buckets' upper bounds; one count more than bounds: above all."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        running, rows = 0, []
        for bound, count in zip(bounds, self.counts, strict=True):
            running += count
            rows.append((bound, float(running)))
        return rows


class Histogram:
    """Values, counted by the first bound that they do not pass."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def count(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def reading(self) -> HistogramReading:
        return HistogramReading(self._bounds, tuple(self._counts), self._total)


class Metrics:
    """The registry of the process. Names start with `pbxd_`; units are base units (seconds, bytes)."""

    def __init__(self) -> None:
        self.failures = 0
        self._sources: dict[str, Callable[[], Metric]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Sources(self))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.counter("metrics_failures", "Values that could not be read", lambda: self.failures)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that goes up and down."""
        self._add(name, lambda: GaugeMetricFamily(f"pbxd_{name}", text, value=read()))

    def counter(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A count that only grows; `_total` is appended to its name."""
        self._add(name, lambda: CounterMetricFamily(f"pbxd_{name}", text, value=read()))

    def gauges(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Labelled]) -> None:
        """Values that go up and down, one for each combination of labels."""
        self._add(name, lambda: _filled(GaugeMetricFamily(f"pbxd_{name}", text, labels=labels), read()))

    def counters(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Labelled]) -> None:
        """Counts that only grow, one for each combination of labels."""
        self._add(name, lambda: _filled(CounterMetricFamily(f"pbxd_{name}", text, labels=labels), read()))

    def histogram(self, name: str, text: str, read: Callable[[], HistogramReading]) -> None:
        """A distribution counted elsewhere."""

        def family() -> Metric:
            reading = read()
            return HistogramMetricFamily(f"pbxd_{name}", text, buckets=reading.buckets(), sum_value=reading.total)

        self._add(name, family)

    def render(self) -> bytes:
        """All of it in Prometheus' text format. A value that cannot be read is left out and counted."""
        return generate_latest(self._registry)

    def _add(self, name: str, family: Callable[[], Metric]) -> None:
        if name in self._sources:
            raise ValueError(f"the metric {name} is named twice")
        self._sources[name] = family

    def read_all(self) -> Iterator[Metric]:
        """Each metric once, now."""
        for name, family in self._sources.items():
            try:
                yield family()
            except Exception:  # one broken reading must not hide all others
                self.failures += 1
                log.exception("the metric %s could not be read", name)


class _Sources:
    """What prometheus_client calls a collector."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.read_all()


class LoopLag:
    """How late the event loop runs what was due: one timer every `interval_s`, its lateness counted in a histogram."""

    BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

    def __init__(self, interval_s: float = 0.25) -> None:
        self.worst_s = 0.0
        self._interval_s = interval_s
        self._lateness = Histogram(self.BOUNDS)
        self._handle: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure `loop` until `stop`."""
        self._expect(loop, loop.time() + self._interval_s)

    def stop(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def observe(self, late_s: float) -> None:
        """Count one lateness, in seconds."""
        late_s = max(0.0, late_s)
        self.worst_s = max(self.worst_s, late_s)
        self._lateness.count(late_s)

    def reading(self) -> HistogramReading:
        return self._lateness.reading()

    def _expect(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        def arrive() -> None:
            now = loop.time()
            self.observe(now - due)
            self._expect(loop, now + self._interval_s)

        self._handle = loop.call_at(due, arrive)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    for key, value in values.items():
        names = key if isinstance(key, tuple) else (key,)
        family.add_metric([_text(name) for name in names], value)
    return family


def _text(name: str | Enum) -> str:
    return str(name.value) if isinstance(name, Enum) else name
