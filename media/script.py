"""What is to be heard, line by line, and the reader that turns each line into sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from media import wav
from media.library import PromptLibrary
from media.resampling import resample
from media.sound import Sound
from media.tones import Tone, TonePlan
from media.tune import tune


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of the library; `values` fill in its words."""

    name: str
    values: tuple[tuple[str, str], ...] = ()
    language: str | None = None  # another than that of the rest


@dataclass(frozen=True, slots=True)
class Speech:
    """Words for the voice."""

    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One turn of a tone's cadence."""

    tone: Tone


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence of so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file of the house's own, in any format. Never a path that somebody asked for."""

    path: Path


@dataclass(frozen=True, slots=True)
class Tune:
    """A file of the music for those who wait. It may be left out where others can be played."""

    path: Path


@dataclass(frozen=True, slots=True)
class Recorded:
    """A WAV file that the house wrote itself, read without a conversion. It must never change under its name."""

    path: Path


@dataclass(frozen=True, slots=True)
class HouseMusic:
    """The house's own music, where there is no other."""


BREATH = Pause(0.3)  # phones lose the first syllable while their sound opens, and the last when it closes at once
Line = Prompt | Speech | Signal | Pause | AudioFile | Tune | Recorded | HouseMusic


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads lines aloud: recordings and words from `library`, tones as `country` knows them. Reading may block."""

    library: PromptLibrary
    tones: Mapping[str, TonePlan]
    country: str

    def read(self, line: Line, language: str, rate: int) -> Sound:
        """The sound of one line at `rate` Hz. Raises NoSuchPrompt, BadAudio, CannotSpeak, BadWav, OSError."""
        match line:
            case Prompt(name, values, own):
                return self.library.prompt(name, own or language, rate, dict(values))
            case Speech(text, own):
                return self.library.speaker.say(text, own or language, rate)
            case Signal(tone):
                return self.tones[self.country][tone].sound(rate)
            case Pause(seconds):
                return Sound.silence(seconds, rate)
            case AudioFile(path) | Tune(path):
                return self.library.sound(path, rate)
            case Recorded(path):
                return resample(wav.read(path), rate)
            case HouseMusic():
                return tune(rate)
