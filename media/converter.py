"""The process that reads audio files from outside, and writes Opus: with limits of its own, and nothing to lose.

    python -m media.converter SOURCE TARGET RATE MAX_SECONDS     any audio file as mono 16-bit WAV
    python -m media.converter SOURCE TARGET                      a WAV file of ours as Ogg Opus (RFC 7845)

`media.convert` starts it. FFmpeg is loaded here and never in the daemon.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from media.convert import Exit
from media.sound import Samples
from media.wav import WavWriter

MEMORY = 1 << 30  # octets of address space
CPU_S = 60
FORMATS = "wav,mp3,ogg,flac"  # Opus and Vorbis come in Ogg; lists of other files and streams are not opened
_ONLY = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
OPUS_HZ = 48000
OPUS_BITRATE = 32000  # bit/s a channel


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
