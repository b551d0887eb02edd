"""A hearing in virtual time: packets are made, damaged and delivered; what it says is collected, to be judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cffi import FFI

from tests.media import toolchain

Pcm = npt.NDArray[np.int16]

MS: Final = 1_000_000
SECOND: Final = 1000 * MS
TICK_MS: Final = 20
AUDIO, EVENT, COMFORT_NOISE = range(3)
PCMU, PCMA = range(2)
VOICE, NOTHING, CONCEALED, HEARD_EVENT = 1, 2, 4, 8
BORN: Final = SECOND
_COUNTERS: Final = "packets late early duplicate reordered malformed strange concealed stretched compressed"
_GAUGES: Final = "resets delay_ms delay_min_ms delay_max_ms target_ms"

_ffi = FFI()
_ffi.cdef(
    f"""
    struct hearing_statistics {{
        uint64_t {", ".join(_COUNTERS.split())};
        uint32_t {", ".join(_GAUGES.split())};
        uint8_t level;
    }};
    void *ear_new(int codec, int min_ms, int max_ms, int start_ms, int fixed);
    void ear_free(void *);
    void ear_put(void *, int kind, uint16_t seq, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload,
                 size_t length, uint64_t now);
    int ear_pull(void *, int16_t *pcm, size_t samples, uint64_t now);
    void ear_statistics(void *, struct hearing_statistics *);
    int ear_encode(int codec, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity);
    int ear_decode(int codec, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity);
    """
)


def _library() -> Any:
    flags = ["-O2", "-shared", "-fPIC", "-Wno-enum-compare"]
    return _ffi.dlopen(str(toolchain.build("ear", [toolchain.HERE / "ear.c"], flags=flags)))


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet and when it arrives, in nanoseconds since the ear was made."""

    at: int
    seq: int
    timestamp: int
    payload: bytes
    kind: int = AUDIO
    ssrc: int = 0x1234


@dataclass(slots=True)
class Heard:
    """What came out, tick by tick."""

    pcm: Pcm
    flags: list[int]
    statistics: dict[str, int]
    delays: list[int] = field(default_factory=list)


class Ear:
    """One hearing; `rate` is that of its sound."""

    def __init__(
        self,
        codec: int = PCMU,
        *,
        low: int = 20,
        high: int = 200,
        start: int = 40,
        fixed: bool = False,
        rate: int = 8000,
    ) -> None:
        self._lib = _library()
        self._hearing = _ffi.gc(self._lib.ear_new(codec, low, high, start, int(fixed)), self._lib.ear_free)
        self.samples = rate * TICK_MS // 1000
        self._pcm = _ffi.new("int16_t[]", self.samples)

    def put(self, packet: Packet) -> None:
        """Delivers one packet at its time."""
        stamp = (packet.seq & 0xFFFF, packet.timestamp & 0xFFFFFFFF, packet.ssrc)
        self._lib.ear_put(self._hearing, packet.kind, *stamp, packet.payload, len(packet.payload), BORN + packet.at)

    def pull(self, at: int) -> tuple[bytes, int]:
        """The next 20 ms, and the flags."""
        flags = self._lib.ear_pull(self._hearing, self._pcm, self.samples, BORN + at)
        return bytes(_ffi.buffer(self._pcm)), flags

    def statistics(self) -> dict[str, int]:
        """Its counters, by the names of the C structure."""
        counted = _ffi.new("struct hearing_statistics *")
        self._lib.ear_statistics(self._hearing, counted)
        return {name: int(getattr(counted, name)) for name in [*_COUNTERS.split(), *_GAUGES.split(), "level"]}

    def listen(
        self, packets: Iterable[Packet], seconds: float, *, phase: int = 7 * MS, sample_delays: bool = False
    ) -> Heard:
        """Delivers the packets in the order of their arrival, ticking every 20 ms from `phase` on."""
        waiting: Iterator[Packet] = iter(sorted(packets, key=lambda packet: packet.at))
        head = next(waiting, None)
        said: list[bytes] = []
        flags: list[int] = []
        delays: list[int] = []
        for tick in range(int(seconds * 1000) // TICK_MS):
            now = phase + tick * TICK_MS * MS
            while head and head.at <= now:
                self.put(head)
                head = next(waiting, None)
            pcm, flag = self.pull(now)
            said.append(pcm)
            flags.append(flag)
            if sample_delays:
                delays.append(self.statistics()["delay_ms"])
        return Heard(np.frombuffer(b"".join(said), np.int16), flags, self.statistics(), delays)


def encode(codec: int, pcm: Pcm) -> bytes:
    """Stateless codecs only."""
    payload = _ffi.new("uint8_t[]", 2 * len(pcm))
    length = _library().ear_encode(
        codec, _ffi.cast("int16_t *", _ffi.from_buffer(pcm)), len(pcm), payload, 2 * len(pcm)
    )
    return bytes(_ffi.buffer(payload, length))


def decode(codec: int, payload: bytes) -> Pcm:
    """Stateless codecs only."""
    pcm = _ffi.new("int16_t[]", len(payload))
    samples = _library().ear_decode(codec, payload, len(payload), pcm, len(payload))
    return np.frombuffer(bytes(_ffi.buffer(pcm)), np.int16)[:samples]


def packets(
    codec: int, pcm: Pcm, *, ptime_ms: int = 20, rate: int = 8000, ppm: float = 0.0, first: int = 0
) -> list[Packet]:
    """The sound as a phone sends it, its clock `ppm` faster than ours."""
    size = rate * ptime_ms // 1000
    period = ptime_ms * MS / (1 + ppm / 1e6)
    pieces = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
    return [
        Packet(int(number * period), first + number, 160000 + number * size, encode(codec, np.ascontiguousarray(piece)))
        for number, piece in enumerate(pieces)
    ]


def lose(sent: Iterable[Packet], fraction: float, random: np.random.Generator) -> list[Packet]:
    """Without a random part of them."""
    return [packet for packet in sent if random.random() >= fraction]


def jitter(sent: Iterable[Packet], milliseconds: float, random: np.random.Generator) -> list[Packet]:
    """Each later by up to so much."""
    return [replace(packet, at=packet.at + int(random.uniform(0, milliseconds) * MS)) for packet in sent]
