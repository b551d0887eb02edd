"""The prompt library: a recording of a name where there is one, and speech where there is none.

    FOLDER/en-gb/welcome.mp3      the language asked for
    FOLDER/en/welcome.wav         its parent
    media/prompts/en.toml         what a voice says instead

Recordings are converted once, by a process of their own, and kept. Everything here may block: it is for worker threads.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from media import wav
from media.convert import convert
from media.sound import Sound
from media.speech import Speaker

PHRASES = Path(__file__).with_name("prompts")
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(?:/[a-z0-9][a-z0-9_-]{0,63}){0,3}")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,2}")
FALLBACK = "en"


class NoSuchPrompt(LookupError):
    """Nobody recorded a prompt of that name, and the house has no words for it."""


@dataclass(frozen=True, slots=True)
class PromptLibrary:
    """`folders` hold recordings, the first that has one wins; `cache` keeps what was converted. A file that sounds
    longer than `max_seconds` is refused."""

    folders: Sequence[Path]
    cache: Path
    speaker: Speaker
    max_seconds: float = 600.0

    def prompt(self, name: str, language: str, rate: int, values: Mapping[str, str] | None = None) -> Sound:
        """The prompt's sound; `values` fill in its words, and only words have such places. Raises NoSuchPrompt,
        BadAudio, CannotSpeak, OSError."""
        recording = self.recording(name, language)
        if recording is not None:
            return self.sound(recording, rate)
        spoken = next((tongue for tongue in _tongues(language) if name in phrases(tongue)), None)
        if spoken is None:
            raise NoSuchPrompt(f"no recording and no words for the prompt {name!r}")
        text = phrases(spoken)[name].format_map(dict(values or {}))
        tongue = language if spoken == _tongues(language)[0].split("-", 1)[0] else spoken
        return self.speaker.say(text, tongue, rate)

    def recording(self, name: str, language: str) -> Path | None:
        """The file of the prompt `name`, if there is one. Names never leave the folders."""
        if not NAME.fullmatch(name):
            raise NoSuchPrompt(f"{name!r} is no name of a prompt: small letters, digits, - and _, parts joined by /")
        for tongue in _tongues(language):
            for folder in self.folders:
                for suffix in SUFFIXES:
                    path = folder / tongue / f"{name}{suffix}"
                    if path.is_file():
                        return path
        return None

    def sound(self, source: Path, rate: int) -> Sound:
        """Any audio file at `rate` Hz, from the cache unless the file has changed. Raises BadAudio, OSError."""
        seen = source.stat()
        mark = f"{source.resolve()}\0{seen.st_mtime_ns}\0{seen.st_size}\0{rate}\0{self.max_seconds}"
        kept = self.cache / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.wav"
        try:
            return wav.read(kept)
        except (FileNotFoundError, wav.BadWav):
            self.cache.mkdir(parents=True, exist_ok=True)
            convert(source, kept, rate, self.max_seconds)
            return wav.read(kept)


@cache
def phrases(language: str) -> Mapping[str, str]:
    """What the house can say in `language`, by name; nothing where it does not know the language."""
    path = PHRASES / f"{language}.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}


def _tongues(language: str) -> list[str]:
    """The languages to look in, best first: "en-gb", "en"."""
    wanted = language.replace("_", "-").lower()
    if not LANGUAGE.fullmatch(wanted):
        raise NoSuchPrompt(f"{language!r} is no language")
    parts = wanted.split("-")
    chain = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return chain if FALLBACK in chain else [*chain, FALLBACK]
