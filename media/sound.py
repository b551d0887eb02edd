"""Sound in memory: mono 16-bit samples and their rate. What everything that prepares or judges sound hands around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

NARROW_HZ = 8000
WIDE_HZ = 16000


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """`samples` are mono, `rate` is in Hz: 8000 or 16000 wherever wire is to play it."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def dbfs(self) -> float:
        """Its level against a square wave of full scale; -inf for silence."""
        power = float(np.mean(np.square(self.samples, dtype=np.float64))) if len(self.samples) else 0.0
        return 10 * float(np.log10(power / 32768**2)) if power else float("-inf")

    @staticmethod
    def silence(seconds: float, rate: int) -> Sound:
        return Sound(np.zeros(round(seconds * rate), np.int16), rate)
