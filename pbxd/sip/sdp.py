"""Session descriptions (RFC 4566/8866) with the attributes of offer and answer (RFC 3264, 3551, 3605, 5761).

Reading is tolerant, writing is strict. What audio needs is taken apart; other attributes and media lines survive as
they came. Times, bandwidths and contact lines are left out: this house offers its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from zlib import crc32

from pbxd.sip.errors import SdpError
from pbxd.sip.grammar import one_line

MAX_SDP: Final = 16_384  # bytes
MAX_LINES: Final = 512
MAX_MEDIA: Final = 32
MAX_FORMATS: Final = 64  # of one media line

_STATIC: Final[dict[int, tuple[str, int, int]]] = {  # RFC 3551 §6: payload type -> name, clock rate, channels
    0: ("PCMU", 8000, 1), 3: ("GSM", 8000, 1), 4: ("G723", 8000, 1), 5: ("DVI4", 8000, 1), 6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1), 10: ("L16", 44100, 2), 11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1), 13: ("CN", 8000, 1), 14: ("MPA", 90000, 1), 15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1), 17: ("DVI4", 22050, 1), 18: ("G729", 8000, 1), 25: ("CELB", 90000, 1),
    26: ("JPEG", 90000, 1), 28: ("NV", 90000, 1), 31: ("H261", 90000, 1), 32: ("MPV", 90000, 1),
    33: ("MP2T", 90000, 1), 34: ("H263", 90000, 1),
}  # fmt: skip
_WRITTEN: Final = {  # names peers expect in this very spelling, although RFC 4855 says case does not matter
    "TELEPHONE-EVENT": "telephone-event", "OPUS": "opus", "ILBC": "iLBC", "SPEEX": "speex", "RED": "red",
}  # fmt: skip


class Direction(Enum):
    """Which way media flows, seen from the side that wrote the description (RFC 3264 §5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        """The direction of a side that does these."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same seen from the other side."""
        return Direction.of(sends=self.receives, receives=self.sends)


_DIRECTIONS: Final = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Format:
    """One entry of a media line. `pt` is the payload type, or the bare word where the protocol is not RTP; `name` is
    upper case, empty for a dynamic payload type without rtpmap; `rate` is the RTP clock in Hz."""

    pt: int | str
    name: str
    rate: int = 8000
    channels: int = 1
    fmtp: str | None = None

    @classmethod
    def static(cls, pt: int) -> Format:
        """The format RFC 3551 assigns to a payload type; one without name when it assigns none."""
        name, rate, channels = _STATIC.get(pt, ("", 0, 1))
        return cls(pt, name, rate, channels)


@dataclass(frozen=True, slots=True)
class MediaLine:
    """One media stream: its m= line and what belongs to it.

    `address` is its own c= or that of the session (an IP literal or a host name), `direction` its own or that of the
    session. `attributes` are those not taken apart here. `ptime` and `maxptime` are in ms.
    """

    kind: str
    port: int
    proto: str
    formats: tuple[Format, ...]
    address: str | None = None
    direction: Direction = Direction.SENDRECV
    ptime: int | None = None
    maxptime: int | None = None
    rtcp_port: int | None = None
    rtcp_address: str | None = None
    rtcp_mux: bool = False
    attributes: tuple[tuple[str, str | None], ...] = ()

    @property
    def is_rtp(self) -> bool:
        """Whether formats are RTP payload types."""
        return "RTP/" in self.proto

    @property
    def refused(self) -> bool:
        """Port 0: not offered, or rejected (RFC 3264 §5.1, §6)."""
        return self.port == 0

    @property
    def held(self) -> bool:
        """Whether the writer does not want to hear: it does not receive, or its address is 0.0.0.0 or ::, the old way
        to hold (RFC 3264 §8.4)."""
        return not self.direction.receives or self.address in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def find(self, name: str, rate: int | None = None) -> Format | None:
        """The first format of that name (any case) and, when given, clock rate."""
        name = name.upper()
        for entry in self.formats:
            if entry.name == name and (rate is None or entry.rate == rate):
                return entry
        return None

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute of that name; empty for one without value, None when it is not there."""
        for own, value in self.attributes:
            if own == name:
                return value or ""
        return None

    def refusal(self) -> MediaLine:
        """The line that rejects this one in an answer: the same media, protocol and formats with port 0."""
        return MediaLine(self.kind, 0, self.proto, tuple([Format(entry.pt, "", 0) for entry in self.formats]))


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made the description (RFC 8866 §5.2). A new version says that something changed."""

    user: str
    sess_id: int
    sess_version: int
    address: str


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. `address` is the session-level c=, None when each media line has its own. `attributes` are
    the session-level ones but the direction, which the media lines have inherited."""

    origin: Origin
    address: str | None
    media: tuple[MediaLine, ...] = ()
    attributes: tuple[tuple[str, str | None], ...] = ()
    name: str = "-"

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Reads a description. Raises SdpError: 400 when it cannot be read, 488 when it is beyond our bounds."""
        return _Reader(data).result()

    @property
    def audio(self) -> MediaLine | None:
        """The first audio line that is not refused, or else the first audio line."""
        lines = [line for line in self.media if line.kind == "audio"]
        return next((line for line in lines if line.port), lines[0] if lines else None)

    def attribute(self, name: str) -> str | None:
        """The value of the first session-level attribute of that name; empty without value, None when not there."""
        for own, value in self.attributes:
            if own == name:
                return value or ""
        return None

    def to_bytes(self) -> bytes:
        """The description for the wire. No value can begin a new line."""
        origin = self.origin
        user = "".join(origin.user.split()) or "-"
        lines = [
            "v=0",
            f"o={user} {origin.sess_id} {origin.sess_version} IN {_typed(origin.address)}",
            f"s={self.name or '-'}",
        ]
        if self.address is not None:
            lines.append(f"c=IN {_typed(self.address)}")
        lines.append("t=0 0")
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            _write_media(media, self.address, lines)
        return ("\r\n".join(map(one_line, lines)) + "\r\n").encode(errors="replace")


def _typed(address: str) -> str:
    """`IP6 …` or `IP4 …`; a host name counts as IP4."""
    return f"{'IP6' if ':' in address else 'IP4'} {address}"


def _attribute_lines(attributes: Iterable[tuple[str, str | None]]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _write_media(media: MediaLine, session_address: str | None, lines: list[str]) -> None:
    lines.append(f"m={media.kind} {media.port} {media.proto} {' '.join(str(entry.pt) for entry in media.formats)}")
    if media.address is not None and media.address != session_address:
        lines.append(f"c=IN {_typed(media.address)}")
    rtp = media.is_rtp
    if rtp:
        for entry in media.formats:
            if entry.name:
                channels = f"/{entry.channels}" if entry.channels > 1 else ""
                lines.append(f"a=rtpmap:{entry.pt} {_WRITTEN.get(entry.name, entry.name)}/{entry.rate}{channels}")
            if entry.fmtp is not None:
                lines.append(f"a=fmtp:{entry.pt} {entry.fmtp}")
    if (rtp and media.port) or media.direction is not Direction.SENDRECV:
        lines.append(f"a={media.direction.value}")
    if media.ptime is not None:
        lines.append(f"a=ptime:{media.ptime}")
    if media.maxptime is not None:
        lines.append(f"a=maxptime:{media.maxptime}")
    if media.rtcp_port is not None:
        at = f" IN {_typed(media.rtcp_address)}" if media.rtcp_address else ""
        lines.append(f"a=rtcp:{media.rtcp_port}{at}")
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    lines += _attribute_lines(media.attributes)


def _number(text: str, limit: int) -> int | None:
    """A decimal number up to `limit`, else None."""
    if not text or len(text) > 10 or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= limit else None


def _identifier(text: str) -> int:
    """A session id or version; those that are no 64-bit numbers still compare equal to themselves."""
    if len(text) <= 20 and text.isascii() and text.isdigit():
        return int(text)
    return crc32(text.encode(errors="replace"))


class _Media:
    """A media line while its attributes come in."""

    __slots__ = ("address", "attributes", "direction", "fmtps", "kind", "maps", "maxptime", "mux", "port", "proto",
                 "ptime", "pts", "rtcp_address", "rtcp_port")  # fmt: skip

    def __init__(self, value: str) -> None:
        parts = value.split()
        if len(parts) < 4:
            raise SdpError("Bad media line in SDP")
        if len(parts) - 3 > MAX_FORMATS:
            raise SdpError("Too many formats in SDP", 488)
        port = _number(parts[1].partition("/")[0], 65535)
        if port is None:
            raise SdpError("Bad port in SDP")
        self.kind, self.port, self.proto = parts[0].lower(), port, parts[2]
        self.pts = list(dict.fromkeys(parts[3:]))
        self.address: str | None = None
        self.direction: Direction | None = None
        self.ptime: int | None = None
        self.maxptime: int | None = None
        self.rtcp_port: int | None = None
        self.rtcp_address: str | None = None
        self.mux = False
        self.maps: dict[str, tuple[str, int, int]] = {}
        self.fmtps: dict[str, str] = {}
        self.attributes: list[tuple[str, str | None]] = []

    def attribute(self, name: str, value: str | None) -> None:
        if name in _DIRECTIONS:
            self.direction = _DIRECTIONS[name]
        elif name in ("rtpmap", "fmtp") and "RTP/" in self.proto:
            self._format_attribute(name, value or "")
        elif name in ("ptime", "maxptime"):
            milliseconds = _number((value or "").strip().partition(".")[0], 1000)
            if name == "ptime":
                self.ptime = milliseconds or None
            else:
                self.maxptime = milliseconds or None
        elif name == "rtcp":
            parts = (value or "").split()
            self.rtcp_port = _number(parts[0], 65535) if parts else None
            self.rtcp_address = parts[3] if len(parts) == 4 and self.rtcp_port is not None else None
        elif name == "rtcp-mux":
            self.mux = True
        else:
            self.attributes.append((name, value))

    def _format_attribute(self, name: str, value: str) -> None:
        pt, _, rest = value.strip().partition(" ")
        rest = rest.strip()
        if pt not in self.pts or not rest:
            return
        if name == "fmtp":
            self.fmtps[pt] = rest
            return
        encoding, _, more = rest.partition("/")
        rate_text, _, channel_text = more.partition("/")
        rate = _number(rate_text, 1_000_000)
        if rate:
            self.maps[pt] = (encoding.strip().upper(), rate, _number(channel_text, 255) or 1)

    def _format(self, pt: str) -> Format:
        number = _number(pt, 127) if "RTP/" in self.proto else None
        if number is None:
            return Format(pt, pt.upper(), 0)
        name, rate, channels = self.maps.get(pt) or _STATIC.get(number) or ("", 0, 1)
        return Format(number, name, rate, channels, self.fmtps.get(pt))

    def finish(self, address: str | None, direction: Direction) -> MediaLine:
        return MediaLine(
            self.kind,
            self.port,
            self.proto,
            tuple([self._format(pt) for pt in self.pts]),
            self.address or address,
            self.direction or direction,
            self.ptime,
            self.maxptime,
            self.rtcp_port,
            self.rtcp_address,
            self.mux,
            tuple(self.attributes),
        )


class _Reader:
    """Reads the lines of one description in order (RFC 8866 §5)."""

    def __init__(self, data: bytes) -> None:
        self.origin = Origin("-", 0, 0, "0.0.0.0")  # noqa: S104 - a placeholder, nothing binds it
        self.name = "-"
        self.address: str | None = None
        self.direction = Direction.SENDRECV
        self.attributes: list[tuple[str, str | None]] = []
        self.media: list[_Media] = []
        self._read(data)

    def _read(self, data: bytes) -> None:
        if len(data) > MAX_SDP:
            raise SdpError("SDP too large", 488)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        if "\0" in text:
            raise SdpError("NUL in SDP")
        lines = text.replace("\r", "\n").split("\n") if "\r" in text.replace("\r\n", "") else text.split("\n")
        lines = [line for line in map(str.strip, lines) if line]
        if len(lines) > MAX_LINES:
            raise SdpError("SDP too long", 488)
        if not lines or lines[0].replace(" ", "") != "v=0":
            raise SdpError("Not an SDP of version 0")
        for line in lines:
            if line[1:2] != "=":
                raise SdpError("Bad line in SDP")
            self._line(line[0], line[2:])

    def _line(self, kind: str, value: str) -> None:
        if kind == "a":
            name, colon, rest = value.partition(":")
            self._attribute(name.strip(), rest if colon else None)
        elif kind == "m":
            if len(self.media) >= MAX_MEDIA:
                raise SdpError("Too many media lines in SDP", 488)
            self.media.append(_Media(value))
        elif kind == "c":
            self._connection(value)
        elif kind == "o":
            self._origin(value)
        elif kind == "s" and not self.media:
            self.name = value.strip() or "-"

    def _attribute(self, name: str, value: str | None) -> None:
        if not name:
            return
        if self.media:
            self.media[-1].attribute(name, value)
        elif name in _DIRECTIONS:
            self.direction = _DIRECTIONS[name]
        else:
            self.attributes.append((name, value))

    def _connection(self, value: str) -> None:
        parts = value.split()
        if len(parts) < 3 or parts[0].upper() != "IN":
            raise SdpError("Bad connection line in SDP")
        address = parts[2].partition("/")[0]
        if not address:
            raise SdpError("Bad connection line in SDP")
        if self.media:
            self.media[-1].address = address
        else:
            self.address = address

    def _origin(self, value: str) -> None:
        parts = value.split()
        if len(parts) != 6:
            raise SdpError("Bad origin in SDP")
        self.origin = Origin(parts[0], _identifier(parts[1]), _identifier(parts[2]), parts[5])

    def result(self) -> SessionDescription:
        media = tuple([line.finish(self.address, self.direction) for line in self.media])
        return SessionDescription(self.origin, self.address, media, tuple(self.attributes), self.name)
