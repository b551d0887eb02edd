"""Makes blind what nobody who reads a trace may learn: digest answers, SRTP keys, dialled secrets.

A secret is replaced by as many asterisks: every length in the message, and so its framing, stays right.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    rb"^(?:(?:proxy-)?authorization|(?:proxy-)?authentication-info|identity)[ \t]*:.*(?:\r?\n[ \t].*)*"
    rb"|^a=crypto:.*|^a=key-mgmt:.*|^k=.*",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER = re.compile(
    rb'\b(?:response|rspauth|cnonce|auth|password)[ \t]*=[ \t]*(?:"([^"]*)|([^\s,;"]+))', re.IGNORECASE
)
_WHOLE = re.compile(rb"^[^:=]*[:=][ \t]*(?:basic|bearer)[ \t]+(.*)", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(rb"inline:[ \t]*([^\s|;]+)|^k=[^:\r\n]*:?(.*)|^a=key-mgmt:\s*\S+\s+(.*)", re.IGNORECASE)
_DIGITS = re.compile(rb"^(?:signal[ \t]*=[ \t]*)([0-9A-D*#]+)", re.IGNORECASE | re.MULTILINE)
_PASSWORD_IN_URI = re.compile(rb"sips?:[^\s:@;>\"]+:([^\s@;>\"]+)@", re.IGNORECASE)


def masked(data: bytes) -> bytes:
    """The message with every secret in it made of asterisks; as long as before."""
    data = _LINE.sub(_blind_line, data)
    if b"ignal" in data or b"IGNAL" in data:
        data = _DIGITS.sub(_blind, data)
    return _PASSWORD_IN_URI.sub(_blind, data)


def _blind_line(found: re.Match[bytes]) -> bytes:
    line = found.group()
    whole = _WHOLE.match(line)
    if whole is not None:
        return line[: whole.start(1)] + _stars(whole.group(1))
    pattern = _KEY if line[:2].lower() in (b"a=", b"k=") else _PARAMETER
    return pattern.sub(_blind, line)


def _blind(found: re.Match[bytes]) -> bytes:
    group = found.lastindex or 0
    start, end = found.start(group) - found.start(), found.end(group) - found.start()
    text = found.group()
    return text[:start] + _stars(text[start:end]) + text[end:]


def _stars(secret: bytes) -> bytes:
    return bytes(byte if byte in b"\r\n" else 0x2A for byte in secret)
