"""The head of a message: from bytes to a start line and header lines. What it means is for message.py."""

from __future__ import annotations

from dataclasses import dataclass

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import MAX_LINE, MAX_MESSAGE
from pbxd.sip.headers import Headers, parse_number


@dataclass(slots=True)
class Head:
    """A start line and headers. `fault` is the first thing wrong with the lines; `charset` is what the bytes were read
    as: UTF-8, or Latin-1 when they are not UTF-8, so that an echo has the same bytes."""

    start: str
    headers: Headers
    charset: str
    fault: ParseError | None


def find_end(data: bytes | bytearray, start: int = 0) -> tuple[int, int]:
    """Where the head ends and where the body begins, looking from `start`; (-1, -1) when there is no empty line yet.
    Lines may end with LF alone."""
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start) if end < 0 else data.find(b"\n\n", start, end)
    if bare >= 0:
        return bare, bare + 2
    return (end, end + 3) if end >= 0 else (-1, -1)


def read_head(data: bytes) -> Head:
    """Reads the bytes before the empty line. Faults are kept, not raised, so that a 400 can be sent for them."""
    charset = "utf-8"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        charset = "latin-1"
        text = data.decode(charset)
    lines = text.split("\r\n")
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks:
        lines = [line.rstrip("\r").replace("\r", " ") for line in text.rstrip("\r\n").split("\n")]
    if "\n " in text or "\n\t" in text:
        lines = _unfold(lines)
    start = lines.pop(0)
    headers = Headers()
    if len(text) > MAX_LINE and any(len(line) > MAX_LINE for line in lines):
        fault: ParseError | None = ParseError("Header line too long", 513)
        headers.read([line for line in lines if len(line) <= MAX_LINE])
    else:
        fault = headers.read(lines)
    return Head(start, headers, charset, fault)


def _unfold(lines: list[str]) -> list[str]:
    """RFC 3261 §7.3.1: a line that begins with white space goes on with the one before it."""
    unfolded: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1].append(line.strip(" \t"))
        else:
            unfolded.append([line])
    return [" ".join(parts) for parts in unfolded]


def content_length(headers: Headers) -> int | None:
    """The length of the body, None when the message does not say. Raises ParseError when it is no number, too large,
    or said twice differently (RFC 4475 §3.1.2.3, §3.3.9)."""
    values = headers.lines.get("content-length")
    if values is None:
        return None
    if len(values) > 1 and len(set(values)) > 1:
        raise ParseError("Conflicting Content-Length")
    length = parse_number(values[0], "Bad Content-Length")
    if length > MAX_MESSAGE:
        raise ParseError("Message Too Large", 513)
    return length
