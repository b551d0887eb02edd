"""SDP × codecs -> plan: the one place where what was said about media becomes what is done (RFC 3264).

A `Negotiation` belongs to one leg. It remembers the m-lines of the session, whose order may never change
(RFC 3264 §8), serves the first audio line that it can, or T.38 in its place, and answers all others with port 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from media.fax_session import T38Terms
from media.plan import Codec, MediaPlan
from pbxd.calls import image
from pbxd.calls.crypto import PLAIN_PROTOCOLS, SECURE_PROTOCOLS, KeyRing, refusal_of, why_unprotected
from pbxd.calls.numbers import PayloadTypes
from pbxd.calls.opus import OpusParameters
from pbxd.calls.policy import COMFORT_NOISE, EVENT_CLOCK, EVENT_NAME, OfferedAudio, Policy, codec_of, understood
from pbxd.sip.errors import SdpError
from pbxd.sip.sdp import Direction, Format, MediaLine, Origin, SessionDescription

MAX_PORT = 65535
SERVED_PROTOCOLS = PLAIN_PROTOCOLS | SECURE_PROTOCOLS
EVENTS_TAKEN = "0-15"
WANTED_TYPES = {Codec.OPUS: 111, Codec.L16: 118, Codec.L16_WIDE: 119}
WANTED_EVENT_TYPES = {8000: 101, 16000: 103, 48000: 102}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Our side of one stream: the address that the far side is told, and our ports."""

    address: str
    port: int
    rtcp_port: int


@dataclass(slots=True)
class Negotiation:
    """One leg's offers and answers. `endpoint` is ours; `sources` are the IPs the far side may send from besides
    the one its SDP names (where its signalling comes from: NAT). `understood` are the codecs of ours that the far side
    ever named, `theirs` what it said last of the Opus it wants; `keys` are those of SRTP. While `images` is set, offers
    of T.38 are taken; `t38` is what was agreed for it, None while the stream is audio; `beyond` is what was said of
    T.38 by the one at the other end of the call, to whom the datagrams go on."""

    endpoint: Endpoint
    policy: Policy
    session_id: int
    sources: frozenset[str] = frozenset()
    version: int = 0
    lines: tuple[MediaLine, ...] = field(default=(), repr=False)  # there are keys in it
    audio: int = 0
    images: bool = False
    t38: T38Terms | None = None
    beyond: T38Terms | None = None
    _image: int | None = field(default=None, repr=False)
    _before: tuple[MediaLine, ...] = field(default=(), repr=False)
    remote_direction: Direction = Direction.SENDRECV
    understood: frozenset[Codec] = frozenset()
    theirs: OpusParameters = field(default_factory=OpusParameters)
    keys: KeyRing = field(init=False)
    _types: PayloadTypes = field(default_factory=PayloadTypes, repr=False)
    _last: SessionDescription | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.keys = KeyRing(self.policy.protection)

    def offer(self, direction: Direction = Direction.SENDRECV, joined: Codec | None = None) -> bytes:
        """Our offer: first of the session, or a new one with the m-lines it has so far. `joined` is the codec that the
        stream is to be joined with: only what can be is offered, that one first."""
        codecs = self.policy.codecs if joined is None else self.policy.joining(joined)
        proto, keys = self.keys.offer()
        ours = self._audio_line(self._formats(codecs or self.policy.codecs), direction, proto, keys)
        lines = [*self.lines, ours] if self.audio >= len(self.lines) else list(self.lines)
        lines[self.audio] = ours
        if self._image is not None:
            lines[self._image] = lines[self._image].refusal()
        return self._write(tuple(lines))

    def offer_image(self) -> bytes:
        """Our offer of T.38 in the place of the audio: the only stream that is left, or ever was."""
        self._before = self.lines
        lines = [line.refusal() for line in self.lines]
        mine = image.image_line(self.endpoint.port, self.beyond, self.beyond)
        if self._image is None:
            self._image = len(lines)
            lines.append(mine)
        else:
            lines[self._image] = mine
        if not self._before:
            self.audio = len(lines)  # where it would come
        return self._write(tuple(lines))

    def image_refused(self) -> None:
        """Our offer of T.38 was refused: the audio as it was before goes on (RFC 3261 §14.1)."""
        lines = list(self._before)
        if self._image is not None and self._image == len(lines):
            self._image = None  # it has never been agreed on
        self._write(tuple(lines))

    def takes_image(self, offer: SessionDescription) -> bool:
        """Whether an answer to `offer` would be T.38."""
        return self.images and image.place_of(offer) is not None

    def answer(
        self,
        offer: SessionDescription,
        allowed: Direction = Direction.SENDRECV,
        prefer: Codec | None = None,
        within: frozenset[Codec] | None = None,
    ) -> tuple[bytes, MediaPlan]:
        """Our answer to `offer` and the plan it makes. `allowed` bounds our direction; `prefer` is the codec that
        needs no conversion; `within` holds the codecs that can be joined with the rest of the call (None: all). Raises
        `SdpError` (488) when no line of it can be served."""
        if self.takes_image(offer):
            return self._answer_image(offer)
        served = _served(offer, self.policy)
        if served is None:
            raise SdpError(refusal_of(offer.media, self.policy.protection) or "no audio line with a codec of ours", 488)
        index, line, offered = served
        codec = _best(offered, prefer, within)
        keys = self.keys.answer(line)
        self._types.learn(line)
        self._learn(offered)
        self.remote_direction = _wish(line)
        direction = _both(allowed, line.direction.reversed)
        payload_type = offered.payload_types[codec]
        chosen = [self._codec_format(codec, payload_type)]
        event = offered.event_for(codec) if self.policy.dtmf else None
        if event is not None:
            chosen.append(_format(int(event.pt), event.name, event.rate, EVENTS_TAKEN))
        if offered.noise_beside(codec):
            chosen.append(Format(pt=COMFORT_NOISE, name="CN", rate=8000))
        mine = self._audio_line(chosen, direction, line.proto, keys, rtcp_mux=line.rtcp_mux)
        lines = tuple(mine if at == index else other.refusal() for at, other in enumerate(offer.media))
        self.audio, self.t38 = index, None
        return self._write(lines), self._plan(line, offer, offered, codec, payload_type, direction)

    def accept(self, answer: SessionDescription) -> MediaPlan:
        """The plan that the far side's answer to our offer makes. Raises `SdpError` (488) when it cannot be used."""
        if self._last is None or len(answer.media) < len(self._last.media):
            raise SdpError("the answer has fewer m-lines than our offer", 488)
        if self._image is not None and self._image < len(answer.media) and self._last.media[self._image].port:
            return self._accept_image(answer)
        line, offer = answer.media[self.audio], self._last.media[self.audio]
        offered = understood(line, self.policy, offer)
        if not _usable(line) or not offered.codecs:
            raise SdpError("the answer took none of our codecs", 488)
        self.keys.accept(line)
        self._learn(offered)
        self._learn_direction(offer.direction, _wish(line))
        ours = {codec: int(form.pt) for form in offer.formats if (codec := codec_of(form)) is not None}
        codec = offered.codecs[0]
        direction = _both(offer.direction, line.direction.reversed)
        plan = self._plan(line, answer, offered, codec, ours[codec], direction)
        other = next((ours[also] for also in offered.codecs[1:] if also.relays(codec)), None)
        self.t38 = None
        return plan if other is None else replace(plan, other_payload_type=other)

    def last(self) -> SessionDescription | None:
        """What we said last."""
        return self._last

    def _answer_image(self, offer: SessionDescription) -> tuple[bytes, MediaPlan]:
        place = image.place_of(offer)
        assert place is not None  # noqa: S101 - who calls has asked
        line = offer.media[place]
        self.t38, self._image = image.terms_of(line), place
        sounds = [at for at, one in enumerate(offer.media) if one.kind == "audio"]
        if self.audio not in sounds:
            self.audio = sounds[0] if sounds else len(offer.media)  # where it would come, if it came back
        mine = image.image_line(self.endpoint.port, image.common(self.t38, self.beyond), self.beyond)
        lines = tuple(mine if at == place else other.refusal() for at, other in enumerate(offer.media))
        return self._write(lines), self._image_plan(line, offer)

    def _accept_image(self, answer: SessionDescription) -> MediaPlan:
        line = answer.media[self._image or 0]
        if not image.usable(line):
            raise SdpError("the answer did not take T.38", 488)
        self.t38 = image.terms_of(line)
        return self._image_plan(line, answer)

    def _image_plan(self, line: MediaLine, session: SessionDescription) -> MediaPlan:
        """Where the datagrams go; who carries the fax watches over its silences."""
        address = _reachable(line.address or session.address)
        return MediaPlan(
            remote=(address, line.port) if address else None,
            codec=Codec.PCMU,
            payload_type=0,
            receive_payload_type=0,
            sends=address is not None,
            latch_from=self.sources | _origins(address),
            silence_s=0.0,
        )

    def _learn(self, offered: OfferedAudio) -> None:
        self.understood |= frozenset(offered.codecs)
        self.theirs = offered.opus

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
        event = offered.event_for(codec) if self.policy.dtmf else None
        return MediaPlan(
            remote=(address, line.port) if address else None,
            remote_rtcp=(address, _rtcp_port(line)) if address else None,
            rtcp_mux=line.rtcp_mux,
            codec=codec,
            payload_type=offered.payload_types[codec],
            receive_payload_type=receive_type,
            dtmf_send=int(event.pt) if event is not None else None,
            dtmf_receive=self._event_we_named(event.rate) if event is not None else None,
            dtmf_clock=event.rate if event is not None and event.rate != codec.clock else 0,
            cn=offered.noise_beside(codec),
            ptime_ms=_ptime(line, self.policy.ptime_ms, codec, offered.opus),
            sends=direction.sends and address is not None,
            receives=direction.receives,
            latch_from=self.sources | _origins(address),
            silence_s=self.policy.silence_s,
            jitter=self.policy.jitter,
            codec_settings=self.policy.settings(codec, offered.opus),
            srtp=self.keys.agreed,
        )

    def _event_we_named(self, clock: int) -> int | None:
        line = self._last.media[self.audio] if self._last else None
        named = [int(form.pt) for form in line.formats if (form.name, form.rate) == (EVENT_NAME, clock)] if line else []
        return named[0] if named else None

    def _codec_format(self, codec: Codec, payload_type: int) -> Format:
        if codec is Codec.OPUS:
            return self.policy.opus_format(payload_type)
        return _format(payload_type, codec.encoding, codec.clock)

    def _number(self, codec: Codec) -> int:
        static = codec.static_payload_type
        if static is not None:
            return static
        return self._types.number(codec.encoding, codec.clock, codec.channels, WANTED_TYPES[codec])

    def _formats(self, codecs: Sequence[Codec]) -> list[Format]:
        formats = [self._codec_format(codec, self._number(codec)) for codec in codecs]
        if self.policy.dtmf:
            for clock in dict.fromkeys((EVENT_CLOCK, *(codec.clock for codec in codecs))):
                number = self._types.number(EVENT_NAME, clock, 1, WANTED_EVENT_TYPES[clock])
                formats.append(_format(number, EVENT_NAME, clock, EVENTS_TAKEN))
        if self.policy.comfort_noise and any(codec.clock == EVENT_CLOCK for codec in codecs):
            formats.append(Format(pt=COMFORT_NOISE, name="CN", rate=8000))
        return formats

    def _audio_line(
        self,
        formats: Sequence[Format],
        direction: Direction,
        proto: str,
        attributes: tuple[tuple[str, str | None], ...],
        *,
        rtcp_mux: bool = False,
    ) -> MediaLine:
        return MediaLine(
            kind="audio",
            port=self.endpoint.port,
            proto=proto,
            formats=tuple(formats),
            direction=direction,
            ptime=self.policy.ptime_ms,
            rtcp_port=None if self.endpoint.rtcp_port == self.endpoint.port + 1 else self.endpoint.rtcp_port,
            rtcp_mux=rtcp_mux,
            attributes=attributes,
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
        if _usable(line) and why_unprotected(line, policy.protection) is None:
            offered = understood(line, policy)
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


def _best(offered: OfferedAudio, prefer: Codec | None, within: frozenset[Codec] | None) -> Codec:
    """Of what is offered, what needs the least conversion; else what the far side likes best."""
    codecs = [codec for codec in offered.codecs if within is None or codec in within]
    if not codecs:
        raise SdpError("nothing that is offered can be joined with the other side of the call", 488)
    if prefer is None or prefer in codecs:
        return prefer or codecs[0]
    return next((codec for codec in codecs if codec.relays(prefer)), codecs[0])


def _wish(line: MediaLine) -> Direction:
    if line.address in _NOWHERE:  # the hold of RFC 2543: it may speak, and does not want to hear
        return Direction.of(sends=line.direction.sends, receives=False)
    return line.direction


@lru_cache(maxsize=256)
def _format(number: int, name: str, rate: int, fmtp: str | None = None) -> Format:
    """The same few are in every offer and answer."""
    return Format(number, name, rate, fmtp=fmtp)


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


@lru_cache(maxsize=1024)
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


def _both(one: Direction, other: Direction) -> Direction:
    return Direction.of(sends=one.sends and other.sends, receives=one.receives and other.receives)


def _ptime(line: MediaLine, default_ms: int, codec: Codec, opus: OpusParameters) -> int:
    wish = line.ptime or default_ms
    if codec is Codec.OPUS and opus.min_ptime_ms is not None:
        wish = max(wish, opus.min_ptime_ms)
    if line.maxptime:
        wish = min(wish, line.maxptime)
    return max((ptime for ptime in codec.ptimes_ms if ptime <= wish), default=codec.ptimes_ms[0])
