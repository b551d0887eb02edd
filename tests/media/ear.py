"""A hearing in virtual time: packets are made, damaged and delivered, and what it says is collected for the judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
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
PCMU, PCMA, G722, OPUS, L16, L16_WIDE = range(6)
VOICE, NOTHING, CONCEALED, HEARD_EVENT = 1, 2, 4, 8
BORN: Final = SECOND
FIRST: Final = 65500
"""The sequence number of a phone's first packet."""
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
    void *mouth_new(int codec, uint32_t bitrate, int fec, int expected_loss);
    void mouth_free(void *);
    int mouth_encode(void *, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity);
    int mouth_decode(void *, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity);
    uint32_t mouth_rate(const void *);
    uint32_t mouth_clock(const void *);
    """
)


@cache
def _library() -> Any:
    flags = ["-O2", "-shared", "-fPIC"]
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
        self._skip = rate * start // 1000
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
        self, packets: Iterable[Packet], seconds: float, *, phase: int = 0, sample_delays: bool = False
    ) -> Heard:
        """Delivers the packets in the order of their arrival, ticking every 20 ms from `phase` on.

        The delay of the start is taken off the sound: it is no matter of quality, and the judge is not deaf to it.
        """
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
        return Heard(np.frombuffer(b"".join(said), np.int16)[self._skip :], flags, self.statistics(), delays)


class Mouth:
    """Both ends of one codec: what a phone sends, and what is heard of it when nothing happens on the way."""

    def __init__(self, codec: int, *, bitrate: int = 0, fec: bool = False, expected_loss: int = 0) -> None:
        self._lib = _library()
        made = self._lib.mouth_new(codec, bitrate, int(fec), expected_loss)
        self._mouth = _ffi.gc(made, self._lib.mouth_free)
        self.rate = int(self._lib.mouth_rate(self._mouth))
        self.clock = int(self._lib.mouth_clock(self._mouth))
        self._payload = _ffi.new("uint8_t[]", 4000)
        self._pcm = _ffi.new("int16_t[]", 4000)

    def payloads(self, pcm: Pcm, ptime_ms: int = 20) -> list[bytes]:
        """The sound in packets."""
        size = self.rate * ptime_ms // 1000
        coded: list[bytes] = []
        for at in range(0, len(pcm) - size + 1, size):
            piece = _ffi.from_buffer("int16_t[]", np.ascontiguousarray(pcm[at : at + size]))
            length = self._lib.mouth_encode(self._mouth, piece, size, self._payload, 4000)
            assert length > 0
            coded.append(bytes(_ffi.buffer(self._payload, length)))
        return coded

    def hear(self, payloads: Iterable[bytes]) -> Pcm:
        """What they decode to."""
        said: list[bytes] = []
        for payload in payloads:
            samples = self._lib.mouth_decode(self._mouth, payload, len(payload), self._pcm, 4000)
            assert samples > 0
            said.append(bytes(_ffi.buffer(self._pcm, 2 * samples)))
        return np.frombuffer(b"".join(said), np.int16)

    def packets(self, payloads: Iterable[bytes], *, ptime_ms: int = 20, ppm: float = 0.0) -> list[Packet]:
        """The payloads as a phone sends them whose clock is `ppm` faster than ours. Its numbers wrap soon."""
        period = ptime_ms * MS / (1 + ppm / 1e6)
        step = self.clock * ptime_ms // 1000
        return [
            Packet(int(number * period), FIRST + number, number * step - 5 * step, payload)
            for number, payload in enumerate(payloads)
        ]


def number_of(packet: Packet) -> int:
    """Which one of a phone's packets it is."""
    return packet.seq - FIRST


def lose(sent: Iterable[Packet], fraction: float, random: np.random.Generator) -> list[Packet]:
    """Without a random part of them."""
    return [packet for packet in sent if random.random() >= fraction]


def jitter(sent: Iterable[Packet], milliseconds: float, random: np.random.Generator) -> list[Packet]:
    """Each later by up to so much."""
    return [replace(packet, at=packet.at + int(random.uniform(0, milliseconds) * MS)) for packet in sent]


def zero_filled(mouth: Mouth, payloads: list[bytes], got: list[Packet], codec: int) -> Pcm:
    """What one would hear without concealment: a decoder that is given what came, and silence for the rest."""
    numbers = {number_of(packet) for packet in got}
    size = mouth.rate // 50
    came = Mouth(codec).hear(payloads[number] for number in sorted(numbers))
    sound = np.zeros(size * len(payloads), np.int16)
    for place, number in enumerate(sorted(numbers)):
        sound[number * size : (number + 1) * size] = came[place * size : (place + 1) * size]
    return sound
