"""The system prompts: words in every language, said by the voice that is there, kept under their keys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from media import wav
from media.sound import Sound
from media.speech import CannotSpeak
from pbxd.errors import Conflict
from pbxd.objects import Folder
from pbxd.services.prompts import PROMPTS, Gender, Made, Progress, SystemPrompts, key_of, languages, voice_of, words


class Hum:
    """A voice that hums, `failing` in some languages; what it said is in `said`."""

    id = "hum"

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.said: list[tuple[str, str]] = []

    def speak(self, text: str, language: str) -> Sound:
        if language == self.failing:
            raise CannotSpeak("no such voice")
        self.said.append((language, text))
        return Sound(np.full(800, 1000, np.int16), 8000)


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "media")
    await made.open()
    return made


async def made(prompts: SystemPrompts, *wanted: str, force: bool = False) -> list[Progress]:
    return [one async for one in prompts.generate(wanted, [Gender.FEMALE], force=force)]


def test_the_catalogue_has_sixteen_languages_with_all_prompts_and_nothing_else() -> None:
    assert len(languages()) == 16
    for language in languages():
        said = words(language)
        assert tuple(said) == PROMPTS, language
        for prompt, text in said.items():
            assert text == text.strip(), (language, prompt)
            assert text[-1] == ".", (language, prompt)
            assert text.isprintable(), (language, prompt)
            assert 3 <= len(text) <= 200, (language, prompt)
            assert "{" not in text, (language, prompt)
        assert len(set(said.values())) == len(PROMPTS), language
    texts = [tuple(words(language).values()) for language in languages()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("language", languages())
def test_the_installed_voice_speaks_each_language(language: str) -> None:
    sound = voice_of(Gender.FEMALE).speak(words(language)["vm-greeting"], language)
    assert 0.8 < len(sound.samples) / sound.rate < 8
    assert np.abs(sound.samples.astype(np.int32)).max() > 3000


def test_men_and_women_sound_different() -> None:
    text = words("en")["please-hold"]
    low, high = (voice_of(gender).speak(text, "en") for gender in (Gender.MALE, Gender.FEMALE))
    assert not np.array_equal(low.samples, high.samples)


async def test_prompts_are_made_once_and_anew_by_force(folder: Folder) -> None:
    voice = Hum()
    prompts = SystemPrompts(folder, lambda _gender: voice)
    first = await made(prompts, "de", "en")
    assert [one.made for one in first] == [Made.MADE] * 20
    assert [one.key for one in first[:2]] == ["system/de/female/welcome.wav", "system/de/female/please-hold.wav"]
    assert first[0].seconds == pytest.approx(0.1)
    path = await folder.find(key_of("de", Gender.FEMALE, "goodbye"))
    sound = wav.read(path)
    assert (sound.rate, len(sound.samples)) == (16_000, 1600)
    assert (voice.said[0], voice.said[10]) == (("de", words("de")["welcome"]), ("en", words("en")["welcome"]))
    assert [one.made for one in await made(prompts, "de")] == [Made.KEPT] * 10
    assert len(voice.said) == 20
    assert [one.made for one in await made(prompts, "de", force=True)] == [Made.MADE] * 10
    assert len(voice.said) == 30


async def test_what_cannot_be_said_is_told_and_does_not_end_the_others(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = SystemPrompts(folder, lambda _gender: Hum("de"))
    found = await made(prompts, "de", "en")
    assert [one.made for one in found] == [Made.FAILED] * 10 + [Made.MADE] * 10
    assert found[0].reason == "no such voice"
    assert "a system prompt could not be made: system/de/female/welcome.wav: no such voice" in caplog.text


async def test_one_at_a_time(folder: Folder) -> None:
    prompts = SystemPrompts(folder, lambda _gender: Hum())
    with prompts.turn():
        with pytest.raises(Conflict), prompts.turn():
            pass
        with pytest.raises(Conflict), prompts.turn():
            pass
    with prompts.turn():
        assert len(await made(prompts, "en")) == 10


async def test_the_loop_is_free_while_somebody_speaks(folder: Folder) -> None:
    """A voice that takes its time holds up its own thread."""
    loop, free = asyncio.get_running_loop(), asyncio.Event()

    class Slow(Hum):
        def speak(self, text: str, language: str) -> Sound:
            asyncio.run_coroutine_threadsafe(_set(free), loop).result(timeout=5)  # only a free loop does that
            return super().speak(text, language)

    prompts = SystemPrompts(folder, lambda _gender: Slow())
    assert len(await made(prompts, "en")) == 10
    assert free.is_set()


async def _set(event: asyncio.Event) -> None:
    event.set()
