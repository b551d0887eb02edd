"""Bodies of several parts (RFC 2046 §5.1, RFC 5621): finding the one that matters."""

from __future__ import annotations

from typing import Final

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import parse_params

MAX_PARTS: Final = 32
MAX_DEPTH: Final = 3


def find_part(content_type: str, body: bytes, wanted: str, depth: int = MAX_DEPTH) -> bytes | None:
    """The content of the first part of media type `wanted` (lower case, without parameters): the body itself, or a
    part of it at any of `depth` levels of nesting. None when there is none, or the body cannot be taken apart."""
    media_type, semicolon, params = content_type.partition(";")
    media_type = media_type.replace(" ", "").lower()
    if media_type == wanted:
        return body
    if not media_type.startswith("multipart/") or depth == 0:
        return None
    try:
        boundary = parse_params(semicolon + params).get("boundary")
    except ParseError:
        return None
    if not boundary or len(boundary) > 70:
        return None
    for part in _split(body, boundary.encode()):
        part_type, content = _read_part(part)
        if (found := find_part(part_type, content, wanted, depth - 1)) is not None:
            return found
    return None


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """The parts between delimiter lines. The close delimiter may be missing; preamble and epilogue are no parts."""
    delimiter = b"\n--" + boundary
    parts: list[bytes] = []
    for piece in (b"\n" + body).split(delimiter, MAX_PARTS + 1)[1 : MAX_PARTS + 1]:
        rest, _, part = piece.partition(b"\n")
        if rest.startswith(b"--"):
            break
        if not rest.strip():
            parts.append(part)
        elif parts:  # a longer word that begins like the delimiter
            parts[-1] += delimiter + piece
    return [part.removesuffix(b"\r") for part in parts]


def _read_part(part: bytes) -> tuple[str, bytes]:
    """The content type (text/plain when not given) and content of a part."""
    if part.startswith((b"\r\n", b"\n")):
        return "text/plain", part.partition(b"\n")[2]
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := part.find(mark)) >= 0]
    if not ends:
        return "text/plain", b""
    at, length = min(ends)
    head = part[:at].decode(errors="replace").replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ")
    for line in head.split("\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return value.strip(), part[at + length :]
    return "text/plain", part[at + length :]
