"""Two faxes and what is between them, in virtual time: sound or datagrams, with a delay, seeded loss, and what a test
does to them on the way."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import numpy as np

from media.fax import FaxTransport
from media.fax_session import FaxSession, step
from media.spandsp import FRAME_MS

STEP = FRAME_MS / 1000
Tamper = Callable[[bytes], "bytes | None"]


def companded(frame: bytes) -> bytes:
    """As G.711 (µ-law) leaves it."""
    samples = np.frombuffer(frame, np.int16).astype(np.int32)
    sign, magnitude = np.sign(samples), np.minimum(np.abs(samples) >> 2, 8158) + 33
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    mantissa = magnitude >> (exponent + 1)
    quiet = ((2 * mantissa + 1) << exponent) - 33
    heard: bytes = (sign * (quiet << 2)).clip(-32768, 32767).astype(np.int16).tobytes()
    return heard


class Way:
    """One direction. `loss` is the share of frames or datagrams that never arrive; `tamper` may change or drop them."""

    def __init__(self, loss: float, seed: int, delay: int = 2) -> None:
        self.loss = loss
        self.tamper: Tamper | None = None
        self.cut = False
        self.lost = 0
        self._chance = random.Random(seed)
        self._queue: deque[list[bytes | None]] = deque([[] for _ in range(delay)])

    def carry(self, sent: list[bytes]) -> list[bytes | None]:
        """What goes in now, and what comes out."""
        self._queue.append([self._fate(one) for one in sent])
        return self._queue.popleft()

    def _fate(self, one: bytes) -> bytes | None:
        if self.cut or (self.loss and self._chance.random() < self.loss):
            self.lost += 1
            return None
        return self.tamper(one) if self.tamper is not None else one


class FaxLine:
    """`sender` and `receiver` and both ways between them."""

    def __init__(self, sender: FaxSession, receiver: FaxSession, *, loss: float = 0.0, seed: int = 1) -> None:
        self.sender, self.receiver = sender, receiver
        self.forward, self.backward = Way(loss, seed), Way(loss, seed + 1_000_000)
        self.now = 0.0

    def tick(self) -> None:
        """20 ms."""
        self.now += STEP
        step([self.sender, self.receiver], self.now)
        self._pass(self.sender, self.receiver, self.forward)
        self._pass(self.receiver, self.sender, self.backward)

    def _pass(self, source: FaxSession, to: FaxSession, way: Way) -> None:
        sound = source.transport is FaxTransport.AUDIO
        for one in way.carry(([companded(source.said)] if source.said else []) if sound else source.datagrams):
            if sound and to.transport is FaxTransport.AUDIO:
                to.hear(one)
            elif one is not None:
                to.receive(one, self.now)

    def run(self, limit_s: float = 1800.0) -> None:
        """Until both have ended."""
        while self.sender.outcome is None or self.receiver.outcome is None:
            self.tick()
            assert self.now < limit_s, f"not over after {limit_s} s: {self.sender.outcome} {self.receiver.outcome}"

    def run_until(self, reached: Callable[[], bool], limit_s: float = 600.0) -> None:
        """Until this is so."""
        while not reached():
            self.tick()
            assert self.now < limit_s

    def run_for(self, seconds: float) -> None:
        """So long."""
        until = self.now + seconds
        self.run_until(lambda: self.now >= until)
