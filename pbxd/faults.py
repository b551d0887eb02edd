"""What breaks around a house that goes on: the words of `/health/ready` and the metrics that alarms are made of."""

from __future__ import annotations

from pbxd.api.health import Check
from pbxd.metrics import Metrics
from pbxd.store import Store, Trouble
from pbxd.telephony import Telephony

LATE_WRITES_S = 5.0

# Parts in /health/ready
STORE = "store"
WIRE = "wire"
FILES = "files"

# Metrics, without `pbxd_`

STORE_TROUBLE = "store_trouble"
STORE_TROUBLES = "store_troubles"
STORE_OLDEST = "store_oldest_seconds"
WIRE_STALLED = "wire_stalled_seconds"
WIRE_STALLS = "wire_stalls"
CLOCK_JUMPS = "clock_jumps"
LOOKUPS_FAILED = "sip_lookups_failed"
CONNECTIONS_ENDED = "sip_connections_ended"


def store_trouble(store: Store) -> str | None:
    """`disk_full: 12 rows wait, the oldest for 34 s`; None while writes get through."""
    seen = store.statistics
    if store.trouble is None and seen.oldest_s <= LATE_WRITES_S:
        return None
    name = store.trouble or Trouble.SLOW
    lost = sum(seen.dropped.values())
    return f"{name.value}: {seen.pending} rows wait, the oldest for {seen.oldest_s:.0f} s" + (
        f"; {lost} were dropped since the start" if lost else ""
    )


def wire_trouble(telephony: Telephony) -> str | None:
    """`stalled for 3 s`; None while the wire thread turns."""
    pulse = telephony.pulse
    return f"stalled for {pulse.stalled_s:.0f} s: no sound, no SIP over UDP" if pulse.stalled else None


def files_trouble(telephony: Telephony) -> str | None:
    """Whether descriptors are missing; None while connections are accepted."""
    resting = telephony.transports.connections.resting
    return "no SIP connections are accepted: out of file descriptors" if resting else None


def needed(telephony: Telephony) -> dict[str, Check]:
    """The parts without which nobody should be sent here."""
    return {WIRE: lambda: wire_trouble(telephony)}


def beside(store: Store, telephony: Telephony) -> dict[str, Check]:
    """The parts without which calls go on."""
    return {STORE: lambda: store_trouble(store), FILES: lambda: files_trouble(telephony)}


def measure_faults(metrics: Metrics, store: Store, telephony: Telephony) -> None:
    """Names each fault once."""
    metrics.gauges(STORE_TROUBLE, "1 while the store does not take writes", ["reason"], lambda: {
        trouble: trouble is store.trouble for trouble in Trouble})  # fmt: skip
    metrics.counters(STORE_TROUBLES, "Times the store stopped taking writes", ["reason"], lambda: store.troubles)
    metrics.gauge(STORE_OLDEST, "Age of the oldest row not yet committed", lambda: store.statistics.oldest_s)
    metrics.gauge(WIRE_STALLED, "For how long the wire thread has not turned", lambda: telephony.pulse.stalled_s)
    metrics.counter(WIRE_STALLS, "Times the wire thread stopped turning", lambda: telephony.pulse.stalls)
    metrics.counter(CLOCK_JUMPS, "Times the wall clock was set", lambda: telephony.clock.jumps)
    metrics.counters(LOOKUPS_FAILED, "URIs whose host could not be found", ["reason"], lambda: {
        trouble.name.lower(): count for trouble, count in telephony.resolver.failures.items()})  # fmt: skip
    metrics.counters(CONNECTIONS_ENDED, "SIP connections that ended or were not made", ["reason"], lambda: {
        closing.name.lower(): count for closing, count in telephony.transports.connections.closings.items()
        })  # fmt: skip
