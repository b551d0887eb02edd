"""UDPTL, the envelope of T.38 over UDP (ITU-T T.38 §9.1), with both its ways to survive loss. Pure: octets in and out.

    sequence number (2) | length, primary IFP packet | 0x00 | count, older packets with their lengths     redundancy
                                                     | 0x80 | 1, span | count, parities with their lengths      FEC

Lengths and counts are PER length determinants (X.691 §10.9): one octet to 127, two to 16383.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

DATAGRAM_MAX: Final = 4096  # what is longer is not looked at
PARTS_MAX: Final = 32  # older packets, or parities, in one datagram
FEC_REACH_MAX: Final = 80  # packets back that a parity may cover: span × entries
_SEQUENCES: Final = 1 << 16
_KEPT: Final = 128  # packets kept for parity
_JUMP: Final = 256  # a gap of so many is no loss: the far end counts anew
_STALE: Final = 8  # so many old ones, each the next of the last: it does, too
_REPEAT_S: Final = 0.04  # after which a packet without a follower goes out again


class ErrorCorrection(Enum):
    """How loss is survived; the value is that of `a=T38FaxUdpEC`, None when it is not to be named."""

    NONE = None
    REDUNDANCY = "t38UDPRedundancy"
    FEC = "t38UDPFEC"


class UdptlDrop(Enum):
    """Why a datagram, or a part of it, was not used."""

    TOO_LONG = "too_long"
    SHORT = "short"  # it ends in the middle
    FRAGMENTED = "fragmented"  # a PER length of 16384 and more
    TOO_MANY = "too_many"  # parts, or a span beyond what is kept
    UNKNOWN = "unknown"  # a recovery that is none of the two, or its form
    TRAILING = "trailing"  # octets after its end
    OLD = "old"  # was there already, or too late


class UdptlError(ValueError):
    """A datagram that is no UDPTL."""

    def __init__(self, drop: UdptlDrop) -> None:
        super().__init__(drop.value)
        self.drop = drop


class Parity(NamedTuple):
    """FEC of a datagram: parity `m` covers the packets m - k × entries after its own, k from 1 to `span`."""

    span: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UdptlPacket:
    """One datagram. `older` holds the packets before the primary, the newest first. With `parity` it is empty."""

    sequence: int
    primary: bytes
    older: tuple[bytes, ...] = ()
    parity: Parity | None = None

    def encode(self) -> bytes:
        """Its octets. Raises ValueError when a part is longer than 16383."""
        head = self.sequence.to_bytes(2, "big") + _opened(self.primary)
        if self.parity is None:
            return head + b"\x00" + _length(len(self.older)) + b"".join(map(_opened, self.older))
        entries = self.parity.entries
        return head + bytes((0x80, 1, self.parity.span)) + _length(len(entries)) + b"".join(map(_opened, entries))


def decode(datagram: bytes) -> UdptlPacket:
    """Reads one datagram. Raises UdptlError, and nothing else, whatever the octets are."""
    if len(datagram) > DATAGRAM_MAX:
        raise UdptlError(UdptlDrop.TOO_LONG)
    reader = _Reader(datagram)
    sequence = int.from_bytes(reader.take(2), "big")
    primary = reader.opened()
    recovery = reader.take(1)[0]
    if recovery & 0x80:
        form, span = reader.take(2)
        if form != 1:
            raise UdptlError(UdptlDrop.UNKNOWN)
        parity = Parity(span, reader.parts())
        if span * len(parity.entries) > FEC_REACH_MAX:
            raise UdptlError(UdptlDrop.TOO_MANY)
        packet = UdptlPacket(sequence, primary, parity=parity)
    else:
        packet = UdptlPacket(sequence, primary, reader.parts())
    reader.end()
    return packet


class _Reader:
    """Octets of a datagram, from the front."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise UdptlError(UdptlDrop.SHORT)
        self._at += count
        return found

    def length(self) -> int:
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if first & 0x40:
            raise UdptlError(UdptlDrop.FRAGMENTED)
        return (first & 0x3F) << 8 | self.take(1)[0]

    def opened(self) -> bytes:
        return self.take(self.length())

    def parts(self) -> tuple[bytes, ...]:
        count = self.length()
        if count > PARTS_MAX:
            raise UdptlError(UdptlDrop.TOO_MANY)
        return tuple(self.opened() for _ in range(count))

    def end(self) -> None:
        if self._at != len(self._data):
            raise UdptlError(UdptlDrop.TRAILING)


def _length(count: int) -> bytes:
    if count < 0x80:
        return bytes((count,))
    if count >= 0x4000:
        raise ValueError(f"{count} is too long for one datagram")
    return bytes((0x80 | count >> 8, count & 0xFF))


def _opened(packet: bytes) -> bytes:
    return _length(len(packet)) + packet


def _mixed(packets: Iterable[bytes]) -> bytes:
    """Their parity, as long as the longest (T.38 §9.1.4.2)."""
    mixed, longest = 0, 0
    for packet in packets:
        longest = max(longest, len(packet))
    for packet in packets:
        mixed ^= int.from_bytes(packet.ljust(longest, b"\0"), "big")
    return mixed.to_bytes(longest, "big")


def ifp_end(packet: bytes) -> int:
    """How many of these octets the IFP packet in front takes (T.38 §7, versions 0 and 1): a parity gives back what was
    lost with zeros behind it. All of them where that cannot be told."""
    if not packet or not packet[0] & 0x80:  # an indicator, or data without fields
        return min(len(packet), 1)
    at, half, fields = 2, False, packet[1] if len(packet) > 1 else 0
    for _ in range(fields):
        if at >= len(packet):
            return len(packet)
        present = packet[at] >> (3 if half else 7) & 1
        if present or half:
            at += 1
        half = not present and not half
        if present:
            at += 2 + int.from_bytes(packet[at : at + 2], "big") + 1
    return min(len(packet), at + half)


@dataclass(frozen=True, slots=True)
class UdptlTerms:
    """What SDP agreed for what we send. `depth` older packets go along with each, or `depth` parities of `span` packets
    each; `max_datagram` is what the far end takes (0: it did not say)."""

    correction: ErrorCorrection = ErrorCorrection.REDUNDANCY
    depth: int = 3
    span: int = 3
    max_datagram: int = 0


class UdptlSender:
    """Numbers packets and puts what may help after a loss beside them. A packet without a follower for a while is sent
    again as it is: redundancy helps only those that come before another."""

    __slots__ = ("_again", "_due", "_last", "_sent", "_sequence", "terms")

    def __init__(self, terms: UdptlTerms | None = None) -> None:
        self.terms = terms or UdptlTerms()
        self._sequence = 0
        self._sent: deque[bytes] = deque(maxlen=_KEPT)  # the newest first
        self._last = b""
        self._again = 0
        self._due = 0.0

    def send(self, packet: bytes, now: float) -> bytes:
        """The datagram for an IFP packet."""
        datagram = self._envelope(packet).encode()
        self._sequence = (self._sequence + 1) % _SEQUENCES
        self._sent.appendleft(packet)
        self._last, self._due = datagram, now + _REPEAT_S
        self._again = self.terms.depth if self.terms.correction is not ErrorCorrection.NONE else 0
        return datagram

    def again(self, now: float) -> bytes | None:
        """The last datagram, when it is due once more."""
        if not self._again or now < self._due:
            return None
        self._again -= 1
        self._due = now + _REPEAT_S
        return self._last

    def _envelope(self, packet: bytes) -> UdptlPacket:
        terms = self.terms
        if terms.correction is ErrorCorrection.FEC and len(self._sent) >= terms.depth * terms.span:
            return UdptlPacket(self._sequence, packet, parity=self._parity())
        if terms.correction is ErrorCorrection.NONE:
            return UdptlPacket(self._sequence, packet)
        room = (terms.max_datagram or DATAGRAM_MAX) - len(packet) - 6
        older: list[bytes] = []
        for one in self._sent:
            room -= len(one) + 2
            if len(older) == terms.depth or room < 0:
                break
            older.append(one)
        return UdptlPacket(self._sequence, packet, tuple(older))

    def _parity(self) -> Parity:
        """Entry m covers the packets `depth × k - m` before this one (T.38 §9.1.4.2)."""
        depth, span = self.terms.depth, self.terms.span
        sent = list(self._sent)
        return Parity(span, tuple(_mixed([sent[depth * k - m - 1] for k in range(1, span + 1)]) for m in range(depth)))


class UdptlReceiver:
    """Gives IFP packets in order, each once, and with those that a later datagram could bring back."""

    __slots__ = ("_kept", "_next", "_old_next", "_stale", "drops", "lost", "received", "recovered")

    def __init__(self) -> None:
        self._next: int | None = None
        self._kept: dict[int, bytes] = {}
        self._stale = 0
        self._old_next = 0
        self.received = 0
        self.recovered = 0
        self.lost = 0
        self.drops: Counter[UdptlDrop] = Counter()

    def receive(self, datagram: bytes) -> list[tuple[int, bytes]]:
        """What this datagram brings: sequence numbers with their packets. What is no UDPTL is counted in `drops`."""
        try:
            packet = decode(datagram)
        except UdptlError as error:
            self.drops[error.drop] += 1
            return []
        behind = self._behind(packet)
        if behind is None:
            return []
        self.received += 1
        found = self._brought_back(packet, behind)
        self.recovered += len(found)
        self.lost += behind - len(found)
        found.append((packet.sequence, packet.primary))
        self._keep(found)
        self._next = (packet.sequence + 1) % _SEQUENCES
        return found

    def _behind(self, packet: UdptlPacket) -> int | None:
        """How many are missing before it; None: it is old."""
        if self._next is None:
            return len(packet.older) if packet.sequence >= len(packet.older) else packet.sequence
        ahead = (packet.sequence - self._next) % _SEQUENCES
        if ahead < _JUMP:
            self._stale = 0
            return ahead
        old = _SEQUENCES - ahead <= _JUMP
        self._stale = self._stale + 1 if packet.sequence == self._old_next else 1
        self._old_next = (packet.sequence + 1) % _SEQUENCES
        if old and self._stale < _STALE:
            self.drops[UdptlDrop.OLD] += 1
            return None
        self._kept.clear()
        self._stale = 0
        return 0

    def _brought_back(self, packet: UdptlPacket, behind: int) -> list[tuple[int, bytes]]:
        if not behind:
            return []
        if packet.parity is not None:
            self._mend(packet.sequence, packet.parity, behind)
            back = {
                number: self._kept[number]
                for number in ((packet.sequence - step) % _SEQUENCES for step in range(behind, 0, -1))
                if number in self._kept
            }
            return list(back.items())
        older = packet.older[:behind]
        return [((packet.sequence - step) % _SEQUENCES, older[step - 1]) for step in range(len(older), 0, -1)]

    def _mend(self, sequence: int, parity: Parity, behind: int) -> None:
        """A parity of which all but one packet are there gives that one; which may help the next parity."""
        entries = len(parity.entries)
        for place, mixed in enumerate(parity.entries):
            covered = [(sequence + place - entries * k) % _SEQUENCES for k in range(1, parity.span + 1)]
            missing = [number for number in covered if number not in self._kept]
            if len(missing) != 1 or not 0 < (sequence - missing[0]) % _SEQUENCES <= behind:
                continue
            others = [self._kept[number] for number in covered if number != missing[0]]
            found = _mixed([mixed, *others])
            self._kept[missing[0]] = found[: ifp_end(found)]

    def _keep(self, packets: list[tuple[int, bytes]]) -> None:
        for number, packet in packets:
            self._kept.pop(number, None)
            self._kept[number] = packet
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
