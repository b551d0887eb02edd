"""The pool of port pairs, and the E-model."""

from __future__ import annotations

import pytest

from media import quality
from media.ports import OutOfPorts, PortPool


def test_pairs_are_even_and_taken_in_turn() -> None:
    pool = PortPool(10001, 10008, rest_s=5)
    assert pool.size == 3
    assert [pool.take(0) for _ in range(3)] == [10002, 10004, 10006]
    assert pool.in_use == 3


def test_a_freed_pair_rests() -> None:
    pool = PortPool(10000, 10005, rest_s=5)
    first, second = pool.take(0), pool.take(0)
    pool.give_back(first, now=1)
    pool.give_back(second, now=2)
    assert pool.take(2) == 10004
    with pytest.raises(OutOfPorts, match="1 of 3 RTP port pairs in use, 2 resting"):
        pool.take(5.9)
    assert pool.take(6) == first
    with pytest.raises(OutOfPorts):
        pool.take(6)
    assert pool.take(7) == second


def test_a_range_without_a_pair() -> None:
    for first, last in [(10001, 10002), (10000, 10000), (70000, 70010), (0, 0)]:
        with pytest.raises(ValueError, match="no pair"):
            PortPool(first, last)
    with pytest.raises(KeyError):
        PortPool(10000, 10010).give_back(10000, 0)


def test_what_a_listener_would_say() -> None:
    assert quality.mos(0) == pytest.approx(4.40, abs=0.02)  # G.711 at its best
    assert quality.mos(0, round_trip_ms=300) == pytest.approx(4.3, abs=0.1)
    assert quality.mos(0.05) == pytest.approx(3.9, abs=0.15)  # G.113 with concealment
    assert quality.mos(1.0, jitter_ms=500, round_trip_ms=2000) == 1.0
    better = [quality.mos(loss / 100) for loss in range(0, 60, 5)]
    assert better == sorted(better, reverse=True)
    assert quality.rating(0, 177) - quality.rating(0, 400) == pytest.approx(0.024 * 223 + 0.11 * 222.7)
