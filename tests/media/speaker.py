"""A phone's media in a few lines: says numbered RTP packets, hears and takes apart what comes."""

from __future__ import annotations

import dataclasses
import socket
import struct
from typing import Any, NamedTuple

from media.plan import Codec, MediaPlan
from media.session import MediaSession


class Packet(NamedTuple):
    """One RTP packet as heard."""

    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse(datagram: bytes) -> Packet:
    """RFC 3550 §5.1, a plain header."""
    first, second, seq, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
    assert first == 0x80
    return Packet(second & 0x7F, bool(second & 0x80), seq, timestamp, ssrc, datagram[12:])


def payload_type_of(codec: Codec) -> int:
    """Its static payload type, else the first dynamic one."""
    static = codec.static_payload_type
    return 96 if static is None else static


class Speaker:
    """One phone on loopback with an RTP and an RTCP socket."""

    def __init__(self, ip: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.rtp, self.rtcp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for each in (self.rtp, self.rtcp):
            each.bind((ip, 0))
            each.settimeout(5)
        self.ip = ip
        self.seq, self.timestamp, self.ssrc = 65530, 0xFFFFFF00, 0x1234

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.rtp.getsockname()[1]

    @property
    def rtcp_address(self) -> tuple[str, int]:
        return self.ip, self.rtcp.getsockname()[1]

    def plan(self, codec: Codec = Codec.PCMU, **changes: Any) -> MediaPlan:
        """What a negotiation with this phone would come to."""
        payload_type = payload_type_of(codec)
        plan = MediaPlan(
            remote=self.address,
            remote_rtcp=self.rtcp_address,
            codec=codec,
            payload_type=payload_type,
            receive_payload_type=payload_type,
            latch_from=frozenset({self.ip}),
        )
        return dataclasses.replace(plan, **changes)

    def say(self, session: MediaSession, payload: bytes, payload_type: int = 0, *, marker: bool = False) -> None:
        """The next packet; a telephone event does not move the clock."""
        header = struct.pack("!BBHII", 0x80, marker << 7 | payload_type, self.seq, self.timestamp, self.ssrc)
        self.rtp.sendto(header + payload, session.local)
        self.seq = (self.seq + 1) & 0xFFFF
        if len(payload) != 4:
            self.timestamp = (self.timestamp + len(payload)) & 0xFFFFFFFF

    def hear(self) -> Packet:
        """The next packet; fails the test when none comes."""
        return parse(self.rtp.recv(2048))

    def hears_nothing(self) -> bool:
        """Whether no packet lies in the socket now."""
        self.rtp.setblocking(False)
        try:
            self.rtp.recv(2048)
        except BlockingIOError:
            return True
        finally:
            self.rtp.settimeout(5)
        return False
