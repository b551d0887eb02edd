"""A flood beside calls: 100,000 datagrams of rubbish a second from one address, 200 bridged calls, and new calls."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import GRACE_S, WARM_UP_S, Calls, Programs, talk

CALLS, STREAMS = 200, 400
BEGIN_A_SECOND = 100
SETUPS_A_SECOND = 20
ATTACKER = "127.0.0.67"
A_SECOND = 100_000
SECONDS = 20

FIGURES = (
    Figure("junk: sent a second", "datagrams", digits=0),
    Figure("junk: taken off the socket and dropped in C", "%", digits=2, remark="the rest the kernel dropped"),
    Figure("junk: read by the interpreter", "datagrams", digits=0),
    Figure("junk: lost by the worst stream", "%", bar=0.1, digits=3),
    Figure("junk: lost of all", "%", bar=0.1, digits=4),
    Figure("junk: relay p99", "ms", digits=3),
    Figure("junk: new calls that failed", "calls", bar=0, digits=0),
    Figure("junk: INVITE→200 p99", "ms", digits=1),
    Figure("junk: CPU of the wire thread", "%", digits=1),
)


def run(programs: Programs, place: Path, *, seconds: int = SECONDS, a_second: int = A_SECOND) -> Readings:
    with ExitStack() as parts:
        daemon = parts.enter_context(Daemon(place))
        calls = parts.enter_context(Calls(programs, daemon, CALLS, BEGIN_A_SECOND, hold_ms=None, media=True))
        calls.up()
        count = SETUPS_A_SECOND * (seconds + WARM_UP_S)
        fresh = parts.enter_context(Calls(programs, daemon, count, SETUPS_A_SECOND, hold_ms=500, beside=True))
        words = [programs.path("junk"), ATTACKER, *map(str, (daemon.sip_port, a_second, seconds + 2 * WARM_UP_S))]
        junk = parts.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        cpu = daemon.wire_cpu_s
        heard = talk(programs, daemon.media, STREAMS, seconds, lambda: None)
        wire_share = 100 * (daemon.wire_cpu_s - cpu) / (seconds + WARM_UP_S)
        sent = json.loads(junk.communicate(timeout=GRACE_S)[0])
        called = fresh.over()
        metrics = daemon.metrics()
        calls.hang_up()
    dropped = sum(metrics[f'pbxd_wire_drops_total{{reason="{why}"}}'] for why in ("sip_banned", "sip_rate"))
    read = metrics["pbxd_door_refused_total"] + metrics['pbxd_sip_drops_total{reason="malformed_request"}']
    read += metrics['pbxd_sip_drops_total{reason="malformed_response"}']
    return {
        "junk: sent a second": sent["a_second"],
        "junk: taken off the socket and dropped in C": 100 * dropped / sent["sent"],
        "junk: read by the interpreter": read,
        "junk: lost by the worst stream": 100 * heard.worst_lost / heard.each_sent,
        "junk: lost of all": 100 * heard.lost / heard.sent,
        "junk: relay p99": heard.p99_us / 1000,
        "junk: new calls that failed": called.not_ended,
        "junk: INVITE→200 p99": called.p99_us / 1000,
        "junk: CPU of the wire thread": wire_share,
    }
