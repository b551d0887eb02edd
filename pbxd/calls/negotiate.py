"""SDP × codecs -> plan: the one place where what was said about media becomes what is done (RFC 3264).

A `Negotiation` belongs to one leg. It remembers the m-lines of the session, whose order may never change
(RFC 3264 §8), serves the first audio line that it can, and answers all others with port 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from media.plan import Codec, MediaPlan
from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import Direction, Format, MediaLine, Origin, SessionDescription

STATIC_TYPES = {Codec.PCMU: 0, Codec.PCMA: 8}
COMFORT_NOISE = 13
DTMF_NAME = "TELEPHONE-EVENT"
DTMF_TYPE = 101
MAX_PORT = 65535
SERVED_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF"})
PTIMES_MS = (10, 20, 30, 40, 60)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Our side of one stream: the address that the far side is told, and our ports."""

    address: str
    port: int
    rtcp_port: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be negotiated: codecs in order of preference, packet time in ms, extras, and after how many seconds
    without a packet a stream counts as dead (0: never)."""

    codecs: tuple[Codec, ...] = (Codec.PCMU, Codec.PCMA)
    ptime_ms: int = 20
    dtmf: bool = True
    comfort_noise: bool = False
    silence_s: float = 60.0

    def like(self, offered: OfferedAudio | None) -> Policy:
        """This policy, its order and extras changed to what a caller offered, so that the callee is asked for
        what needs no conversion first."""
        if offered is None:
            return self
        first = tuple(codec for codec in offered.codecs if codec in self.codecs)
        rest = tuple(codec for codec in self.codecs if codec not in first)
        return replace(self, codecs=first + rest, comfort_noise=offered.comfort_noise)


@dataclass(frozen=True, slots=True)
class OfferedAudio:
    """What a far side's audio line says, in our words."""

    codecs: tuple[Codec, ...]
    payload_types: dict[Codec, int]
    dtmf: Format | None
    comfort_noise: bool


@dataclass(slots=True)
class Negotiation:
    """One leg's offers and answers. `endpoint` is ours; `sources` are the IPs the far side may send from besides
    the one its SDP names (where its signalling comes from: NAT)."""

    endpoint: Endpoint
    policy: Policy
    session_id: int
    sources: frozenset[str] = frozenset()
    version: int = 0
    lines: tuple[MediaLine, ...] = ()
    audio: int = 0
    remote_direction: Direction = Direction.SENDRECV
    _last: SessionDescription | None = field(default=None, repr=False)

    def offer(self, direction: Direction = Direction.SENDRECV) -> bytes:
        """Our offer: first of the session, or a new one with the m-lines it has so far."""
        lines = list(self.lines) or [self._audio_line(self._formats(), direction)]
        lines[self.audio] = self._audio_line(self._formats(), direction)
        return self._write(tuple(lines))

    def answer(
        self, offer: SessionDescription, allowed: Direction = Direction.SENDRECV, prefer: Codec | None = None
    ) -> tuple[bytes, MediaPlan]:
        """Our answer to `offer` and the plan it makes. `allowed` bounds our direction; `prefer` is the codec that
        needs no conversion. Raises `SdpError` (488) when no line of it can be served."""
        served = _served(offer, self.policy)
        if served is None:
            raise SdpError("no audio line with a codec of ours", 488)
        index, line, offered = served
        codec = prefer if prefer in offered.codecs else offered.codecs[0]
        self.remote_direction = _wish(line)
        direction = _both(allowed, line.direction.reversed)
        chosen = [_codec_format(codec, offered.payload_types[codec])]
        if offered.dtmf and self.policy.dtmf:
            chosen.append(replace(offered.dtmf, fmtp="0-15"))
        if offered.comfort_noise:
            chosen.append(Format(pt=COMFORT_NOISE, name="CN", rate=8000))
        mine = replace(self._audio_line(chosen, direction), rtcp_mux=line.rtcp_mux, proto=line.proto)
        lines = tuple(mine if at == index else other.refusal() for at, other in enumerate(offer.media))
        self.audio = index
        return self._write(lines), self._plan(line, offer, offered, codec, offered.payload_types[codec], direction)

    def accept(self, answer: SessionDescription) -> MediaPlan:
        """The plan that the far side's answer to our offer makes. Raises `SdpError` (488) when it cannot be used."""
        if self._last is None or len(answer.media) < len(self._last.media):
            raise SdpError("the answer has fewer m-lines than our offer", 488)
        line = answer.media[self.audio]
        offered = _understood(line, self.policy)
        if not _usable(line) or not offered.codecs:
            raise SdpError("the answer took none of our codecs", 488)
        ours = self._last.media[self.audio].direction
        self._learn_direction(ours, _wish(line))
        codec = offered.codecs[0]
        direction = _both(ours, line.direction.reversed)
        plan = self._plan(line, answer, offered, codec, STATIC_TYPES[codec], direction)
        other = next((STATIC_TYPES[also] for also in offered.codecs[1:]), None)
        return replace(plan, other_payload_type=other)

    def last(self) -> SessionDescription | None:
        """What we said last."""
        return self._last

    def _learn_direction(self, ours: Direction, theirs: Direction) -> None:
        # An answer can only narrow our offer, so an axis that we did not offer tells nothing of their wish.
        sends = theirs.sends if ours.receives else self.remote_direction.sends
        receives = theirs.receives if ours.sends else self.remote_direction.receives
        self.remote_direction = Direction.of(sends=sends, receives=receives)

    def _plan(
        self,
        line: MediaLine,
        session: SessionDescription,
        offered: OfferedAudio,
        codec: Codec,
        receive_type: int,
        direction: Direction,
    ) -> MediaPlan:
        address = _reachable(line.address or session.address)
        dtmf = int(offered.dtmf.pt) if offered.dtmf and self.policy.dtmf else None
        return MediaPlan(
            remote=(address, line.port) if address else None,
            remote_rtcp=(address, _rtcp_port(line)) if address else None,
            rtcp_mux=line.rtcp_mux,
            codec=codec,
            payload_type=offered.payload_types[codec],
            receive_payload_type=receive_type,
            dtmf_send=dtmf,
            dtmf_receive=self._dtmf_we_named() if dtmf is not None else None,
            cn=offered.comfort_noise,
            ptime_ms=_ptime(line, self.policy.ptime_ms),
            sends=direction.sends and address is not None,
            receives=direction.receives,
            latch_from=self.sources | _origins(address),
            silence_s=self.policy.silence_s,
        )

    def _dtmf_we_named(self) -> int | None:
        line = self._last.media[self.audio] if self._last else None
        named = [int(form.pt) for form in line.formats if form.name == DTMF_NAME] if line else []
        return named[0] if named else None

    def _formats(self) -> list[Format]:
        formats = [_codec_format(codec, STATIC_TYPES[codec]) for codec in self.policy.codecs]
        if self.policy.dtmf:
            formats.append(Format(pt=DTMF_TYPE, name=DTMF_NAME, rate=8000, fmtp="0-15"))
        if self.policy.comfort_noise:
            formats.append(Format(pt=COMFORT_NOISE, name="CN", rate=8000))
        return formats

    def _audio_line(self, formats: Sequence[Format], direction: Direction) -> MediaLine:
        return MediaLine(
            kind="audio",
            port=self.endpoint.port,
            proto="RTP/AVP",
            formats=tuple(formats),
            direction=direction,
            ptime=self.policy.ptime_ms,
            rtcp_port=None if self.endpoint.rtcp_port == self.endpoint.port + 1 else self.endpoint.rtcp_port,
        )

    def _write(self, lines: tuple[MediaLine, ...]) -> bytes:
        if lines != self.lines:
            self.version += 1
            self.lines = lines
            address = self.endpoint.address
            origin = Origin("pbxd", self.session_id, self.version, address)
            self._last = SessionDescription(origin, address, lines)
        assert self._last is not None  # noqa: S101 - the first call always has lines to write
        return self._last.to_bytes()


def offered_audio(session: SessionDescription, policy: Policy) -> OfferedAudio | None:
    """What the line offers that an answer to `session` would serve; None when it would serve none."""
    served = _served(session, policy)
    return served[2] if served is not None else None


def _served(offer: SessionDescription, policy: Policy) -> tuple[int, MediaLine, OfferedAudio] | None:
    """The first audio line with a codec of ours, and its place."""
    for index, line in enumerate(offer.media):
        if _usable(line):
            offered = _understood(line, policy)
            if offered.codecs:
                return index, line, offered
    return None


def _usable(line: MediaLine) -> bool:
    return (
        line.kind == "audio"
        and line.port > 0
        and line.proto.upper() in SERVED_PROTOCOLS
        and _rtcp_port(line) <= MAX_PORT
    )


def _understood(line: MediaLine, policy: Policy) -> OfferedAudio:
    payload_types: dict[Codec, int] = {}
    dtmf: Format | None = None
    comfort_noise = False
    for form in line.formats:
        codec = _CODEC_NAMES.get(form.name) if form.rate == 8000 and form.channels == 1 else None
        if codec is not None and codec in policy.codecs:
            payload_types.setdefault(codec, int(form.pt))
        elif form.name == DTMF_NAME and form.rate == 8000:
            dtmf = dtmf or form
        elif form.pt == COMFORT_NOISE or form.name == "CN":
            comfort_noise = form.pt == COMFORT_NOISE
    return OfferedAudio(tuple(payload_types), payload_types, dtmf, comfort_noise)


def _wish(line: MediaLine) -> Direction:
    if line.address in _NOWHERE:  # the hold of RFC 2543: it may speak, and does not want to hear
        return Direction.of(sends=line.direction.sends, receives=False)
    return line.direction


@lru_cache(maxsize=1024)
def _reachable(address: str | None) -> str | None:
    """One host's address; None for nowhere, and for many: a call is no way to make us flood a network."""
    try:
        ip = ip_address(address or "")
    except ValueError:  # a host name: where its packets come from will show where it is
        return None
    plain = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
    if plain.is_unspecified or plain.is_multicast or str(plain) == "255.255.255.255":
        return None
    return str(ip)


def _origins(address: str | None) -> frozenset[str]:
    """Where the packets of who names `address` may come from. A program on this machine that names one loopback
    address and is bound to all of them sends from the first."""
    if address is None:
        return frozenset()
    parsed = ip_address(address)
    return frozenset({address, "127.0.0.1"} if parsed.version == 4 and parsed.is_loopback else {address})


def _rtcp_port(line: MediaLine) -> int:
    return line.port if line.rtcp_mux else line.rtcp_port or line.port + 1


_NOWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_CODEC_NAMES = {codec.name: codec for codec in Codec}


def _codec_format(codec: Codec, payload_type: int) -> Format:
    return Format(pt=payload_type, name=codec.name, rate=8000)


def _both(one: Direction, other: Direction) -> Direction:
    return Direction.of(sends=one.sends and other.sends, receives=one.receives and other.receives)


def _ptime(line: MediaLine, default_ms: int) -> int:
    wish = line.ptime or default_ms
    if line.maxptime:
        wish = min(wish, line.maxptime)
    return max((ptime for ptime in PTIMES_MS if ptime <= wish), default=PTIMES_MS[0])
