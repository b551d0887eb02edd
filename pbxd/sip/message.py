"""Requests and responses: read and checked once at the edge, with typed views on their headers (RFC 3261 §7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import MAX_LINE, MAX_MESSAGE, MAX_VALUES, is_token, one_line, split_list
from pbxd.sip.head import Head, content_length, find_end, read_head
from pbxd.sip.headers import SPELLING, CSeq, Headers, NameAddr, Via
from pbxd.sip.multipart import find_part
from pbxd.sip.status import REASON_PHRASES, reason_phrase
from pbxd.sip.uri import Uri

__all__ = [
    "REASON_PHRASES",
    "STAR",
    "Message",
    "Request",
    "Response",
    "parse_message",
    "response_to",
]

STAR: Final[list[NameAddr]] = []  # what `contacts` is for `Contact: *`: compare with `is`

_VERSION: Final = "SIP/2.0"
_MANDATORY: Final = ("via", "from", "to", "call-id", "cseq")  # RFC 3261 §8.1.1; RFC 2543 has no Max-Forwards
_STRICT: Final = ("via", "record-route")  # lists that must be readable in a response too
_FORMING: Final = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})
_UNREADABLE: Final = Uri("", None, "", text="")
_Value = TypeVar("_Value")


class Message:
    """What requests and responses share: headers, a body, and typed views on the headers.

    Views are read when first asked for and kept until the header changes; they are frozen by convention. Of a message
    that came from `parse_message` or `StreamParser` no view raises; of one built here a view raises ParseError when
    the header is missing or wrong.
    """

    __slots__ = ("body", "charset", "headers")

    def __init__(self, headers: Headers | None = None, body: bytes = b"", *, charset: str = "utf-8") -> None:
        self.headers = Headers() if headers is None else headers
        self.body = body
        self.charset = charset

    # -- the headers every message has

    @property
    def via(self) -> Via:
        """The topmost Via."""
        vias: list[Via] | None = self.headers.parsed.get("via") or self.vias
        if not vias:
            raise ParseError("Missing Via")
        return vias[0]

    @property
    def vias(self) -> list[Via]:
        """All Vias, topmost first."""
        return self._list("via", Via.parse)

    @property
    def from_(self) -> NameAddr:
        """From."""
        return self._single("from", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        """To."""
        return self._single("to", NameAddr.parse)

    @property
    def call_id(self) -> str:
        """Call-ID."""
        lines = self.headers.lines.get("call-id")
        if not lines:
            raise ParseError("Missing Call-ID")
        return lines[0]

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        return self._single("cseq", CSeq.parse)

    # -- headers that may be there

    @property
    def contacts(self) -> list[NameAddr]:
        """All contacts; the list `STAR` itself for `Contact: *`. Of a response, unreadable ones are left out."""
        lines = self.headers.lines.get("contact")
        if lines is None:
            return []
        if lines == ["*"]:
            return STAR
        return self._list("contact", NameAddr.parse)

    @property
    def routes(self) -> list[NameAddr]:
        """Route, first hop first."""
        return self._list("route", NameAddr.parse)

    @property
    def record_routes(self) -> list[NameAddr]:
        """Record-Route, topmost first."""
        return self._list("record-route", NameAddr.parse)

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None when absent (RFC 2543) or no number. More than 255 counts as 255 (RFC 4475 §3.1.2.4)."""
        lines = self.headers.lines.get("max-forwards")
        hops = parse_seconds(lines[0]) if lines else None
        return hops if hops is None else min(hops, 255)

    @property
    def expires(self) -> int | None:
        """Expires in seconds, None when absent or no number (RFC 3261 §10.3); never more than 2^32-1."""
        lines = self.headers.lines.get("expires")
        return parse_seconds(lines[0]) if lines else None

    @property
    def require(self) -> frozenset[str]:
        """Option tags of Require, in lower case."""
        return self._tags("require", str.lower)

    @property
    def proxy_require(self) -> frozenset[str]:
        """Option tags of Proxy-Require, in lower case."""
        return self._tags("proxy-require", str.lower)

    @property
    def supported(self) -> frozenset[str]:
        """Option tags of Supported, in lower case."""
        return self._tags("supported", str.lower)

    @property
    def allow(self) -> frozenset[str]:
        """Methods of Allow, in upper case."""
        return self._tags("allow", str.upper)

    @property
    def content_type(self) -> str | None:
        """The media type of the body in lower case, without parameters."""
        lines = self.headers.lines.get("content-type")
        return lines[0].partition(";")[0].replace(" ", "").lower() or None if lines else None

    def part(self, content_type: str) -> bytes | None:
        """The body, or the first part of a multipart body (RFC 2046 §5.1, RFC 5621), that has this media type."""
        lines = self.headers.lines.get("content-type")
        return find_part(lines[0], self.body, content_type.lower()) if lines else None

    # -- reading and keeping

    def _single(self, key: str, parse: Callable[[str], _Value]) -> _Value:
        value: _Value | None = self.headers.parsed.get(key)
        if value is None:
            lines = self.headers.lines.get(key)
            if not lines:
                raise ParseError(f"Missing {SPELLING[key]}")
            value = self.headers.parsed[key] = parse(lines[0])
        return value

    def _list(self, key: str, parse: Callable[[str], _Value]) -> list[_Value]:
        values: list[_Value] | None = self.headers.parsed.get(key)
        if values is None:
            lines = self.headers.lines.get(key)
            if lines is None:
                return []
            texts = split_list(lines[0])
            for line in lines[1:]:
                texts += split_list(line)
            if len(texts) > MAX_VALUES:
                raise ParseError(f"Too many values of {SPELLING[key]}")
            values = self.headers.parsed[key] = self._read_list(key, texts, parse)
        return values

    def _read_list(self, key: str, texts: list[str], parse: Callable[[str], _Value]) -> list[_Value]:
        return [parse(text) for text in texts]

    def _tags(self, key: str, fold: Callable[[str], str]) -> frozenset[str]:
        tags: frozenset[str] | None = self.headers.parsed.get(key)
        if tags is None:
            lines = self.headers.lines.get(key, ())
            tags = self.headers.parsed[key] = frozenset(fold(tag) for line in lines for tag in split_list(line))
        return tags

    # -- writing

    def _start_line(self) -> str:
        raise ParseError("A message is a request or a response")

    def to_bytes(self) -> bytes:
        """The message for the wire. Content-Length is always there and right; no value can begin a new line."""
        lines = [one_line(self._start_line())]
        spelling, own = SPELLING, self.headers
        for key, values in own.lines.items():
            if key != "content-length":
                name = spelling.get(key) or own.spelling(key)
                if len(values) == 1:
                    lines.append(f"{name}: {values[0]}")
                else:
                    lines += [f"{name}: {value}" for value in values]
        lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        breaks = len(lines) - 1
        if head.count("\n") != breaks or head.count("\r") != breaks:
            head = "\r\n".join(map(one_line, lines))
        try:
            return head.encode(self.charset) + b"\r\n\r\n" + self.body
        except UnicodeEncodeError:
            return head.encode(errors="replace") + b"\r\n\r\n" + self.body

    def __repr__(self) -> str:
        return f"<{self._start_line()}>"


class Request(Message):
    """A request. Methods are case-sensitive (RFC 3261 §7.1)."""

    __slots__ = ("method", "uri")

    def __init__(
        self, method: str, uri: Uri, headers: Headers | None = None, body: bytes = b"", *, charset: str = "utf-8"
    ) -> None:
        super().__init__(headers, body, charset=charset)
        self.method = method
        self.uri = uri

    def copy(self) -> Request:
        """A request with its own headers."""
        return Request(self.method, self.uri, self.headers.copy(), self.body, charset=self.charset)

    def _start_line(self) -> str:
        return f"{self.method} {self.uri} {_VERSION}"


class Response(Message):
    """A response. Without `reason` the registered phrase is used."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        charset: str = "utf-8",
    ) -> None:
        super().__init__(headers, body, charset=charset)
        self.status = status
        self.reason = reason_phrase(status) if reason is None else reason

    def copy(self) -> Response:
        """A response with its own headers."""
        return Response(self.status, self.reason, self.headers.copy(), self.body, charset=self.charset)

    def _read_list(self, key: str, texts: list[str], parse: Callable[[str], _Value]) -> list[_Value]:
        if key in _STRICT:
            return [parse(text) for text in texts]
        values = []
        for text in texts:
            try:
                values.append(parse(text))
            except ParseError:
                continue
        return values

    def _start_line(self) -> str:
        return f"{_VERSION} {self.status} {self.reason}"


def parse_seconds(text: str) -> int | None:
    """A delta-seconds value; None when it is no number. Overlarge ones become 2^32-1 (RFC 3261 §20.19)."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return 0xFFFFFFFF if len(digits) > 10 else min(int(digits or "0"), 0xFFFFFFFF)


def parse_message(data: bytes) -> Request | Response:
    """Reads and checks one datagram (RFC 3261 §7, §8.2, §18.3).

    Raises ParseError and nothing else; its `request` is set when the sender can be told.
    """
    if len(data) > MAX_MESSAGE:
        raise ParseError("Message Too Large", 513)
    data = data.lstrip(b"\r\n")  # RFC 3261 §7.5
    end, body_start = find_end(data)
    if end < 0:
        if not data.endswith(b"\n"):
            raise ParseError("Truncated message")
        end = body_start = len(data)  # Not what RFC 3261 §7 says: some peers forget the empty line after no body
    head = read_head(data[:end].removesuffix(b"\r") if end < body_start else data.rstrip(b"\r\n"))
    try:
        length = content_length(head.headers)
        if length is None:
            body = data[body_start:]
        else:
            body = data[body_start : body_start + length]
            if len(body) < length:
                raise ParseError("Body shorter than Content-Length")
    except ParseError as error:
        error.request = answerable(head)
        raise
    return assemble(head, body)


def assemble(head: Head, body: bytes) -> Request | Response:
    """A checked message of a head and its body. Raises ParseError, with `request` when the sender can be told."""
    try:
        message: Request | Response
        if head.start[:4].upper() == "SIP/":
            message = _read_status_line(head.start)
        else:
            message = _read_request_line(head.start)
        message.headers = head.headers
        message.charset = head.charset
        message.body = body
        if head.fault is not None:
            raise head.fault
        _check(message)
    except ParseError as error:
        error.request = answerable(head)
        raise
    return message


def _read_request_line(line: str) -> Request:
    """RFC 3261 §7.1: exactly one space between the three parts."""
    if len(line) > MAX_LINE:
        raise ParseError("Request-URI Too Long", 414)
    parts = line.split(" ")
    if len(parts) != 3:
        raise ParseError("Bad request line")
    method, uri, version = parts
    version = version.upper()
    if version != _VERSION:
        raise ParseError("Version Not Supported", 505) if version[:4] == "SIP/" else ParseError("Bad request line")
    if not (method.isalpha() and method.isascii()) and not is_token(method):
        raise ParseError("Bad method")
    return Request(method, Uri.parse(uri))


def _read_status_line(line: str) -> Response:
    """RFC 3261 §7.2; the reason phrase may be empty."""
    version, _, rest = line.partition(" ")
    status, _, reason = rest.partition(" ")
    if version.upper() != _VERSION or len(status) != 3 or not (status.isascii() and status.isdigit()):
        raise ParseError("Bad status line")
    if not 100 <= int(status) <= 699:
        raise ParseError("Bad status code")
    return Response(int(status), reason)


def _check(message: Request | Response) -> None:
    """What must be there, once, and readable; for a request everything a view can be asked for."""
    lines, parsed = message.headers.lines, message.headers.parsed
    for key in _MANDATORY:
        values = lines.get(key)
        if values is None:
            raise ParseError(f"Missing {SPELLING[key]}")
        if len(values) > 1 and key != "via":
            raise ParseError(f"Multiple {SPELLING[key]}")
    if not lines["call-id"][0]:
        raise ParseError("Bad Call-ID")
    _ = message.via
    parsed["from"] = NameAddr.parse(lines["from"][0])
    parsed["to"] = NameAddr.parse(lines["to"][0])
    cseq = parsed["cseq"] = CSeq.parse(lines["cseq"][0])
    if isinstance(message, Request):
        if cseq.method != message.method:
            raise ParseError("CSeq method does not match")
        if "contact" in lines:
            _ = message.contacts
        if "route" in lines:
            _ = message.routes
        if "max-forwards" in lines:
            if len(lines["max-forwards"]) > 1:
                raise ParseError("Multiple Max-Forwards")
            if message.max_forwards is None:
                raise ParseError("Bad Max-Forwards")
    if "record-route" in lines:
        _ = message.record_routes


def answerable(head: Head) -> Request | None:
    """The best that can be made of a faulty request: enough for `response_to`, or None when it must not be answered.

    A Via whose address can be read is all it takes (RFC 4475 §3.3.1 wants a 400 even without From, To and Call-ID);
    the Vias that cannot be read are left out.
    """
    method = head.start.split(" ", 1)[0]
    if method == "ACK" or not is_token(method):
        return None
    vias: list[Via] = []
    for text in head.headers.values("Via")[:MAX_VALUES]:
        try:
            vias.append(_parse_via_loosely(text) if not vias else Via.parse(text))
        except ParseError:
            break
    if not vias:
        return None
    headers = head.headers.copy()
    headers.lines["via"] = [str(via) for via in vias]
    headers.parsed = {"via": vias}
    return Request(method, _UNREADABLE, headers, charset=head.charset)


def _parse_via_loosely(text: str) -> Via:
    try:
        return Via.parse(text)
    except ParseError:
        return Via.parse(text.partition(";")[0])


def response_to(request: Request, status: int, reason: str | None = None, *, to_tag: str | None = None) -> Response:
    """A response with what RFC 3261 §8.2.6 copies from the request: Via, From, To, Call-ID, CSeq; Record-Route where
    the response may form a dialog (§12.1.1), Timestamp in a 100 (§8.2.6.1). `to_tag` is added when To has no tag.
    """
    source = request.headers
    lines: dict[str, list[str]] = {}
    parsed: dict[str, Any] = {}
    for key in _MANDATORY:
        if key in source.lines:
            lines[key] = list(source.lines[key]) if key == "via" else source.lines[key][:1]
            if key in source.parsed and not (key == "to" and to_tag):
                parsed[key] = source.parsed[key]
    if to_tag and "to" in lines and not _has_tag(request):
        lines["to"] = [f"{lines['to'][0].rstrip('; ')};tag={to_tag}"]
    if 100 < status < 300 and request.method in _FORMING and "record-route" in source.lines:
        lines["record-route"] = list(source.lines["record-route"])
    if status == 100 and "timestamp" in source.lines:
        lines["timestamp"] = source.lines["timestamp"][:1]
    headers = Headers()
    headers.lines = lines
    headers.parsed = parsed
    return Response(status, reason, headers, charset=request.charset)


def _has_tag(request: Request) -> bool:
    """A To that cannot be read counts as tagged: nothing can safely be added to it."""
    try:
        return request.to.tag is not None
    except ParseError:
        return True
