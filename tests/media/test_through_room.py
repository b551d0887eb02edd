"""What a room does to human voices, judged by PESQ: next to nothing beside what the codecs do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.media import toolchain
from tests.media.voices import VOICES, mos, speech, wide

PCMU, PCMA, G722, OPUS = 0, 1, 2, 3
NARROW = (PCMU, PCMA)


@pytest.fixture(scope="module")
def program() -> Path:
    sources = [toolchain.HERE / name for name in ("through_room.c", "band.c", "stage.c")]
    return toolchain.build("through-room", sources, flags=["-O2"])


def play(program: Path, one: int, other: int, way: str, voice: str) -> tuple[float, npt.NDArray[np.int16]]:
    """The MOS of a voice that went from codec to codec, at the rate of what is heard."""
    said = np.concatenate([speech(voice, 8.0), np.zeros(2400, np.int16)])  # so that delay cuts nothing off
    spoken = said if one in NARROW else wide(said)
    words = [str(program), str(one), str(other), way]
    output = subprocess.run(words, input=spoken.tobytes(), capture_output=True, check=True, timeout=60).stdout
    heard = np.frombuffer(output, np.int16)
    reference, rate = (said, 8000) if other in NARROW else (wide(said), 16000)
    return mos(reference, heard, rate), heard


@pytest.mark.parametrize(
    ("one", "other", "cost"),
    [
        (PCMU, PCMU, 0.1),
        (PCMU, PCMA, 0.1),
        (G722, G722, 0.15),
        (OPUS, OPUS, 0.15),
        (PCMU, OPUS, 0.15),
        (OPUS, PCMA, 0.15),
    ],
)
def test_a_room_costs_next_to_nothing(program: Path, one: int, other: int, cost: float) -> None:
    through, alone = [], []
    for voice in VOICES:
        through.append(play(program, one, other, "room", voice)[0])
        alone.append(play(program, one, other, "alone", voice)[0])
    if one == other == PCMU:
        assert np.mean(through) >= 4.2
    print(f"{one}->{other}: room {np.mean(through):.2f}, codecs alone {np.mean(alone):.2f}")
    assert np.mean(through) >= np.mean(alone) - cost
