"""What a room does to human voices, judged by PESQ: next to nothing beside what the codecs do.

`python -m tests.bench pesq` has every path.
"""

from __future__ import annotations

import pytest

from media.plan import Codec
from tests.media.paths import Way, mean_score

PCMU, PCMA, G722, OPUS = Codec.PCMU, Codec.PCMA, Codec.G722, Codec.OPUS


@pytest.mark.parametrize(
    ("one", "other", "way", "cost"),
    [
        (PCMU, PCMU, Way.ROOM, 0.1),
        (PCMU, PCMU, Way.CONFERENCE, 0.1),
        (PCMU, PCMA, Way.ROOM, 0.1),
        (G722, G722, Way.ROOM, 0.15),
        (OPUS, OPUS, Way.ROOM, 0.15),
        (OPUS, OPUS, Way.CONFERENCE, 0.15),
        (PCMU, OPUS, Way.ROOM, 0.15),
        (OPUS, PCMA, Way.ROOM, 0.15),
        (G722, OPUS, Way.ROOM, 0.15),
    ],
)
def test_a_room_costs_next_to_nothing(one: Codec, other: Codec, way: Way, cost: float) -> None:
    through, alone = mean_score(one, other, way), mean_score(one, other, Way.ALONE)
    print(f"{one.value} to {other.value}: {way.value} {through:.2f}, codecs alone {alone:.2f}")
    if one is other is PCMU:
        assert through >= 4.2
    assert through >= alone - cost
