"""Speech is full of pairs of tones; none of them may pass for a digit. And digits must not be lost for it."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.media import toolchain
from tests.media.voices import RATE, SOUNDS, VOICES

HOUR = 3600
LOWS, HIGHS, KEYS = (697, 770, 852, 941), (1209, 1336, 1477, 1633), "123A456B789C*0#D"


@pytest.fixture(scope="module")
def program() -> Path:
    return toolchain.build("talk-off", [toolchain.HERE / "talk_off.c"], flags=["-O2"])


def listen(program: Path, pcm: bytes) -> tuple[str, int]:
    """The digits that were heard, in how many seconds."""
    output = subprocess.run([str(program)], input=pcm, capture_output=True, check=True, timeout=120).stdout.decode()
    digits, seconds = output.splitlines()
    return digits, int(seconds.split()[0])


def samples(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        return bytes(file.readframes(file.getnframes()))


def test_hours_of_speech_hold_no_digit(program: Path) -> None:
    assert all(voice.is_dir() for voice in VOICES.values()), "the voices are not installed"
    speech = b"".join(samples(path) for path in sorted(SOUNDS.glob("*_*_*/**/*.wav")))
    digits, seconds = listen(program, speech)
    assert digits == ""
    assert seconds > HOUR


@pytest.mark.parametrize("length_ms", [40, 50, 80, 300])
def test_digits_are_heard_after_speech(program: Path, length_ms: int) -> None:
    """Each digit, as short as ITU-T Q.24 has it, with the pauses that it allows at least."""
    speech = samples(next(iter(sorted(VOICES["carlo"].glob("*.wav")))))[: 2 * RATE]
    at = np.arange(RATE * length_ms // 1000) / RATE
    pause = bytes(2 * RATE * 45 // 1000)
    said = speech
    for number in range(len(KEYS)):
        low, high = LOWS[number // 4], HIGHS[number % 4]
        tone = 5000 * np.sin(2 * np.pi * low * at) + 6000 * np.sin(2 * np.pi * high * at)
        said += pause + tone.astype(np.int16).tobytes()
    assert listen(program, said + pause * 4)[0] == KEYS
