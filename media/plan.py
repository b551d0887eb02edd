"""What negotiation decided about one leg: all that signalling ever tells media."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Codec(Enum):
    """A codec of wire. The value is its encoding name in SDP."""

    PCMU = "PCMU"
    PCMA = "PCMA"

    __hash__ = object.__hash__  # by identity: Enum's own is computed in Python each time

    @property
    def static_payload_type(self) -> int:
        """RFC 3551 §6."""
        return 0 if self is Codec.PCMU else 8


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """One audio stream as agreed.

    `remote` is where SDP says to send (None: nowhere, as in `c=0.0.0.0`); `remote_rtcp` only when it is not the port
    above (RFC 3605). `latch_from` holds the IP literals its packets may come from, at most four: the SDP address and
    the source of signalling. `payload_type` is what we send, `receive_payload_type` what we expect,
    `other_payload_type` that of the other G.711 law where the far side may send that too (RFC 3264 §7); `dtmf_*` are
    those of RFC 4733, None when not agreed. `ptime_ms` is the packet time the far end wants: 10 to 120, or 0 for
    packets as they come. `sends` and `receives` are from our side. After `silence_s` without a packet while `receives`,
    wire reports SILENT; 0 never does.
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
    cn: bool = False
    ptime_ms: int = 20
    sends: bool = True
    receives: bool = True
    latch_from: frozenset[str] = frozenset()
    silence_s: float = 60.0
