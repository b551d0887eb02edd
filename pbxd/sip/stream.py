"""Messages out of a byte stream (RFC 3261 §18.3, §7.5; keep-alives of RFC 5626 §3.5.1)."""

from __future__ import annotations

from enum import Enum

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import MAX_MESSAGE
from pbxd.sip.head import Head, content_length, find_end, read_head
from pbxd.sip.message import Request, Response, answerable, assemble


class KeepAlive(Enum):
    """Line breaks between messages. PING wants one CRLF back; PONG is that CRLF, or the first half of a PING whose
    second half is still to come. Either proves that the peer is there."""

    PING = "CRLF CRLF"
    PONG = "CRLF"


class StreamParser:
    """Takes one connection's bytes apart. At most one message of 64 KiB is held.

    A message that cannot be read comes out as a ParseError, in order, and parsing goes on. Where the next message
    begins cannot be known after a bad Content-Length or an endless head: then `needs_close` is set, the rest is
    thrown away, and the shell closes the connection after answering.
    """

    __slots__ = ("_body_length", "_buffer", "_head", "_head_bytes", "_scanned", "needs_close", "raw")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no empty line begins before this index
        self._head: Head | None = None  # read, its body still to come
        self._head_bytes = b""
        self._body_length = 0
        self.needs_close = False
        self.raw: list[bytes] = []  # of the last `feed`: what each of its results was read from

    @property
    def pending(self) -> int:
        """Bytes held of an unfinished message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Request | Response | ParseError | KeepAlive]:
        """Adds bytes and returns what is complete."""
        results: list[Request | Response | ParseError | KeepAlive] = []
        self.raw = []
        if self.needs_close:
            return results
        self._buffer += data
        while not self.needs_close:
            result = self._next_body() if self._head is not None else self._next_head()
            if result is None:
                break
            results.append(result)
            if isinstance(result, KeepAlive):
                self.raw.append(b"")
        return results

    def _next_head(self) -> Request | Response | ParseError | KeepAlive | None:
        buffer = self._buffer
        if buffer.startswith((b"\r", b"\n")):
            return self._next_line_break()
        end, body_start = find_end(buffer, self._scanned)
        if end < 0 or body_start > MAX_MESSAGE:
            if len(buffer) > MAX_MESSAGE:
                error = ParseError("Message Too Large", 513)
                error.request = answerable(read_head(bytes(buffer[:MAX_MESSAGE])))
                return self._fail(error)
            self._scanned = max(0, len(buffer) - 2)
            return None
        self._head_bytes = bytes(buffer[:body_start])
        head = read_head(bytes(buffer[:end]).removesuffix(b"\r"))
        del buffer[:body_start]
        self._scanned = 0
        try:
            # Not what RFC 3261 §20.14 says: a stream message without Content-Length counts as one without body
            self._body_length = content_length(head.headers) or 0
        except ParseError as error:
            error.request = answerable(head)
            return self._fail(error)
        self._head = head
        return self._next_body()

    def _next_line_break(self) -> KeepAlive | None:
        buffer = self._buffer
        if buffer.startswith(b"\r\n\r\n"):
            del buffer[:4]
            return KeepAlive.PING
        if buffer == b"\r":
            return None
        del buffer[: 2 if buffer.startswith(b"\r\n") else 1]
        return KeepAlive.PONG

    def _next_body(self) -> Request | Response | ParseError | None:
        head, length = self._head, self._body_length
        if head is None or len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        self.raw.append(self._head_bytes + body)
        self._head_bytes = b""
        try:
            return assemble(head, body)
        except ParseError as error:
            return error

    def _fail(self, error: ParseError) -> ParseError:
        self.needs_close = True
        self.raw.append((self._head_bytes + self._buffer)[:MAX_MESSAGE])
        self._buffer.clear()
        self._head = None
        return error
