"""What a listener would say about a call: the E-model of ITU-T G.107, as far as packets decide."""

from __future__ import annotations

BASE_R = 93.2  # G.107 §3.5 with every parameter at its default
LOSS_ROBUSTNESS = 25.1  # Bpl of G.711 with packet loss concealment, G.113 appendix I
BUFFER_PER_JITTER = 2.0  # what a phone's jitter buffer commonly holds


def rating(loss: float, one_way_ms: float) -> float:
    """The transmission rating R, 0 to 93.2, of G.711 at a `loss` of 0 to 1 (random) and a mouth-to-ear delay."""
    delay = 0.024 * one_way_ms + 0.11 * max(0.0, one_way_ms - 177.3)  # G.107 annex B's curve, by two lines
    percent = 100.0 * min(max(loss, 0.0), 1.0)
    equipment = 95.0 * percent / (percent + LOSS_ROBUSTNESS)  # G.107 §7.4, Ie = 0, BurstR = 1
    return max(0.0, BASE_R - delay - equipment)


def mos(loss: float, jitter_ms: float = 0.0, round_trip_ms: float = 0.0, ptime_ms: float = 20.0) -> float:
    """The mean opinion score, 1.0 to 4.5 (G.107 annex B). `jitter_ms` counts as the delay of the buffer it needs."""
    delay = round_trip_ms / 2 + ptime_ms + BUFFER_PER_JITTER * jitter_ms
    r = rating(loss, delay)
    return max(1.0, 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6)
