"""Turns any audio file into the house's own kind, and a recording into Opus, in a process of its own.

`python -m media.convert SOURCE TARGET RATE MAX_SECONDS`: files from outside are decoded here, with limits on memory,
time and size, and never in the daemon. `python -m media.convert SOURCE TARGET` makes Ogg Opus (RFC 7845) of a WAV file
of ours. `convert` and `compress` start that process and wait; they are not for the event loop's thread.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from media.sound import Samples
from media.wav import WavWriter

MEMORY = 1 << 30  # octets of address space
CPU_S = 60
FORMATS = "wav,mp3,ogg,flac"  # Opus and Vorbis come in Ogg; lists of other files and streams are not opened
_ONLY = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
PATIENCE_S = 90.0
COMPRESS_POLL_S = 0.2
OPUS_HZ = 48000
OPUS_BITRATE = 32000  # bit/s a channel


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
    """Writes `source` as mono 16-bit WAV of `rate` Hz to `target`, whole or not at all. Raises BadAudio, OSError."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    command = [sys.executable, "-m", "media.convert", str(source), str(part), str(rate), str(max_seconds)]
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
    command = [sys.executable, "-m", "media.convert", str(source), str(part)]
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


def _compress(source: Path, target: Path) -> Exit:
    """Channels stay apart: each party of a call is to be heard alone."""
    with (
        av.open(f"file:{source}", "r", format="wav") as sound,
        av.open(f"file:{target}", "w", format="ogg") as container,
    ):
        channels = sound.streams.audio[0].codec_context.channels
        layout = "stereo" if channels == 2 else "mono"
        stream = container.add_stream("libopus", rate=OPUS_HZ, layout=layout)
        stream.bit_rate = channels * OPUS_BITRATE
        resampler = av.AudioResampler(format="s16", layout=layout, rate=OPUS_HZ)
        for frame in sound.decode(audio=0):
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return Exit.DONE


def _sound(source: Path, rate: int) -> Iterator[Samples]:
    """The first audio stream of a file, as it is decoded."""
    with av.open(f"file:{source}", "r", metadata_errors="ignore", options=_ONLY) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            return
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                yield np.asarray(part.to_ndarray(), np.int16).reshape(-1)
        for part in resampler.resample(None):
            yield np.asarray(part.to_ndarray(), np.int16).reshape(-1)


def _write(source: Path, target: Path, rate: int, max_seconds: float) -> Exit:
    with WavWriter(target, rate) as writer:
        try:
            for samples in _sound(source, rate):
                writer.append(samples)
                if writer.seconds > max_seconds:
                    return Exit.TOO_LONG
        except FFmpegError:
            if not writer.octets:
                return Exit.NOT_AUDIO  # a file that is broken further on is heard up to there
        return Exit.DONE if writer.octets else Exit.EMPTY


def main() -> int:
    """The process: its limits, then its work."""
    if len(sys.argv) == 3:
        os.nice(19)
        return _compress(Path(sys.argv[1]), Path(sys.argv[2]))
    source, target, rate, max_seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    size = int((max_seconds + 60) * rate * 2) + 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return _write(source, target, rate, max_seconds)


if __name__ == "__main__":
    sys.exit(main())
