"""What state tables and look-ups are keyed by."""

from __future__ import annotations

from enum import Enum


class Symbol(Enum):
    """An Enum that hashes by identity: tables are looked up for every message and every timer, and Enum's own hash
    is computed in Python each time."""

    __hash__ = object.__hash__
