"""When new work is refused, in virtual time."""

from __future__ import annotations

from pbxd.sip.overload import Overload, OverloadReason

QUEUE, TIMER = OverloadReason.QUEUE_DELAY, OverloadReason.TIMER_DELAY


def test_one_late_moment_is_no_overload() -> None:
    overload = Overload(0.2, 0.1)
    overload.observe(QUEUE, 0.9, 10.0)  # a garbage collection
    overload.observe(QUEUE, 0.05, 10.01)
    overload.observe(QUEUE, 0.9, 20.0)
    assert overload.reason is None
    assert overload.episodes == 0


def test_lateness_that_stays_is_overload_until_it_falls_to_half() -> None:
    overload = Overload(0.2, 0.1)
    seen = []
    for now, delay in ((1.0, 0.21), (1.05, 0.25), (1.1, 0.3), (1.2, 0.19), (1.3, 0.11), (1.4, 0.1), (1.5, 0.21)):
        overload.observe(QUEUE, delay, now)
        seen.append(overload.reason)
    assert seen == [None, None, QUEUE, QUEUE, QUEUE, None, None]
    assert overload.episodes == 1


def test_the_reason_is_the_one_that_began_and_only_it_can_end_it() -> None:
    overload = Overload(0.2, 0.0)
    overload.observe(TIMER, 0.3, 1.0)
    overload.observe(QUEUE, 0.0, 1.1)
    assert overload.reason is TIMER
    overload.observe(TIMER, 0.0, 1.2)
    assert overload.reason is None


def test_silence_ends_an_overload() -> None:
    overload = Overload(0.2, 0.0)
    overload.observe(QUEUE, 0.3, 1.0)
    overload.expire(1.9)
    assert overload.reason is QUEUE
    overload.expire(2.0)
    assert overload.reason is None
