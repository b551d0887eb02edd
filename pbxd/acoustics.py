"""The house's sound, put together: library, voice and tones make a reader, and the reader works in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import media
from media.library import PromptLibrary
from media.script import Reader
from media.speech import EspeakVoice, PiperVoice, Speaker, Voice
from media.tones import load_plans
from pbxd.config.schema import Config
from pbxd.store import DataDirectory

WORKERS = 2
Found = TypeVar("Found")
SHIPPED = Path(media.__file__).with_name("prompts")


def reader_of(config: Config, data: DataDirectory) -> Reader:
    """What reads lines aloud as `config` wants it."""
    sound = config.sound
    cache = data.path / "cache"
    speaker = Speaker(_voice(config), cache / "said", sound.cache_mb << 20)
    folders = (sound.prompts or data.path / "prompts", SHIPPED)
    library = PromptLibrary(folders, cache / "converted", speaker, sound.prompt_max_s)
    return Reader(library, load_plans(), sound.country)


def _voice(config: Config) -> Voice:
    voice = config.sound.voice
    if voice.piper_model is not None:
        return PiperVoice(voice.piper_model)
    return EspeakVoice(voice.words_a_minute, voice.pitch, voice.variant)


class Workers:
    """Threads for what blocks; results come back in the event loop's, and `after` is called when they were told."""

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="reader")
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def __call__(self, work: Callable[[], Found], done: Callable[[Found | Exception], None]) -> None:
        if self._closed:
            return

        def told(result: Found | Exception) -> None:
            done(result)
            self._after()

        def finished(future: Future[Found]) -> None:
            if self._closed:
                return
            error = future.exception()
            if isinstance(error, Exception):
                self._loop.call_soon_threadsafe(told, error)
            elif error is None:
                self._loop.call_soon_threadsafe(told, future.result())

        self._pool.submit(work).add_done_callback(finished)

    def hand_over(self, what: Callable[[], None]) -> None:
        """Calls `what` in the event loop's thread; from any other."""
        self._loop.call_soon_threadsafe(what)

    def close(self) -> None:
        """Waits for nothing: what is being read is read in vain, and what is asked for from now on is not read."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
