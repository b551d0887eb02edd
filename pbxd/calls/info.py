"""Digits in INFO requests: what phones send that do not send RFC 4733 (RFC 2976; the bodies are nobody's standard).

application/dtmf-relay   Signal=5\r\nDuration=160      application/dtmf   5
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pbxd.sip.message import Request

DURATION_MS = 160
LONGEST_MS = 5000
RELAY = "application/dtmf-relay"
PLAIN = "application/dtmf"
_DIGITS = "0123456789*#ABCD"
_CODES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
_FIELD = re.compile(rb"^[ \t]*(signal|duration)[ \t]*=[ \t]*([^\r\n]{0,16}?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pressed:
    """One digit, 0-9 * # A-D, and how long it was pressed."""

    digit: str
    duration_ms: int = DURATION_MS


def pressed_in(request: Request) -> Pressed | None:
    """The digit that an INFO carries; None when it carries none, or none that there is."""
    kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind == RELAY:
        fields = {name.lower(): value.decode("ascii", "replace") for name, value in _FIELD.findall(request.body)}
        return _pressed(fields.get(b"signal", ""), fields.get(b"duration", ""))
    if kind == PLAIN:
        return _pressed(request.body[:16].decode("ascii", "replace").strip(), "")
    return None


def _pressed(signal: str, duration: str) -> Pressed | None:
    digit = _CODES.get(signal, signal.upper())
    if len(digit) != 1 or digit not in _DIGITS:
        return None
    known = duration.isascii() and duration.isdecimal()
    return Pressed(digit, min(max(int(duration), 40), LONGEST_MS) if known else DURATION_MS)
