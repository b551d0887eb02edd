"""Hearing judged by ear: human speech through a codec, a damaged network and the jitter buffer, in virtual time."""

from __future__ import annotations

from statistics import mean

import numpy as np
import pytest

from media.plan import Codec
from tests.media import ear, voices
from tests.media.paths import ORDER, score_with_loss

SECONDS = 10.0
LOSS = 0.05
SEEDS = range(3)


@pytest.mark.parametrize("codec", [ear.PCMU, ear.PCMA], ids=["pcmu", "pcma"])
def test_without_loss_it_is_the_codec(codec: int) -> None:
    """Within 0.1 of the codec alone for each voice, while the delay is learnt; 4.2 and better in the mean."""
    scores: list[float] = []
    for voice in voices.VOICES:
        reference = voices.speech(voice, SECONDS)
        mouth = ear.Mouth(codec)
        payloads = mouth.payloads(reference)
        heard = ear.Ear(codec).listen(mouth.packets(payloads), SECONDS + 0.1)
        alone = voices.mos(reference, mouth.hear(payloads))
        scores.append(voices.mos(reference, heard.pcm))
        print(f"{voice}: {alone:.3f} alone, {scores[-1]:.3f} heard")
        assert scores[-1] >= alone - 0.1, voice
        assert heard.statistics["stretched"] == heard.statistics["compressed"] == 0
    assert mean(scores) >= 4.2


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.G722, Codec.OPUS, Codec.L16_WIDE])
def test_loss_is_concealed_half_a_mos_better_than_by_silence(codec: Codec) -> None:
    """5 % random loss, the mean of several seeds: by P.862.1 at 8 kHz, P.862.2 at 16 kHz."""
    gains: dict[str, float] = {}
    for voice in voices.VOICES:
        silent, concealed = score_with_loss(ORDER.index(codec), voice)
        gains[voice] = concealed - silent
        print(f"{voice}: {silent:.3f} silent, {concealed:.3f} concealed, {gains[voice]:+.3f}")
    assert mean(gains.values()) >= 0.5
    assert min(gains.values()) >= 0.35


@pytest.mark.parametrize("codec", [ear.G722, ear.L16_WIDE, ear.OPUS], ids=["g722", "l16", "opus"])
def test_wide_sound_without_loss_is_the_codec(codec: int) -> None:
    """At 16 kHz, by P.862.2."""
    for voice in ("allison", "carlo"):
        reference = voices.wide(voices.speech(voice, 8.0))
        mouth = ear.Mouth(codec, fec=True, expected_loss=5)
        payloads = mouth.payloads(reference)
        alone = voices.mos(reference, mouth.hear(payloads), 16000)
        clean = voices.mos(reference, ear.Ear(codec, rate=16000).listen(mouth.packets(payloads), 8.1).pcm, 16000)
        print(f"{voice}: {alone:.3f} alone, {clean:.3f} heard")
        assert clean >= alone - 0.05


def slices(reference: ear.Pcm, heard: ear.Pcm, seconds: int) -> list[float]:
    """MOS of each stretch of a long sound, for the judge takes short ones only."""
    size = seconds * voices.RATE
    starts = range(0, min(len(reference), len(heard)) - size + 1, size)
    return [voices.mos(reference[at : at + size], heard[at : at + size]) for at in starts]


@pytest.mark.parametrize(("ppm", "cost"), [(-200.0, 0.15), (200.0, 0.15), (-1000.0, 0.35), (1000.0, 0.35)])
def test_a_minute_of_drift_is_not_heard(ppm: float, cost: float) -> None:
    """As good as the same minute without drift; and five times as much drift as clocks have, so that it counts."""
    reference = voices.speech("carlo", 64.0)
    mouth = ear.Mouth(ear.PCMA)
    payloads = mouth.payloads(reference)
    steady = ear.Ear(ear.PCMA).listen(mouth.packets(payloads), 62)
    drifting = ear.Ear(ear.PCMA).listen(mouth.packets(payloads, ppm=ppm), 62)
    even, uneven = mean(slices(reference, steady.pcm, 10)), mean(slices(reference, drifting.pcm, 10))
    counted = drifting.statistics
    print(f"{ppm:+.0f} ppm: {even:.3f} without, {uneven:.3f} with; {counted}")
    assert uneven >= even - cost
    if abs(ppm) >= 1000:
        assert counted["compressed" if ppm > 0 else "stretched"] > 40 * voices.RATE // 1000
    assert counted["late"] == 0


def test_jitter_costs_delay_and_not_sound() -> None:
    """40 ms of jitter, learnt from the sound itself, in the mean of three voices."""
    lost: list[float] = []
    for voice in ("allison", "carlo", "june"):
        reference = voices.speech(voice, SECONDS)
        mouth = ear.Mouth(ear.PCMA)
        payloads = mouth.payloads(reference)
        ragged = ear.jitter(mouth.packets(payloads), 40, np.random.default_rng(1))
        heard = ear.Ear(ear.PCMA).listen(ragged, SECONDS + 0.1)
        lost.append(voices.mos(reference, mouth.hear(payloads)) - voices.mos(reference, heard.pcm))
        print(f"{voice}: {lost[-1]:.3f} lost; {heard.statistics}")
        assert heard.statistics["late"] <= 3
        assert 40 <= heard.statistics["delay_ms"] <= 90
    assert mean(lost) <= 0.5
