"""How late the wire thread of a daemon was for what it had to do, as its metrics say."""

from __future__ import annotations

import re

from tests.bench.daemon import Daemon

_BUCKET = re.compile(r'pbxd_wire_lateness_seconds_bucket\{le="([^"]+)"\}')


class Lateness:
    """Since `begin`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._before: dict[float, float] = {}

    def begin(self) -> None:
        self._before = self._now()

    @property
    def p99_ms(self) -> float:
        """Below this it was late 99 times of 100."""
        counts = {bound: count - self._before.get(bound, 0) for bound, count in self._now().items()}
        most = max(counts.values())
        return 1000 * min(bound for bound, count in counts.items() if count >= 0.99 * most)

    def _now(self) -> dict[float, float]:
        """How often it was late by less than so many seconds."""
        found = ((_BUCKET.fullmatch(name), count) for name, count in self._daemon.metrics().items())
        return {float(match[1]): count for match, count in found if match is not None}
