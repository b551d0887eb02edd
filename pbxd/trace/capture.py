"""A recording as a pcap file, as if it had been taken on the house's network card: raw IP packets, SIP whole, the
headers of RTP packets with the payload cut off (or whole, where sound was asked for and allowed).

The addresses and ports are the true ones; what a capture of the network would have beside them is made up: one TCP
segment a message, no handshakes, and what went over TLS in the clear.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from ipaddress import ip_address

from media.headers import rtp_headers
from pbxd.trace.entries import Address, SipMessage
from pbxd.trace.recording import Recording
from pbxd.trace.tape import Tape

MAGIC_NANOSECONDS = 0xA1B23C4D
LINKTYPE_RAW = 101  # the packet begins with its IP header
SNAP_LENGTH = 65535
MAX_SEGMENT = 65535 - 60
_UDP, _TCP = 17, 6
_ACK_PUSH = 0x18
_TTL = 64

Flow = tuple[Address, Address]


def pcap(recording: Recording, tape: Tape | None = None) -> bytes:
    """The file; with whole RTP packets from `tape`, if there is one. tshark and Wireshark read it; for TLS say
    `-d tcp.port==5061,sip`."""
    sound = _sound(recording) if tape is None else _taped(tape)
    frames = sorted([*_signalling(recording), *sound], key=lambda frame: frame[0])
    parts = [struct.pack("<IHHiIII", MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, LINKTYPE_RAW)]
    for at, packet, length in frames:
        seconds, nanoseconds = divmod(max(0, round(at * 1e6)) * 1000, 1_000_000_000)
        parts.append(struct.pack("<IIII", seconds, nanoseconds, len(packet), length))
        parts.append(packet)
    return b"".join(parts)


def _signalling(recording: Recording) -> list[tuple[float, bytes, int]]:
    said: defaultdict[Flow, int] = defaultdict(lambda: 1)
    frames = []
    for entry in recording.entries:
        if not isinstance(entry, SipMessage):
            continue
        source, target = (entry.local, entry.remote) if entry.outward else (entry.remote, entry.local)
        length = min(entry.length, MAX_SEGMENT)
        data = entry.data[:length]
        if entry.transport.lower() == "udp":
            frames.append((entry.at, *udp_packet(source, target, data, length)))
            continue
        sequence = said[source, target]
        frames.append((entry.at, *tcp_packet(source, target, data, length, sequence, said[target, source])))
        said[source, target] = (sequence + length) & 0xFFFFFFFF
    return frames


def _sound(recording: Recording) -> list[tuple[float, bytes, int]]:
    frames = []
    for sound in recording.sounds:
        if not _same_family(sound.local, sound.remote):
            continue
        for packet in rtp_headers(sound.headers):
            source, target = (sound.local, sound.remote) if packet.outward else (sound.remote, sound.local)
            length = len(packet.header) + packet.payload
            frames.append((packet.at + recording.offset, *udp_packet(source, target, packet.header, length)))
    return frames


def _taped(tape: Tape) -> list[tuple[float, bytes, int]]:
    frames = []
    for packet in tape.packets:
        if _same_family(packet.local, packet.remote):
            source, target = (packet.local, packet.remote) if packet.outward else (packet.remote, packet.local)
            frames.append((packet.at + tape.offset, *udp_packet(source, target, packet.data, len(packet.data))))
    return frames


def _same_family(one: Address, other: Address) -> bool:
    return (":" in one[0]) is (":" in other[0])


def udp_packet(source: Address, target: Address, data: bytes, length: int) -> tuple[bytes, int]:
    """An IP packet with a datagram of `length` bytes, of which `data` is the beginning; and its full length. A checksum
    of bytes that are not there cannot be known: it is 0, not computed, in IPv4 (RFC 768)."""
    head = struct.pack("!HHHH", source[1], target[1], 8 + length, 0)
    if len(data) == length:
        checksum = _checksum(_pseudo(source, target, _UDP, 8 + length) + head + data) or 0xFFFF
        head = head[:6] + struct.pack("!H", checksum)
    return _ip_packet(source, target, _UDP, head + data, 8 + length)


def tcp_packet(
    source: Address, target: Address, data: bytes, length: int, sequence: int, acknowledged: int
) -> tuple[bytes, int]:
    """An IP packet with a segment, likewise."""
    ports = struct.pack("!HHII", source[1], target[1], sequence, acknowledged)
    head = ports + struct.pack("!BBHHH", 5 << 4, _ACK_PUSH, 0xFFFF, 0, 0)
    if len(data) == length:
        checksum = _checksum(_pseudo(source, target, _TCP, len(head) + length) + head + data)
        head = head[:16] + struct.pack("!H", checksum) + head[18:]
    return _ip_packet(source, target, _TCP, head + data, len(head) + length)


def _ip_packet(source: Address, target: Address, protocol: int, payload: bytes, length: int) -> tuple[bytes, int]:
    here, there = _packed(source), _packed(target)
    if len(here) == 16:
        head = struct.pack("!IHBB", 6 << 28, length, protocol, _TTL) + here + there
    else:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, _TTL, protocol, 0) + here + there
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return head + payload, len(head) + length


def _pseudo(source: Address, target: Address, protocol: int, length: int) -> bytes:
    """The pseudo-header of RFC 768, RFC 793 §3.1 and RFC 8200 §8.1."""
    here, there = _packed(source), _packed(target)
    if len(here) == 16:
        return here + there + struct.pack("!IHBB", length, 0, 0, protocol)
    return here + there + struct.pack("!BBH", 0, protocol, length)


def _packed(address: Address) -> bytes:
    """An IPv4 address in IPv6 clothes is the IPv4 address."""
    ip = ip_address(address[0].partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).packed


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
