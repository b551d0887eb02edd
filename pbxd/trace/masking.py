"""Makes blind what nobody who reads a trace may learn: digest answers, SRTP keys, dialled secrets.

A secret is replaced by as many asterisks: every length in the message, and so its framing, stays right.

All messages of a call are looked through at once, in small letters, with expressions that begin with a plain byte:
that costs a quarter of looking at each by itself (1 µs a message).
"""

from __future__ import annotations

import re

# In small letters, and after the end of a line; long enough not to be found by chance in the heads of rows
_TELLING = re.compile(
    rb"\n(?:a(?:uth(?:orization|entication-info)[ \t]*:|=(?:crypto|key-mgmt|ice-pwd):)"
    rb"|proxy-auth(?:orization|entication-info)[ \t]*:|k=[a-z][a-z0-9-]{3,}|signal[ \t]*=)"
)
_PASSWORD_IN_URI = re.compile(rb"sips?:[^\s:@;>\"]+:([^\s@;>\"]+)@")
_FOLDED = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*")
_PARAMETER = re.compile(
    rb'\b(?:response|rspauth|cnonce|auth|password)[ \t]*=[ \t]*(?:"([^"]*)|([^\s,;"]+))', re.IGNORECASE
)
_WHOLE = re.compile(rb"[^:]*:[ \t]*(?:basic|bearer)[ \t]+(.*)", re.IGNORECASE | re.DOTALL)
_INLINE = re.compile(rb"inline:[ \t]*([^\s|;]+)", re.IGNORECASE)
_VALUE = re.compile(rb"(?:a=ice-pwd:|a=key-mgmt:[ \t]*\S+[ \t]|k=(?:[^:\n]*:)?|signal[ \t]*=)[ \t]*(.*)", re.IGNORECASE)


def masked(data: bytes) -> bytes:
    """The message with every secret in it made of asterisks; as long as before. Also for many messages at once, with a
    line feed between them."""
    small = b"\n" + data.lower()
    told = list(_TELLING.finditer(small))
    uris = list(_PASSWORD_IN_URI.finditer(small)) if b"@" in data else []
    if not told and not uris:
        return data
    blind = bytearray(data)
    for found in told:
        _blind_line(blind, found.start())  # the line feed in front is not in `data`
    for found in uris:
        _blind(blind, found.start(1) - 1, found.end(1) - 1)
    return bytes(blind)


def _blind_line(blind: bytearray, start: int) -> None:
    found = _FOLDED.match(blind, start)
    line = bytes(found.group()) if found is not None else b""
    whole = _WHOLE.match(line)
    letter = line[:1].lower()
    if letter in (b"k", b"s") or line[:3].lower() in (b"a=k", b"a=i"):
        pattern = _VALUE
    elif letter == b"a" and line[1:2] == b"=":
        pattern = _INLINE
    else:
        pattern = _PARAMETER
    if whole is not None and pattern is _PARAMETER:
        _blind(blind, start + whole.start(1), start + len(line))
        return
    for secret in pattern.finditer(line):
        group = secret.lastindex or 0
        _blind(blind, start + secret.start(group), start + secret.end(group))


def _blind(blind: bytearray, start: int, end: int) -> None:
    blind[start:end] = bytes(byte if byte in b"\r\n" else 0x2A for byte in blind[start:end])
