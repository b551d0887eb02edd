"""Turns any audio file into the house's own kind, and a recording into Opus, in a process of its own (media.converter).

`convert` and `compress` start that process and wait; they are not for the event loop's thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from threading import get_ident

PATIENCE_S = 90.0
COMPRESS_POLL_S = 0.2


class Exit(IntEnum):
    """How the process ends."""

    DONE = 0
    NOT_AUDIO = 3
    TOO_LONG = 4
    EMPTY = 5


class Interrupted(Exception):
    """Nobody waits for it any more."""


class BadAudio(ValueError):
    """A file that cannot be made into sound; the text says why."""


_WHY = {
    Exit.NOT_AUDIO: "it is no audio file that we can read",
    Exit.TOO_LONG: "it is longer than {max_seconds:g} s",
    Exit.EMPTY: "there is no sound in it",
}


def convert(source: Path, target: Path, rate: int, max_seconds: float) -> None:
    """Writes `source` as mono 16-bit WAV of `rate` Hz to `target`, whole or not at all; two threads may do so at once.

    Raises BadAudio, OSError.
    """
    part = target.with_name(f"{target.name}.{get_ident()}.part")
    part.unlink(missing_ok=True)
    command = [sys.executable, "-m", "media.converter", str(source), str(part), str(rate), str(max_seconds)]
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter, no shell, paths as arguments
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False
        )
        if ended.returncode != Exit.DONE:
            why = _WHY.get(Exit(ended.returncode)) if ended.returncode in set(Exit) else None
            raise BadAudio((why or "reading it took too much time or memory").format(max_seconds=max_seconds))
        part.replace(target)
    except subprocess.TimeoutExpired as error:
        raise BadAudio(f"reading it took longer than {PATIENCE_S:g} s") from error
    finally:
        part.unlink(missing_ok=True)


def compress(source: Path, target: Path, wanted: Callable[[], bool] = lambda: True) -> None:
    """Writes a WAV file of ours as Ogg Opus to `target`, whole and on the disk, or not at all; it takes a second for a
    minute of sound or so, at the lowest priority. It is given up when it is not `wanted` any more.

    Raises BadAudio, Interrupted, OSError.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    command = [sys.executable, "-m", "media.converter", str(source), str(part)]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)  # noqa: S603 - as above
    try:
        while (status := _status(process)) is None:
            if not wanted():
                raise Interrupted
        if status != Exit.DONE:
            raise BadAudio("it cannot be made into Opus")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        process.kill()
        process.wait()
        part.unlink(missing_ok=True)


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """How it ended; None when it is still at work after a moment."""
    try:
        return process.wait(COMPRESS_POLL_S)
    except subprocess.TimeoutExpired:
        return None
