"""What negotiation decided about one leg: all that signalling ever tells media."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from media.keys import Srtp


class Codec(Enum):
    """A codec of wire, in wire's order. The value is its name for people: that in SDP, with the clock where one name
    means two."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"
    L16 = "L16"
    L16_WIDE = "L16/16000"

    __hash__ = object.__hash__  # by identity: Enum's own is computed in Python each time

    @property
    def encoding(self) -> str:
        """Its encoding name in SDP, in capitals."""
        return _ENCODINGS[self]

    @property
    def clock(self) -> int:
        """RTP timestamps a second: of G.722 half its sampling rate (RFC 3551 §4.5.2)."""
        return _CLOCKS.get(self, 8000)

    @property
    def wide(self) -> bool:
        """Whether it carries more than the band of a telephone: 16000 samples a second inside, not 8000."""
        return self in _WIDE

    @property
    def channels(self) -> int:
        """Channels in SDP: Opus says two, whatever it carries (RFC 7587 §7)."""
        return 2 if self is Codec.OPUS else 1

    @property
    def static_payload_type(self) -> int | None:
        """RFC 3551 §6; None when it has none."""
        return _STATIC_TYPES.get(self)

    @property
    def ptimes_ms(self) -> tuple[int, ...]:
        """The packet times that its encoder makes: Opus has no frame of 30 ms, and a datagram has 1500 octets."""
        return _PTIMES.get(self, (10, 20, 30, 40, 60))

    def relays(self, other: Codec) -> bool:
        """Whether wire's relay joins the two: the same codec, or the two laws of G.711. All else takes a room."""
        return self is other or {self, other} == _LAWS


_ENCODINGS = {codec: codec.value.partition("/")[0].upper() for codec in Codec}
_CLOCKS = {Codec.OPUS: 48000, Codec.L16_WIDE: 16000}
_STATIC_TYPES = {Codec.PCMU: 0, Codec.PCMA: 8, Codec.G722: 9}
_PTIMES = {Codec.OPUS: (10, 20, 40, 60), Codec.L16_WIDE: (10, 20, 30, 40)}
_LAWS = {Codec.PCMU, Codec.PCMA}
_WIDE = {Codec.G722, Codec.OPUS, Codec.L16_WIDE}


@dataclass(frozen=True, slots=True)
class CodecSettings:
    """How our Opus encoder works: bit/s (0: libopus chooses), complexity 0 to 10, in-band error correction, silence not
    sent, and the loss in per cent to begin with. Other codecs have nothing to set."""

    bitrate: int = 0
    complexity: int = 5
    fec: bool = False
    dtx: bool = False
    expected_loss: int = 0


@dataclass(frozen=True, slots=True)
class Jitter:
    """The delay of what is heard in a room, in ms: it follows the network within `min_ms` and `max_ms`, from `start_ms`
    on. Between 20 and 1000."""

    min_ms: int = 20
    max_ms: int = 400
    start_ms: int = 40


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """One audio stream as agreed.

    `remote` is where SDP says to send (None: nowhere, as in `c=0.0.0.0`); `remote_rtcp` only when it is not the port
    above (RFC 3605). `latch_from` holds the IP literals its packets may come from, at most four: the SDP address and
    the source of signalling. `payload_type` is what we send, `receive_payload_type` what we expect,
    `other_payload_type` that of the other G.711 law where the far side may send that too (RFC 3264 §7); `dtmf_*` are
    those of RFC 4733, None when not agreed, and `dtmf_clock` what their durations count in (0: the codec's clock).
    `ptime_ms` is the packet time the far end wants: 10 to 120, or 0 for packets as they come. `sends` and `receives`
    are from our side. After `silence_s` without a packet while `receives`, wire reports SILENT; 0 never does. `srtp` is
    None for plain RTP.
    """

    remote: tuple[str, int] | None
    codec: Codec
    payload_type: int
    receive_payload_type: int
    other_payload_type: int | None = None
    remote_rtcp: tuple[str, int] | None = None
    rtcp_mux: bool = False
    dtmf_send: int | None = None
    dtmf_receive: int | None = None
    dtmf_clock: int = 0
    cn: bool = False
    ptime_ms: int = 20
    sends: bool = True
    receives: bool = True
    latch_from: frozenset[str] = frozenset()
    silence_s: float = 60.0
    jitter: Jitter = Jitter()
    codec_settings: CodecSettings = CodecSettings()
    srtp: Srtp | None = None


def relayable(one: MediaPlan, other: MediaPlan) -> bool:
    """Whether `MediaSession.relay` joins legs of these plans; if not, sound between them takes a room."""
    return one.codec.relays(other.codec)
