"""300 bridged calls with media: what a relayed packet costs and how long it takes, beside a bare C relay.

First in peace, then while calls are set up, then while garbage collections hold the interpreter all the time.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.bench.daemon import LAUNCHER, Daemon, MediaPorts
from tests.bench.figures import Figure, Readings
from tests.bench.generators import GRACE_S, WARM_UP_S, Calls, Heard, Programs, talk
from tests.bench.lateness import Lateness

CALLS, STREAMS = 300, 600
SETUPS_A_SECOND = 50
BEGIN_A_SECOND = 100
SECONDS = 6

FIGURES = (
    Figure("relay: process CPU a packet", "µs", reference="bare relay: CPU a packet", remark="reference: bare C relay"),
    Figure("relay: against the bare relay", "×", bar=1.3),
    Figure("relay: lost", "packets", bar=0, digits=0, reference="bare relay: lost"),
    Figure("relay: p50", "ms", digits=3, reference="bare relay: p50"),
    Figure("relay: p99", "ms", bar=2, digits=3, reference="bare relay: p99"),
    Figure("relay + 50 set-ups/s: wire CPU a packet", "µs", reference="bare relay: CPU a packet"),
    Figure("relay + 50 set-ups/s: against the bare relay", "×", bar=1.3),
    Figure("relay + 50 set-ups/s: lost", "packets", bar=0, digits=0),
    Figure("relay + 50 set-ups/s: p99", "ms", bar=2, digits=3),
    Figure("relay + 50 set-ups/s: INVITE→200 p99", "ms", digits=1),
    Figure("relay + gc forced: wire CPU a packet", "µs", reference="bare relay: CPU a packet"),
    Figure("relay + gc forced: lost", "packets", bar=0, digits=0),
    Figure("relay + gc forced: p99", "ms", bar=2, digits=3),
    Figure("relay + 50 set-ups/s + gc forced: lost", "packets", bar=0, digits=0),
    Figure("relay + 50 set-ups/s + gc forced: p99", "ms", bar=2, digits=3),
    Figure("relay + 50 set-ups/s + gc forced: wire late p99", "ms", bar=2, remark="at most"),
)


def run(programs: Programs, place: Path) -> Readings:
    bare, bare_us = _bare(programs)
    readings = {
        "bare relay: CPU a packet": bare_us,
        "bare relay: lost": float(bare.lost),
        "bare relay: p50": bare.p50_us / 1000,
        "bare relay: p99": bare.p99_us / 1000,
    }
    with ExitStack() as parts:
        daemon = parts.enter_context(Daemon(place, command=LAUNCHER))
        calls = parts.enter_context(Calls(programs, daemon, CALLS, BEGIN_A_SECOND, hold_ms=None, media=True))
        calls.up()
        readings |= _peace(programs, daemon, bare_us)
        readings |= _busy(programs, daemon, bare_us)
        readings |= _collecting(programs, daemon)
        readings |= _all_at_once(programs, daemon)
        calls.hang_up()
    return readings


def _bare(programs: Programs) -> tuple[Heard, float]:
    """The yardstick: what it cost in microseconds a packet."""
    ports = MediaPorts.free()
    words = [programs.path("relay"), str(STREAMS), str(ports.rtp_first), str(ports.media_first)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdin is not None
        assert relay.stdout is not None
        relay.stdout.readline()

        def begin() -> None:
            assert relay.stdin is not None
            relay.stdin.write("begin\n")
            relay.stdin.flush()

        heard = talk(programs, ports, STREAMS, SECONDS, begin)
        used = json.loads(relay.communicate("end\n", timeout=GRACE_S)[0])
    return heard, 1e6 * used["cpu"] / used["packets"]


class _Span:
    """CPU and packets of a daemon since the moment `begin` was called."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._at = (0.0, 0.0, 0.0)

    def begin(self) -> None:
        self._at = self._now()

    def a_packet_us(self) -> tuple[float, float]:
        """Of the process, and of the wire thread alone."""
        process, wire, packets = (now - then for now, then in zip(self._now(), self._at, strict=True))
        return 1e6 * process / packets, 1e6 * wire / packets

    def _now(self) -> tuple[float, float, float]:
        return self._daemon.cpu_s, self._daemon.wire_cpu_s, self._daemon.packets()


def _peace(programs: Programs, daemon: Daemon, bare_us: float) -> Readings:
    span = _Span(daemon)
    heard = talk(programs, daemon.media, STREAMS, SECONDS, span.begin)
    process_us, _ = span.a_packet_us()
    return {
        "relay: process CPU a packet": process_us,
        "relay: against the bare relay": process_us / bare_us,
        "relay: lost": heard.lost,
        "relay: p50": heard.p50_us / 1000,
        "relay: p99": heard.p99_us / 1000,
    }


def _busy(programs: Programs, daemon: Daemon, bare_us: float) -> Readings:
    span = _Span(daemon)
    count = SETUPS_A_SECOND * (SECONDS + WARM_UP_S)
    with Calls(programs, daemon, count, SETUPS_A_SECOND, hold_ms=500, beside=True) as calls:
        heard = talk(programs, daemon.media, STREAMS, SECONDS, span.begin)
        called = calls.over()
    _, wire_us = span.a_packet_us()
    return {
        "relay + 50 set-ups/s: wire CPU a packet": wire_us,
        "relay + 50 set-ups/s: against the bare relay": wire_us / bare_us,
        "relay + 50 set-ups/s: lost": heard.lost,
        "relay + 50 set-ups/s: p99": heard.p99_us / 1000,
        "relay + 50 set-ups/s: INVITE→200 p99": called.p99_us / 1000,
    }


def _collecting(programs: Programs, daemon: Daemon) -> Readings:
    span = _Span(daemon)
    daemon.tell("collect")
    heard = talk(programs, daemon.media, STREAMS, SECONDS, span.begin)
    daemon.tell("rest")
    _, wire_us = span.a_packet_us()
    return {
        "relay + gc forced: wire CPU a packet": wire_us,
        "relay + gc forced: lost": heard.lost,
        "relay + gc forced: p99": heard.p99_us / 1000,
    }


def _all_at_once(programs: Programs, daemon: Daemon) -> Readings:
    """Set-ups go on while the interpreter is held again and again."""
    late, count = Lateness(daemon), SETUPS_A_SECOND * (SECONDS + WARM_UP_S)
    daemon.tell("collect")
    with Calls(programs, daemon, count, SETUPS_A_SECOND, hold_ms=500, beside=True) as calls:
        heard = talk(programs, daemon.media, STREAMS, SECONDS, late.begin)
        late_ms = late.p99_ms
        calls.over()
    daemon.tell("rest")
    return {
        "relay + 50 set-ups/s + gc forced: lost": heard.lost,
        "relay + 50 set-ups/s + gc forced: p99": heard.p99_us / 1000,
        "relay + 50 set-ups/s + gc forced: wire late p99": late_ms,
    }
