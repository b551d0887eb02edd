"""The system prompts in every language: what a media node plays before anybody recorded something of their own.

The words are `media/catalogue/<language>.toml`, the voices are espeak-ng's; what they say is kept as
`system/<language>/<gender>/<prompt>.wav`, mono with 16 bits at 16 kHz.
"""

from __future__ import annotations

import asyncio
import logging
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import media
from media import wav
from media.resampling import resample
from media.speech import CannotSpeak, EspeakVoice, Voice
from pbxd.errors import Conflict, HouseError, NotFound
from pbxd.objects import Objects

log = logging.getLogger(__name__)

SYSTEM = "system"
RATE = 16_000
MAX_OCTETS = 4 << 20  # two minutes
CATALOGUE = Path(media.__file__).with_name("catalogue")
PROMPTS = (
    "welcome",
    "please-hold",
    "confirm-accept",
    "whisper-queue",
    "all-busy",
    "no-agents",
    "vm-greeting",
    "goodbye",
    "invalid",
    "transferring",
)


class Gender(StrEnum):
    FEMALE = "female"
    MALE = "male"


VARIANTS = {Gender.FEMALE: "f3", Gender.MALE: "m3"}


class Made(StrEnum):
    """What became of one prompt."""

    MADE = "made"
    KEPT = "kept"  # it was there already
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """One prompt of the catalogue is done. `reason` says why it failed."""

    key: str
    made: Made
    seconds: float | None = None
    reason: str | None = None


@cache
def languages() -> tuple[str, ...]:
    """The languages of the catalogue, in order."""
    return tuple(sorted(path.stem for path in CATALOGUE.glob("*.toml")))


@cache
def words(language: str) -> Mapping[str, str]:
    """What the prompts say in a language of the catalogue."""
    return tomllib.loads((CATALOGUE / f"{language}.toml").read_text("utf-8"))


def key_of(language: str, gender: Gender, prompt: str) -> str:
    """Under what a prompt is kept."""
    return f"{SYSTEM}/{language}/{gender.value}/{prompt}.wav"


def voice_of(gender: Gender) -> Voice:
    """Who says the prompts."""
    return EspeakVoice(variant=VARIANTS[gender])


class SystemPrompts:
    """Says the catalogue, one prompt after the other in a thread, so that no call waits for it."""

    def __init__(self, objects: Objects, voice: Callable[[Gender], Voice] = voice_of) -> None:
        self._objects = objects
        self._voice = voice
        self._busy = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One at a time: whoever generates has the turn. Raises Conflict while another one has."""
        if self._busy:
            raise Conflict("the prompts are being made just now: ask again when that is done")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def generate(
        self, wanted: Sequence[str], genders: Sequence[Gender], *, force: bool
    ) -> AsyncIterator[Progress]:
        """Say what is missing, with `force` everything, and tell of each prompt when it is kept."""
        for language in wanted:
            for gender in genders:
                for prompt in PROMPTS:
                    yield await self._one(language, gender, prompt, force)

    async def _one(self, language: str, gender: Gender, prompt: str, force: bool) -> Progress:
        key = key_of(language, gender, prompt)
        if not force and await self._there(key):
            return Progress(key, Made.KEPT)
        try:
            content, seconds = await asyncio.to_thread(_said, self._voice(gender), words(language)[prompt], language)
            await self._objects.put(key, _once(content), MAX_OCTETS)
        except (CannotSpeak, HouseError) as error:
            log.warning("a system prompt could not be made: %s: %s", key, error)
            return Progress(key, Made.FAILED, reason=str(error))
        return Progress(key, Made.MADE, seconds)

    async def _there(self, key: str) -> bool:
        try:
            await self._objects.find(key)
        except NotFound:
            return False
        return True


def _said(voice: Voice, text: str, language: str) -> tuple[bytes, float]:
    """A WAV file of `text`, and how long it sounds. Raises CannotSpeak. Blocks."""
    sound = resample(voice.speak(text, language), RATE)
    samples = sound.samples.astype("<i2").tobytes()
    return wav.header(sound.rate, 1, len(samples)) + samples, len(sound.samples) / sound.rate


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
