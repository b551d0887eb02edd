"""Which UDP ports are free: pairs, RTP on the even one and RTCP above it (RFC 3550 §11)."""

from __future__ import annotations

from collections import deque


class OutOfPorts(Exception):
    """Every pair of the range is in use or resting."""


class OutOfFiles(OutOfPorts):
    """The process, or the machine, has no descriptors or no memory left for sockets."""


class PortPool:
    """Hands out the pairs of `first`–`last` in turn, so that a port that was freed rests the longest.

    A pair given back is not handed out for `rest_s` seconds even when all others are taken: packets of the call that
    had it may still be on their way. Raises ValueError when the range holds no pair.
    """

    def __init__(self, first: int, last: int, *, rest_s: float = 2.0) -> None:
        ports = range(first + first % 2, last, 2)
        if not ports or first < 1 or last > 65535:
            raise ValueError(f"no pair of UDP ports in {first}-{last}")
        self.rest_s = rest_s
        self._free = deque((port, 0.0) for port in ports)
        self._taken: set[int] = set()
        self.size = len(ports)

    @property
    def in_use(self) -> int:
        """Pairs that are handed out."""
        return len(self._taken)

    def take(self, now: float) -> int:
        """The even port of a free pair. Raises OutOfPorts."""
        if not self._free or self._free[0][1] > now:
            raise OutOfPorts(f"{self.in_use} of {self.size} RTP port pairs in use, {len(self._free)} resting")
        port, _ = self._free.popleft()
        self._taken.add(port)
        return port

    def give_back(self, port: int, now: float) -> None:
        """Ends the use of a pair; it rests, then waits for its turn."""
        self._taken.remove(port)
        self._free.append((port, now + self.rest_s))
