from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.sound import Sound
from media.tones import BadTonePlan, Tone, ToneShape, load_plans

PLANS = load_plans()


def level_dbm0(sound: Sound, hz: float) -> float:
    """The level of one frequency in a stretch of sound."""
    samples = sound.samples.astype(float)
    time = np.arange(len(samples)) / sound.rate
    amplitude = 2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * time)))
    return float(20 * np.log10(amplitude / 32767) + 3.14)


def test_three_countries_know_every_tone() -> None:
    assert set(PLANS) == {"us", "uk", "de"}
    assert all(set(plan) == set(Tone) for plan in PLANS.values())


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("country", sorted(PLANS))
@pytest.mark.parametrize("tone", list(Tone))
def test_a_tone_has_its_frequencies_at_its_level_and_keeps_its_cadence(country: str, tone: Tone, rate: int) -> None:
    shape = PLANS[country][tone]
    sound = shape.sound(rate)
    assert sound.seconds == pytest.approx(sum(shape.cadence) or 1.0, abs=1e-3)
    at = 0.0
    for index, seconds in enumerate(shape.cadence or (1.0,)):
        part = Sound(sound.samples[round(at * rate) : round((at + seconds) * rate)], rate)
        if index % 2:
            assert not part.samples.any()
        else:
            middle = Sound(part.samples[len(part.samples) // 10 : -len(part.samples) // 10], rate)
            for hz in shape.hz:
                assert level_dbm0(middle, hz) == pytest.approx(shape.dbm0, abs=1.0)
        at += seconds


def test_a_tone_without_cadence_loops_without_a_seam() -> None:
    once = PLANS["us"][Tone.DIAL].sound(8000).samples.astype(float)
    twice = np.concatenate([once, once])
    steps = np.abs(np.diff(twice))
    assert steps[len(once) - 1] <= np.max(steps[: len(once) - 1])


def test_a_tone_begins_and_ends_without_a_click() -> None:
    sound = PLANS["uk"][Tone.BUSY].sound(8000)
    assert abs(int(sound.samples[0])) < 100
    assert abs(int(sound.samples[round(0.375 * 8000) - 1])) < 300


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[xx]\n", "missing"),
        ("x = 1\n", "a table"),
        ("not toml", "Expected"),
    ],
)
def test_a_bad_plan_says_what_is_wrong(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "plans.toml"
    path.write_text(text)
    with pytest.raises(BadTonePlan, match=fault):
        load_plans(path)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("hz = [], dbm0 = -10", "frequencies"),
        ("hz = [4000], dbm0 = -10", "frequencies"),
        ("hz = [440], dbm0 = 0", "level"),
        ("hz = [440], dbm0 = -10, cadence = [1.0]", "cadence"),
        ("hz = [440]", "expected"),
    ],
)
def test_a_bad_tone_is_named(tmp_path: Path, fields: str, fault: str) -> None:
    path = tmp_path / "plans.toml"
    tones = "\n".join(f"{tone.value} = {{ {fields} }}" for tone in Tone)
    path.write_text(f"[xx]\n{tones}\n")
    with pytest.raises(BadTonePlan, match=rf"xx\.\w+: .*{fault}"):
        load_plans(path)


def test_loud_tones_together_stop_at_full_scale() -> None:
    sound = ToneShape((440, 441, 442, 443), -3, ()).sound(8000)
    assert int(np.max(sound.samples)) == 32767
