"""The seam for whoever wants to see every message: the shells tell it, and it tells nobody anything back."""

from __future__ import annotations

from typing import Protocol


class SipTracer(Protocol):
    """Told of each message that came or went, whole; must be quick, and must not raise."""

    def sip(
        self, outward: bool, data: bytes, transport: str, local: tuple[str, int], remote: tuple[str, int], now: float
    ) -> None: ...
