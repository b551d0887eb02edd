"""The ways of a voice through the house, in virtual time, and what PESQ makes of each."""

from __future__ import annotations

import subprocess
from enum import StrEnum
from functools import cache
from pathlib import Path
from statistics import mean

import numpy as np

from media.plan import Codec
from pbxd.config.sound import Opus
from tests.media import ear, toolchain
from tests.media.voices import RATE, VOICES, mos, speech, wide

SECONDS = 8.0
LOSS = 0.05
SEEDS = range(3)
ORDER = list(Codec)  # of wire's enum codec
NARROW = frozenset({Codec.PCMU, Codec.PCMA, Codec.L16})


class Way(StrEnum):
    """How sound gets from codec to codec."""

    ALONE = "alone"  # by the codecs, one after the other
    ROOM = "room"  # of two
    CONFERENCE = "conference"  # of three, one of them silent


@cache
def program() -> Path:
    sources = [toolchain.HERE / name for name in ("through_room.c", "band.c", "stage.c")]
    return toolchain.build("through-room", sources, flags=["-O2"])


@cache
def score(one: Codec, other: Codec, way: Way, voice: str) -> float:
    """The MOS of a voice that was said in `one` and heard in `other`, at the rate of what is heard."""
    said = np.concatenate(
        [speech(voice, SECONDS), np.zeros(RATE * 3 // 10, np.int16)]
    )  # so that delay cuts nothing off
    spoken = said if one in NARROW else wide(said)
    words = [str(program()), str(ORDER.index(one)), str(ORDER.index(other)), way.value]
    output = subprocess.run(words, input=spoken.tobytes(), capture_output=True, check=True, timeout=60).stdout
    heard = np.frombuffer(output, np.int16)
    return mos(said, heard) if other in NARROW else mos(wide(said), heard, 2 * RATE)


def mean_score(one: Codec, other: Codec, way: Way) -> float:
    """Of all voices."""
    return mean(score(one, other, way, voice) for voice in VOICES)


def score_once(codec: Codec) -> float:
    """The mean MOS of all voices that the codec was applied to but once: no house could give more."""
    scores = []
    for voice in VOICES:
        said = speech(voice, SECONDS) if codec in NARROW else wide(speech(voice, SECONDS))
        mouth = ear.Mouth(ORDER.index(codec))
        scores.append(mos(said, mouth.hear(mouth.payloads(said)), RATE if codec in NARROW else 2 * RATE))
    return mean(scores)


def score_with_loss(codec: int, voice: str) -> tuple[float, float]:
    """The mean MOS of a voice when 5 % of its packets are lost: filled with silence, and concealed.

    Opus is said as the house says it to a far end that loses so much.
    """
    rate = RATE if ORDER[codec] in NARROW else 2 * RATE
    reference = speech(voice, SECONDS) if rate == RATE else wide(speech(voice, SECONDS))
    mouth = ear.Mouth(codec, bitrate=Opus().bitrate, fec=Opus().fec, expected_loss=round(100 * LOSS))
    payloads = mouth.payloads(reference)
    silent, concealed = [], []
    for seed in SEEDS:
        got = ear.lose(mouth.packets(payloads), LOSS, np.random.default_rng(seed))
        silent.append(mos(reference, ear.zero_filled(mouth, payloads, got, codec), rate))
        concealed.append(mos(reference, ear.Ear(codec, rate=rate).listen(got, SECONDS + 0.1).pcm, rate))
    return mean(silent), mean(concealed)


def scores_with_loss(codec: int) -> tuple[float, float]:
    """The same of all voices."""
    silent, concealed = zip(*(score_with_loss(codec, voice) for voice in VOICES), strict=True)
    return mean(silent), mean(concealed)
