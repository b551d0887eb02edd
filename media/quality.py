"""What a listener would say about a call: the E-model of ITU-T G.107, as far as packets decide."""

from __future__ import annotations

BASE_R = 93.2  # G.107 §3.5 with every parameter at its default
LOSS_ROBUSTNESS = 25.1  # Bpl of G.711 with packet loss concealment, G.113 appendix I
BUFFER_PER_JITTER = 2.0  # what a phone's jitter buffer commonly holds


def rating(loss: float, one_way_ms: float, burst_ratio: float = 1.0) -> float:
    """The transmission rating R, 0 to 93.2, of G.711 at a `loss` of 0 to 1 and a mouth-to-ear delay."""
    delay = 0.024 * one_way_ms + 0.11 * max(0.0, one_way_ms - 177.3)  # G.107 annex B's curve, by two lines
    percent = 100.0 * min(max(loss, 0.0), 1.0)
    equipment = 95.0 * percent / (percent / burst_ratio + LOSS_ROBUSTNESS)  # G.107 §7.4, Ie = 0
    return max(0.0, BASE_R - delay - equipment)


def burst_ratio(loss: float, burst_length: float) -> float:
    """BurstR of G.107 §7.4: how long the bursts of loss are, in packets, beside those of as much random loss."""
    return max(1.0, burst_length * (1.0 - loss))


def mos_of(r: float) -> float:
    """The mean opinion score, 1.0 to 4.5, of a rating (G.107 annex B)."""
    return max(1.0, 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6)


def mos(loss: float, jitter_ms: float = 0.0, round_trip_ms: float = 0.0, ptime_ms: float = 20.0) -> float:
    """The same of random loss. `jitter_ms` counts as the delay of the buffer it needs."""
    return mos_of(rating(loss, round_trip_ms / 2 + ptime_ms + BUFFER_PER_JITTER * jitter_ms))
