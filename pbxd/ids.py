"""Identifiers: a prefix that says what a thing is, and a ULID that sorts by the time it was made."""

from __future__ import annotations

import secrets

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]  # ten bits at a time


def new_id(prefix: str, wall: float) -> str:
    """`prefix_` + a lowercase ULID: 48 bits of `wall` (seconds since the epoch) in ms, then 80 random bits."""
    number = (int(wall * 1000) & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
