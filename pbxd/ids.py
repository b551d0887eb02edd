"""Identifiers: a prefix that says what a thing is, and a ULID that sorts by the time it was made."""

from __future__ import annotations

import secrets

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str, wall: float) -> str:
    """`prefix_` + a lowercase ULID: 48 bits of `wall` (seconds since the epoch) in ms, then 80 random bits."""
    number = (int(wall * 1000) & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
