"""T.38 in SDP (ITU-T T.38 annex D, RFC 3362): the m=image line, and what its attributes mean for what we send.

Attributes are read whatever their case; a switch counts as set without a value or with another one than 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from media.fax_session import T38Terms
from media.spandsp import T38Settings
from media.udptl import ErrorCorrection, UdptlTerms
from pbxd.sip.sdp import Format, MediaLine, SessionDescription

VERSION: Final = 3
MAX_BIT_RATE: Final = 14400
MAX_BUFFER: Final = 2000
MAX_DATAGRAM: Final = 1400  # octets of UDPTL that we take
REDUNDANCY: Final = 3
_FORMAT: Final = "t38"
_LOCAL_TCF: Final = "localtcf"
_LEAST_DATAGRAM: Final = 32  # who names less means something else


class FaxUser(Protocol):
    """Who sends or receives a fax on a leg."""

    def may_change(self) -> bool:
        """Whether sound may become T.38 now, or T.38 sound: no page has begun."""

    def takes_images(self) -> bool:
        """Whether T.38 is wanted at all."""

    def agreed(self, now: float) -> None:
        """Media is agreed, or agreed anew: `leg.negotiation.t38` says whether it is T.38."""

    def image_refused(self, status: int, now: float) -> None:
        """The far side does not go over to T.38; what was agreed before goes on."""


class Between(Protocol):
    """What a leg has to do with the other side of its call before it may answer."""

    def holds(self, offer: SessionDescription, now: float) -> bool:
        """Whether this offer waits; `Leg.take` follows, or a refusal."""


def usable(line: MediaLine) -> bool:
    """Whether this is a T.38 stream over UDPTL that can be served."""
    formats = {str(entry.pt).lower() for entry in line.formats}
    return line.kind == "image" and line.port > 0 and line.proto.upper() == "UDPTL" and _FORMAT in formats


def place_of(session: SessionDescription) -> int | None:
    """The place of its first T.38 line that can be served."""
    return next((place for place, line in enumerate(session.media) if usable(line)), None)


def terms_of(line: MediaLine) -> T38Terms:
    """What the far side's line means for what we send to it."""
    said = {name.lower(): value or "" for name, value in line.attributes}
    version = min(VERSION, _number(said.get("t38faxversion"), 0))
    datagram = _number(said.get("t38faxmaxdatagram"), 0)
    datagram = min(datagram, MAX_DATAGRAM) if datagram >= _LEAST_DATAGRAM else 0
    wanted = said.get("t38faxudpec", "").lower()
    fec = wanted == str(ErrorCorrection.FEC.value).lower()
    settings = T38Settings(
        version=version,
        local_tcf=said.get("t38faxratemanagement", "").lower() == _LOCAL_TCF,
        fill_bit_removal=said.get("t38faxfillbitremoval", "0").strip() != "0",
    )
    correction = ErrorCorrection.FEC if fec else ErrorCorrection.REDUNDANCY  # which a far side without may leave unread
    return T38Terms(settings, UdptlTerms(correction, depth=REDUNDANCY, max_datagram=datagram))


def alone(session: SessionDescription) -> bool:
    """Whether T.38 is all that it wants: it has no other active stream."""
    active = [line for line in session.media if line.port > 0]
    return bool(active) and all(map(usable, active))


def common(one: T38Terms, other: T38Terms | None) -> T38Terms:
    """What `one` says, within what `other` can do: for datagrams that go on to it as they are."""
    if other is None:
        return one
    fills = one.settings.fill_bit_removal and other.settings.fill_bit_removal
    version = min(one.settings.version, other.settings.version)
    return replace(one, settings=replace(one.settings, version=version, fill_bit_removal=fills))


def image_line(port: int, agreed: T38Terms | None = None, beyond: T38Terms | None = None) -> MediaLine:
    """Our line: an offer, or the answer to one that meant `agreed`. Who is `beyond` gets the datagrams as they are."""
    datagram = (beyond.udptl.max_datagram if beyond is not None else 0) or MAX_DATAGRAM
    terms = agreed or T38Terms(T38Settings(version=VERSION))
    settings, correction = terms.settings, terms.udptl.correction
    attributes: list[tuple[str, str | None]] = [
        ("T38FaxVersion", str(settings.version)),
        ("T38MaxBitRate", str(MAX_BIT_RATE)),
        ("T38FaxRateManagement", "localTCF" if settings.local_tcf else "transferredTCF"),
        ("T38FaxMaxBuffer", str(MAX_BUFFER)),
        ("T38FaxMaxDatagram", str(datagram)),
        ("T38FaxUdpEC", correction.value),
    ]
    if settings.fill_bit_removal:
        attributes.insert(2, ("T38FaxFillBitRemoval", None))
    return MediaLine("image", port, "udptl", (Format(_FORMAT, "T38", 0),), attributes=tuple(attributes))


def _number(text: str | None, otherwise: int) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else otherwise
