"""A scripted RTP endpoint in plain sockets: sends a tone at an even pace, keeps every packet that comes."""

import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from tests.clients.sound import LAWS, RATE, Samples, tone

PTIME_S = 0.020
FRAME = round(RATE * PTIME_S)
HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet as it came (RFC 3550 §5.1)."""

    at: float
    """Monotonic arrival time."""
    source: tuple[str, int]
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class RawRtp:
    """One UDP port; use it as a context manager. `tag` stands behind every packet, as if it were sealed."""

    def __init__(
        self,
        address: str,
        *,
        payload_type: int = 0,
        hz: float = 650.0,
        dbfs: float = -15.0,
        ssrc: int = 0x51AB,
        tag: bytes = b"",
    ) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.settimeout(0.1)
        self.address, self.port = self._socket.getsockname()[:2]
        self.packets: list[RtpPacket] = []
        self.hz, self._dbfs, self._payload_type, self._ssrc = hz, dbfs, payload_type, ssrc
        self._sequence = 0
        self._position = 0
        self._tag = tag
        self._closing = threading.Event()
        self._sending = threading.Event()
        self._target: tuple[str, int] = ("", 0)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._receive, self._pace)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def send_to(self, target: tuple[str, int]) -> None:
        """Begin (or go on) to send the tone there, a packet each 20 ms."""
        self._target = target
        self._sending.set()

    def stop_sending(self) -> None:
        """Fall silent."""
        self._sending.clear()

    def send_raw(self, target: tuple[str, int], data: bytes) -> None:
        """One datagram of any content, from the same port."""
        self._socket.sendto(data, target)

    def _packet(self, payload: bytes) -> bytes:
        self._sequence = self._sequence + 1 & 0xFFFF
        return HEADER.pack(0x80, self._payload_type, self._sequence, self._position & 0xFFFFFFFF, self._ssrc) + payload

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._closing.is_set():
            if not self._sending.is_set():
                self._sending.wait(PTIME_S)
                due = time.monotonic()
                continue
            samples = tone(self.hz, PTIME_S, dbfs=self._dbfs, start=self._position)
            packet = self._packet(LAWS[self._payload_type].encode(samples) + self._tag)
            self._socket.sendto(packet, self._target)
            self._position += FRAME
            due += PTIME_S
            self._closing.wait(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        while not self._closing.is_set():
            try:
                data, source = self._socket.recvfrom(2048)
            except (TimeoutError, ConnectionRefusedError):
                continue
            if len(data) < HEADER.size or data[0] >> 6 != 2:
                continue
            _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
            self.packets.append(
                RtpPacket(
                    at=time.monotonic(),
                    source=source[:2],
                    payload_type=kind & 0x7F,
                    marker=bool(kind & 0x80),
                    sequence=sequence,
                    timestamp=timestamp,
                    ssrc=ssrc,
                    payload=data[HEADER.size :],
                )
            )

    def heard(self, packets: list[RtpPacket] | None = None) -> Samples:
        """The sound of the G.711 packets, each at the place of its timestamp; what is missing is silence."""
        chosen = [packet for packet in (packets or self.packets) if packet.payload_type in LAWS]
        if not chosen:
            return np.zeros(0, dtype=np.int16)
        offsets = [(packet.timestamp - chosen[0].timestamp) & 0xFFFFFFFF for packet in chosen]
        sound = np.zeros(max(offsets) + len(chosen[-1].payload), dtype=np.int16)
        for offset, packet in zip(offsets, chosen, strict=True):
            samples = LAWS[packet.payload_type].decode(packet.payload)
            sound[offset : offset + samples.size] = samples[: sound.size - offset]
        return sound
