"""Header fields: the ordered multimap of a message, and the values of the structured ones (RFC 3261 §20, §25.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import (
    MAX_HEADERS,
    format_host,
    format_params,
    is_token,
    one_line,
    parse_host_port,
    parse_params,
    quote,
    quoted_end,
    split_list,
    unquote,
)
from pbxd.sip.uri import Uri

_NAMES: Final = (
    "Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow Allow-Events "
    "Answer-Mode Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding "
    "Content-ID Content-Language Content-Length Content-Type CSeq Date Diversion Error-Info Event Expires Feature-Caps "
    "Flow-Timer From Geolocation History-Info Identity Info-Package In-Reply-To Join Max-Breadth Max-Forwards "
    "MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity P-Associated-URI "
    "P-Called-Party-ID P-Charging-Vector P-Early-Media P-Preferred-Identity Path Permission-Missing Priority "
    "Priv-Answer-Mode Privacy Proxy-Authenticate Proxy-Authentication-Info Proxy-Authorization Proxy-Require RAck "
    "Reason Record-Route Recv-Info Refer-Events-At Refer-Sub Refer-To Referred-By Reject-Contact Remote-Party-ID "
    "Replaces Reply-To Request-Disposition Require Resource-Priority Retry-After Route RSeq Security-Client "
    "Security-Server Security-Verify Server Service-Route Session-Expires Session-ID SIP-ETag SIP-If-Match Subject "
    "Subscription-State Supported Target-Dialog Timestamp To Unsupported User-Agent User-to-User Via Warning "
    "WWW-Authenticate"
).split()
_COMPACT: Final = {  # RFC 3261 §7.3.3 and the IANA registry
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject",
    "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
SPELLING: Final = {name.lower(): name for name in (*_NAMES, "Identity-Info")}  # key -> canonical name
_KEYS: Final = {  # every usual spelling -> key
    **{name: name.lower() for name in SPELLING.values()},
    **{key: key for key in SPELLING},
    **_COMPACT,
    **{short.upper(): key for short, key in _COMPACT.items()},
}


_CACHED_LENGTH: Final = 160  # longer texts are not worth keeping: each cache stays under a megabyte


def header_key(name: str) -> str:
    """The key of a header name: lower case, compact forms expanded. Raises ParseError when it is no header name."""
    key = _KEYS.get(name)
    if key is None:
        key = name.strip(" \t").lower()
        key = _KEYS.get(key, key)
        if not is_token(key):
            raise ParseError("Bad header name")
    return key


class Headers:
    """Header lines in order, looked up without regard to case and in long or compact form.

    Known names are written in their canonical form, others as they first came. Lines of one name keep their order;
    the order between different names has no meaning (RFC 3261 §7.3.1). Values set here can never start a new line:
    CR, LF and NUL become a space.

    `lines` maps keys (see `header_key`) to values for code that reads many headers; do not change it. `parsed` keeps
    what `Message` has read from a header until the header changes.
    """

    __slots__ = ("_spelling", "lines", "parsed")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.lines: dict[str, list[str]] = {}
        self.parsed: dict[str, Any] = {}
        self._spelling: dict[str, str] = {}
        for name, value in pairs:
            self.add(name, value)

    def read(self, lines: list[str]) -> ParseError | None:
        """Adds header lines from the network as they are, without line breaks and unfolded. Lines that cannot be read
        are left out; the first fault comes back."""
        fault = None
        if len(lines) > MAX_HEADERS:
            fault = ParseError("Too many headers", 513)
            lines = lines[:MAX_HEADERS]
        known, own = _KEYS, self.lines
        for line in lines:
            name, colon, value = line.partition(":")
            key = known.get(name)
            if key is None:
                key = self._read_name(name) if colon else None
                if key is None:
                    fault = fault or ParseError("Bad header line")
                    continue
            elif not colon:
                fault = fault or ParseError("Bad header line")
                continue
            if key in own:
                own[key].append(value.strip())
            else:
                own[key] = [value.strip()]
        return fault

    def _read_name(self, name: str) -> str | None:
        try:
            key = header_key(name)
        except ParseError:
            return None
        if key not in SPELLING:
            self._spelling.setdefault(key, name.strip())
        return key

    def _changed(self, name: str) -> str:
        key = _KEYS.get(name)
        if key is None:
            key = header_key(name)
            self._spelling.setdefault(key, name.strip())
        if key in self.parsed:
            del self.parsed[key]
        return key

    def get(self, name: str) -> str | None:
        """The first line of that name."""
        lines = self.lines.get(header_key(name))
        return lines[0] if lines else None

    def all(self, name: str) -> list[str]:
        """All lines of that name, as they are."""
        return list(self.lines.get(header_key(name), ()))

    def values(self, name: str) -> list[str]:
        """All values of that name: lines with comma-separated lists taken apart, without empty ones."""
        lines = self.lines.get(header_key(name), ())
        return [value for line in lines for value in split_list(line)]

    def add(self, name: str, value: str) -> None:
        """Adds a line below those of the same name."""
        key = self._changed(name)
        line = value if value.isprintable() else one_line(value)
        if key in self.lines:
            self.lines[key].append(line)
        else:
            self.lines[key] = [line]

    def insert(self, name: str, value: str) -> None:
        """Adds a line on top of those of the same name, a new name on top of all."""
        key = self._changed(name)
        if key in self.lines:
            self.lines[key].insert(0, one_line(value))
        else:
            self.lines = {key: [one_line(value)], **self.lines}

    def set(self, name: str, value: str) -> None:
        """Puts one line in the place of all of that name."""
        self.lines[self._changed(name)] = [one_line(value)]

    def replace_first(self, name: str, value: str) -> None:
        """Puts `value` in the place of the first value of that name (not the first line); adds it if there is none."""
        key = self._changed(name)
        lines = self.lines.get(key)
        if not lines:
            self.insert(name, value)
            return
        rest = split_list(lines[0])[1:]
        lines[0] = one_line(", ".join([value, *rest]))

    def remove(self, name: str) -> None:
        """Removes all lines of that name, if there are any."""
        self.lines.pop(self._changed(name), None)

    def copy(self) -> Headers:
        """A copy that can be changed without changing this one."""
        twin = Headers()
        twin.lines = {key: list(lines) for key, lines in self.lines.items()}
        twin.parsed = dict(self.parsed)
        twin._spelling = dict(self._spelling)
        return twin

    def spelling(self, key: str) -> str:
        """The name to write for a key."""
        return SPELLING.get(key) or self._spelling.get(key) or key

    def __contains__(self, name: str) -> bool:
        return header_key(name) in self.lines

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for key, lines in self.lines.items():
            name = self.spelling(key)
            for line in lines:
                yield name, line

    def __len__(self) -> int:
        return sum(map(len, self.lines.values()))

    def __eq__(self, other: object) -> bool:
        return self.lines == other.lines if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A name-addr or addr-spec with header parameters: From, To, Contact, Route, P-Asserted-Identity…

    `display` is without quotes. `str()` of a parsed value is the text that came, so that echoes are exact
    (RFC 3261 §12.1.1 wants the remote URI and tag back as they were).
    """

    display: str | None
    uri: Uri
    params: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    _text: str | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Reads one value. Raises ParseError."""
        text = text.strip()
        end = text.find(">") + 1
        if 0 < end <= _CACHED_LENGTH:
            # the name and URI of a phone come again and again; only tags and the like are new
            start, display, uri = _read_name_cached(text[:end])
            if uri is not None:
                rest = text[end:]
                return cls(display, uri, parse_params(rest) if rest else {}, text)
        start, display, _ = _read_name(text)
        if start < 0:
            return cls(None, *_parse_addr_spec(text), text)
        end = text.find(">", start)
        if end < 0:
            raise ParseError("Unbalanced angle brackets")
        rest = text[end + 1 :]
        return cls(display, Uri.parse(text[start + 1 : end]), parse_params(rest) if rest else {}, text)

    @property
    def tag(self) -> str | None:
        """The dialog tag, None when absent or empty."""
        return self.params.get("tag") or None

    def with_tag(self, tag: str | None) -> NameAddr:
        """The same with another tag, or without one."""
        params = {name: value for name, value in self.params.items() if name != "tag"}
        return self.with_params(params if tag is None else {**params, "tag": tag})

    def with_params(self, params: Mapping[str, str | None]) -> NameAddr:
        """The same display name and URI with these parameters."""
        return NameAddr(self.display, self.uri, params)

    def __str__(self) -> str:
        if self._text is not None:
            return self._text
        text = f"<{self.uri}>{format_params(self.params)}"
        return text if self.display is None else f"{quote(self.display)} {text}"


def _read_name(text: str) -> tuple[int, str | None, Uri | None]:
    """Where `<` is (-1 when nowhere), the display name before it, and the URI when `text` ends with it."""
    if text[:1] == '"':
        end = quoted_end(text)
        display: str | None = unquote(text[:end])
        start = text.find("<", end)
        if start < 0 or text[end:start].strip():
            raise ParseError("Bad name-addr")
    else:
        start = text.find("<")
        display = text[:start].strip() or None if start > 0 else None
        if display is not None and '"' in display:
            start, display = -1, None  # sip:a@b;+sip.instance="<urn:…>": the bracket is in a parameter
    complete = start >= 0 and text.find(">", start) == len(text) - 1
    return start, display, Uri.parse(text[start + 1 : -1]) if complete else None


@lru_cache(maxsize=2048)
def _read_name_cached(text: str) -> tuple[int, str | None, Uri | None]:
    """`_read_name`, or no URI when the bracket at the end of `text` belongs to something else."""
    try:
        return _read_name(text)
    except ParseError:
        return -1, None, None


def _parse_addr_spec(text: str) -> tuple[Uri, dict[str, str | None]]:
    """Without <>, what follows a semicolon belongs to the header, and there must be no ? or comma (RFC 3261 §20.10)."""
    spec, semicolon, params = text.partition(";")
    if "?" in spec or "," in spec:
        raise ParseError("URI needs angle brackets")
    return Uri.parse(spec), parse_params(semicolon + params)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261 §20.42). `transport` is upper case, `host` lower case and without brackets."""

    transport: str
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> Via:
        """Reads one value; spaces around slashes, colons and equals signs are allowed. Raises ParseError."""
        end = text.find(";")
        sent = text if end < 0 else text[:end]
        transport, host, port = _read_sent_cached(sent) if len(sent) <= _CACHED_LENGTH else _read_sent(sent)
        return cls(transport, host, port, {} if end < 0 else parse_params(text[end:]))

    @property
    def branch(self) -> str | None:
        """The branch, None when absent or empty."""
        return self.params.get("branch") or None

    @property
    def rport(self) -> int | None:
        """The port the request came from, once the server has filled it in (RFC 3581). None before."""
        value = self.params.get("rport")
        return int(value) if value and len(value) <= 5 and value.isascii() and value.isdigit() else None

    @property
    def wants_rport(self) -> bool:
        """Whether the client asked for symmetric response routing (RFC 3581 §3)."""
        return "rport" in self.params

    @property
    def received(self) -> str | None:
        """The address the request came from; brackets around IPv6 are tolerated (RFC 5118 §4.5)."""
        value = self.params.get("received")
        return value.strip("[]") or None if value else None

    def with_params(self, **changes: str | None) -> Via:
        """The same with some parameters set; None writes a parameter without value."""
        return Via(self.transport, self.host, self.port, {**self.params, **changes})

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {format_host(self.host)}{port}{format_params(self.params)}"


def _read_sent(sent: str) -> tuple[str, str, int | None]:
    """Transport, host and port of `SIP/2.0/UDP host:port`."""
    protocol, space, sent_by = sent.partition(" ")
    if not space or protocol[:8].upper() != "SIP/2.0/":
        protocol, sent_by = _loose_protocol(sent)
    transport = protocol[protocol.rfind("/") + 1 :].upper()
    if not is_token(transport):
        raise ParseError("Bad Via")
    return transport, *parse_host_port(sent_by.strip())


_read_sent_cached = lru_cache(maxsize=1024)(_read_sent)


def _loose_protocol(sent: str) -> tuple[str, str]:
    """`SIP / 2.0 / UDP host` with white space anywhere. Any version is read: a 505 must find its way back."""
    name, slash, rest = sent.partition("/")
    version, slash_too, rest = rest.partition("/")
    words = rest.split(None, 1)
    if not slash or not slash_too or name.strip().upper() != "SIP" or not is_token(version.strip()) or len(words) != 2:
        raise ParseError("Bad Via")
    return words[0], words[1]


@dataclass(frozen=True, slots=True)
class CSeq:
    """The number and method of a request (RFC 3261 §20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises ParseError; the number must fit 32 bits (RFC 4475 §3.1.2.4), leading zeros are allowed."""
        words = text.split(None, 1)
        if len(words) != 2 or not is_token(words[1]):
            raise ParseError("Bad CSeq")
        return cls(parse_number(words[0], "Bad CSeq"), words[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_number(text: str, reason: str, limit: int = 0xFFFFFFFF) -> int:
    """A decimal number up to `limit`, leading zeros allowed. Raises ParseError with `reason`."""
    if not (text.isascii() and text.isdigit()):
        raise ParseError(reason)
    digits = text.lstrip("0") if len(text) > 10 else text
    if len(digits) > 10 or (number := int(digits or "0")) > limit:
        raise ParseError(reason)
    return number
