"""What people would say about each path through the house: MOS-LQO (P.862.1, P.862.2) of human voices, virtual time."""

from __future__ import annotations

from pathlib import Path

from media.plan import Codec
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs
from tests.media.paths import ORDER, Way, mean_score, score_once, scores_with_loss

G711, G722, OPUS = Codec.PCMU, Codec.G722, Codec.OPUS
PATHS = (
    (G711, G711),
    (G711, Codec.PCMA),
    (G711, G722),
    (G722, G711),
    (G711, OPUS),
    (OPUS, G711),
    (G722, OPUS),
    (OPUS, G722),
    (G722, G722),
    (OPUS, OPUS),
)
BEST_G711 = 4.2
LOSS_GAIN = 0.5


def _name(one: Codec, other: Codec, way: Way, what: str = "") -> str:
    return f"pesq: {one.value} to {other.value}, {way.value}{what}"


def _once(codec: Codec) -> str:
    return f"pesq: {codec.value}, coded once"


def _lossy(codec: Codec, what: str) -> str:
    return f"pesq: {codec.value}, 5 % lost, {what}"


def _figures() -> list[Figure]:
    figures = [Figure(_once(codec), "MOS") for codec in (G711, G722, OPUS)]
    for one, other in PATHS:
        figures.append(Figure(_name(one, other, Way.ALONE), "MOS"))
        for way in (Way.ROOM, Way.CONFERENCE):
            least = BEST_G711 if one is other is G711 else None
            figures.append(Figure(_name(one, other, way), "MOS", least, at_least=True))
            bar = 0.15 if {one, other} & {G722, OPUS} else 0.1
            figures.append(Figure(_name(one, other, way, " costs"), "MOS", bar))
    for codec in (G711, G722, OPUS):
        figures += [Figure(_lossy(codec, what), "MOS") for what in ("silence", "concealed")]
        figures.append(Figure(_lossy(codec, "gain"), "MOS", LOSS_GAIN, at_least=True))
    return figures


FIGURES = tuple(_figures())


def run(programs: Programs, place: Path) -> Readings:
    readings = {_once(codec): score_once(codec) for codec in (G711, G722, OPUS)}
    for one, other in PATHS:
        alone = readings[_name(one, other, Way.ALONE)] = mean_score(one, other, Way.ALONE)
        for way in (Way.ROOM, Way.CONFERENCE):
            through = readings[_name(one, other, way)] = mean_score(one, other, way)
            readings[_name(one, other, way, " costs")] = alone - through
    for codec in (G711, G722, OPUS):
        silent, concealed = scores_with_loss(ORDER.index(codec))
        readings |= {_lossy(codec, "silence"): silent, _lossy(codec, "concealed"): concealed}
        readings[_lossy(codec, "gain")] = concealed - silent
    return readings
