"""Speech out: text becomes sound, by whatever voice is installed, and is said only once.

A voice works in a process of its own for as long as it speaks, so that none is shared between threads. Speaking blocks:
it is for worker threads, never for the event loop's.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from media import wav
from media.resampling import resample
from media.sound import Sound

log = logging.getLogger(__name__)

LONGEST_TEXT = 4000  # characters: five minutes of speech
PATIENCE_S = 30.0


class CannotSpeak(RuntimeError):
    """The voice said nothing; the text says why."""


class Voice(Protocol):
    """Turns text into sound. `id` names voice and settings: with the same `id`, the same text sounds the same."""

    @property
    def id(self) -> str: ...

    def speak(self, text: str, language: str) -> Sound:
        """Says `text`; `language` is as "en" or "en-GB". Raises CannotSpeak. Blocks."""


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    """espeak-ng, the voice that is always there. `words_a_minute` 80 to 450, `pitch` 0 to 99; `variant` as espeak-ng
    calls it: "f3", "m1"."""

    words_a_minute: int = 160
    pitch: int = 50
    variant: str = ""

    @property
    def id(self) -> str:
        return f"espeak-ng {self.words_a_minute} {self.pitch} {self.variant}"

    def speak(self, text: str, language: str) -> Sound:
        voice = language.lower() + (f"+{self.variant}" if self.variant else "")
        command = [
            "espeak-ng",
            "-v",
            voice,
            "-s",
            str(self.words_a_minute),
            "-p",
            str(self.pitch),
            "--stdin",
            "--stdout",
        ]
        return _told(command, text)


@dataclass(frozen=True, slots=True)
class PiperVoice:
    """piper, a far better voice, where the extra is installed; `model` is the path of its .onnx file."""

    model: Path
    program: Sequence[str] = ("piper",)

    @property
    def id(self) -> str:
        return f"piper {self.model.name}"

    def speak(self, text: str, language: str) -> Sound:
        del language  # a model speaks one
        return _told([*self.program, "--model", str(self.model), "--output-file", "-"], text)


def _told(command: list[str], text: str) -> Sound:
    """What a program that reads text and writes WAV says."""
    try:
        said = subprocess.run(  # noqa: S603 - a program of the settings, no shell, the text on its input
            command, input=text.encode(), capture_output=True, timeout=PATIENCE_S, check=False
        )
    except FileNotFoundError as error:
        raise CannotSpeak(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CannotSpeak(f"{command[0]} took longer than {PATIENCE_S:g} s") from error
    if said.returncode:
        reason = said.stderr.decode(errors="replace").strip().splitlines()
        raise CannotSpeak(f"{command[0]}: {reason[-1] if reason else f'exit {said.returncode}'}")
    try:
        return wav.parse(io.BytesIO(said.stdout))
    except wav.BadWav as error:
        raise CannotSpeak(f"{command[0]} wrote no sound: {error}") from error


class Speaker:
    """Says text through `voice`, at `rate` Hz, and keeps what was said in `folder` until that holds `most_octets`."""

    def __init__(self, voice: Voice, folder: Path, most_octets: int) -> None:
        self.voice = voice
        self._folder = folder
        self._most_octets = most_octets

    def say(self, text: str, language: str, rate: int) -> Sound:
        """Raises CannotSpeak. Blocks for as long as the voice needs, or not at all the second time; a disk that keeps
        nothing costs only that."""
        plain = " ".join(text.split())
        if not plain:
            raise CannotSpeak("there is no text")
        if len(plain) > LONGEST_TEXT:
            raise CannotSpeak(f"the text is longer than {LONGEST_TEXT} characters")
        path = self._folder / f"{_digest(self.voice.id, language, plain, rate)}.wav"
        try:
            sound = wav.read(path)
            os.utime(path)
        except (OSError, wav.BadWav):
            sound = resample(_trimmed(self.voice.speak(plain, language)), rate)
            try:
                self._keep(path, sound)
            except OSError as error:
                log.warning("what was said cannot be kept: %s", error.strerror or error)
        return sound

    def _keep(self, path: Path, sound: Sound) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        wav.write(path, sound)
        kept = sorted(self._folder.glob("*.wav"), key=lambda file: file.stat().st_mtime, reverse=True)
        room = self._most_octets
        for file in kept:
            room -= file.stat().st_size
            if room < 0 and file != path:
                file.unlink(missing_ok=True)


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def _trimmed(sound: Sound, pad_s: float = 0.05) -> Sound:
    """Without the silence that voices put before and behind."""
    loud = np.flatnonzero(np.abs(sound.samples.astype(np.int32)) > 200)
    if not len(loud):
        return sound
    pad = round(pad_s * sound.rate)
    return Sound(sound.samples[max(0, loud[0] - pad) : loud[-1] + pad], sound.rate)
