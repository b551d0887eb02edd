"""WAV files of 16-bit samples: read whole, written as they come, and made right again after a crash.

The header of a file that is being written says how long the file would be at its last `checkpoint`; what lies behind it
is put right by `repair`, which trusts the file's size and not its header (RIFF: IBM/Microsoft 1991).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from media.sound import Samples, Sound

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORM = struct.Struct("<HHIIHH")
_CHUNK = struct.Struct("<4sI")
_PCM = 1
_EXTENSIBLE = 0xFFFE
_SAMPLE = 2  # octets
HEADER_OCTETS = _HEADER.size
MAX_OCTETS = 0xFFFFFFFF - _HEADER.size


class BadWav(ValueError):
    """Not a WAV file, or none that we can play; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class WavFormat:
    """Where the samples of a file lie: `offset` and `octets`; `rate` in Hz, `channels` interleaved."""

    rate: int
    channels: int
    offset: int
    octets: int

    @property
    def seconds(self) -> float:
        return self.octets / (_SAMPLE * self.channels * self.rate)


def header(rate: int, channels: int, octets: int) -> bytes:
    """The 44 octets before `octets` octets of samples."""
    frame = _SAMPLE * channels
    size = _HEADER.size - 8 + octets
    return _HEADER.pack(
        b"RIFF", size, b"WAVE", b"fmt ", 16, _PCM, channels, rate, rate * frame, frame, 16, b"data", octets
    )


def probe(file: BinaryIO) -> WavFormat:
    """Finds the samples of an open file, never beyond its end. Raises BadWav."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    riff = file.read(12)
    if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise BadWav("no RIFF/WAVE header")
    form: tuple[int, ...] | None = None
    at = 12
    while at + _CHUNK.size <= size:
        name, length = _CHUNK.unpack(file.read(_CHUNK.size))
        at += _CHUNK.size
        if name == b"fmt ":
            form = _form(file.read(min(length, 64)))
        elif name == b"data":
            if form is None:
                raise BadWav("samples before their format")
            whole = _SAMPLE * form[1]
            return WavFormat(form[2], form[1], at, min(length, size - at) // whole * whole)
        at += length + length % 2
        file.seek(at)
    raise BadWav("no samples in it")


def _form(data: bytes) -> tuple[int, ...]:
    if len(data) < _FORM.size:
        raise BadWav("its format is cut off")
    form = _FORM.unpack_from(data)
    kind, channels, rate, _, _, bits = form
    if kind not in {_PCM, _EXTENSIBLE} or bits != 16 or not 1 <= channels <= 8 or not 4000 <= rate <= 192000:
        raise BadWav(f"format {kind}, {channels} channels, {rate} Hz, {bits} bits: not 16-bit PCM of 4 to 192 kHz")
    return form


def read(path: Path) -> Sound:
    """A file's sound, its channels mixed to one. Raises BadWav, OSError."""
    with path.open("rb") as file:
        return parse(file)


def parse(file: BinaryIO) -> Sound:
    """An open file's sound, its channels mixed to one. Raises BadWav."""
    form = probe(file)
    file.seek(form.offset)
    samples = np.frombuffer(file.read(form.octets), "<i2")
    if form.channels > 1:
        samples = samples.reshape(-1, form.channels).mean(axis=1).round().astype(np.int16)
    return Sound(samples.astype(np.int16, copy=False), form.rate)


def write(path: Path, sound: Sound) -> None:
    """Writes a whole file, which is there entirely or not at all. Raises OSError."""
    data = sound.samples.astype("<i2").tobytes()
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(header(sound.rate, 1, len(data)) + data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


class WavWriter:
    """A file that grows. `channels` are interleaved; `append` takes samples of shape (n,) or (n, channels)."""

    def __init__(self, path: Path, rate: int, channels: int = 1) -> None:
        self.path = path
        self.rate = rate
        self.channels = channels
        self.octets = 0
        self._file = path.open("xb", buffering=0)
        self._file.write(header(rate, channels, 0))

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        return self.octets / (_SAMPLE * self.channels * self.rate)

    def append(self, samples: Samples) -> None:
        """Writes at the end. Raises OSError: a full disk; what was written before stays whole, and ValueError when a
        WAV file cannot be longer."""
        data = np.ascontiguousarray(samples, "<i2").data.cast("B")
        if self.octets + len(data) > MAX_OCTETS:
            raise ValueError("a WAV file cannot be longer than 4 GiB")
        written = self._file.write(data) or 0
        whole = written - written % (_SAMPLE * self.channels)
        self.octets += whole
        if whole < len(data):
            self._file.truncate(_HEADER.size + self.octets)
            self._file.seek(_HEADER.size + self.octets)
            raise OSError(28, "no room for the rest", str(self.path))

    def checkpoint(self) -> None:
        """Makes the header tell the truth so far."""
        os.pwrite(self._file.fileno(), header(self.rate, self.channels, self.octets), 0)

    def close(self) -> None:
        """Makes the header tell the truth, for good. Closing twice does nothing."""
        if not self._file.closed:
            try:
                self.checkpoint()
            finally:
                self._file.close()


def repair(path: Path) -> WavFormat:
    """Makes a file whole that a crash left behind: its header follows its size. Raises BadWav (nothing of it can be
    saved), OSError."""
    with path.open("r+b") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise BadWav("cut off within its header")
        fields = _HEADER.unpack(head)
        if (fields[0], fields[2], fields[3], fields[11]) != (b"RIFF", b"WAVE", b"fmt ", b"data"):
            raise BadWav("not a recording of ours")
        channels, rate = fields[6], fields[7]
        _form(head[20:36])
        frame = _SAMPLE * channels
        octets = (os.fstat(file.fileno()).st_size - _HEADER.size) // frame * frame
        file.truncate(_HEADER.size + octets)
        file.seek(0)
        file.write(header(rate, channels, octets))
    return WavFormat(rate, channels, _HEADER.size, octets)
