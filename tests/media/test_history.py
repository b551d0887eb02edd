"""Quality over time: rows of a leg in virtual time, what they say, and that they stay few."""

from __future__ import annotations

from dataclasses import replace

import pytest

from media import quality
from media.history import MAX_ROWS, PERIOD_S, History, Sample
from media.plan import Codec, MediaPlan
from media.wire import HearingStatistics, LegStatistics

PLAN = MediaPlan(("192.0.2.1", 4000), Codec.PCMU, 0, 0)
HEARING = HearingStatistics(*[0] * len(HearingStatistics.__slots__))
PACKETS = 250  # of 5 s


def numbers(rows: int, *, lost: int = 0, bursts: int = 0) -> LegStatistics:
    return LegStatistics(
        received=rows * PACKETS - lost, expected=rows * PACKETS, lost=lost, bursts=bursts, sent=rows * PACKETS
    )


def samples_of(*rows: LegStatistics, plan: MediaPlan = PLAN) -> list[Sample]:
    history = History()
    for number, row in enumerate(rows):
        history.take(row, plan, 100 + PERIOD_S * number)
    return history.samples()


def test_a_row_is_what_happened_since_the_one_before() -> None:
    good, bad, better = samples_of(numbers(0), numbers(1), numbers(2, lost=25, bursts=5), numbers(3, lost=25, bursts=5))
    assert (good.at, good.loss, good.bursts, good.received) == (105, 0, 0, PACKETS)
    assert (bad.loss, bad.bursts, bad.received) == (0.1, 5, PACKETS - 25)
    assert good.mos == better.mos == pytest.approx(quality.mos(0), abs=0.01)
    assert bad.mos == pytest.approx(quality.mos_of(quality.rating(0.1, 20, 4.5)))


def test_loss_in_bursts_is_worse_than_one_by_one() -> None:
    (single,) = samples_of(numbers(0), numbers(1, lost=20, bursts=20))
    (burst,) = samples_of(numbers(0), numbers(1, lost=20, bursts=2))
    assert single.mos is not None
    assert burst.mos is not None
    assert burst.mos < single.mos - 0.3


def test_where_nothing_came_nothing_was_heard() -> None:
    before, silence = samples_of(numbers(0), numbers(1), numbers(1))
    assert before.mos is not None
    assert (silence.mos, silence.received, silence.loss) == (None, 0, 0)


def test_what_the_far_end_heard_is_by_its_reports() -> None:
    reported = replace(numbers(1), remote_loss=0.05, remote_jitter_ms=10.0, round_trip_ms=100.0)
    (sample,) = samples_of(numbers(0), reported)
    assert sample.remote_mos == pytest.approx(quality.mos(0.05, 10, 100, 20), abs=0.01)
    assert sample.delay_ms == 70


@pytest.mark.parametrize(("codec", "per_ms"), [(Codec.PCMU, 8), (Codec.OPUS, 16)])
def test_in_a_room_late_packets_are_lost_and_concealed_sound_is_counted(codec: Codec, per_ms: int) -> None:
    def row(rows: int, concealed: int, late: int) -> LegStatistics:
        return replace(numbers(rows), hearing=replace(HEARING, concealed=concealed, late=late, delay_ms=60))

    moved = row(3, 20 * per_ms, 0)  # another room: its hearing counts anew
    rows = samples_of(numbers(0), row(1, 40 * per_ms, 5), numbers(2), moved, plan=replace(PLAN, codec=codec))
    assert [sample.concealed_ms for sample in rows] == [40, 0, 20]
    assert [sample.loss for sample in rows] == [5 / PACKETS, 0, 0]
    assert [sample.delay_ms for sample in rows] == [80, 20, 80]


def test_a_day_takes_no_more_room_than_an_hour() -> None:
    history = History()
    looks = 17280
    for look in range(looks + 1):
        history.take(numbers(look, lost=look // 2, bursts=look // 2), PLAN, PERIOD_S * look)
    history.take(numbers(looks), PLAN, PERIOD_S * looks + 1, last=True)
    assert MAX_ROWS // 2 <= len(history) <= MAX_ROWS
    samples = history.samples()
    assert samples[-1].at == PERIOD_S * looks + 1
    assert sum(sample.received for sample in samples) == looks * PACKETS
    few = history.samples(100)
    assert len(few) <= 101
    assert few[-1].at == samples[-1].at
    assert sum(sample.received for sample in few) == looks * PACKETS
