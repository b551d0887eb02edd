"""The tones of a telephone network, by country: what they are (`plans.toml`) and how they sound."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from media.sound import Samples, Sound

PLANS = Path(__file__).with_name("plans.toml")

FULL_SCALE_DBM0 = 3.14  # a sine that touches the end of the scale (ITU-T G.711, A-law)
EDGE_S = 0.004  # how long a tone takes to come and go: an edge is a click
ENDLESS_S = 1.0  # whole frequencies in Hz meet their beginning again after this time


class Tone(Enum):
    """What a tone tells. The value is its name in a plan."""

    DIAL = "dial"
    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"
    CALL_WAITING = "call_waiting"
    BEEP = "beep"
    RECORD = "record"


class BadTonePlan(ValueError):
    """A plan that cannot be sounded; the text names country, tone and fault."""


@dataclass(frozen=True, slots=True)
class ToneShape:
    """`hz` sound together, each at `dbm0`, through `cadence` (seconds on, off, on, off ...; empty: on without end).
    A tone that is not `once` may be looped without a seam."""

    hz: tuple[int, ...]
    dbm0: float
    cadence: tuple[float, ...] = ()
    once: bool = False

    def sound(self, rate: int) -> Sound:
        """One turn of the cadence at `rate` Hz."""
        if not self.cadence:
            return Sound(self._on(round(ENDLESS_S * rate), rate, edges=False), rate)
        parts = [
            self._on(round(seconds * rate), rate, edges=True) if at % 2 == 0 else np.zeros(round(seconds * rate))
            for at, seconds in enumerate(self.cadence)
        ]
        return Sound(np.concatenate(parts).astype(np.int16), rate)

    def _on(self, count: int, rate: int, *, edges: bool) -> Samples:
        time = np.arange(count) / rate
        amplitude = 32767 * 10 ** ((self.dbm0 - FULL_SCALE_DBM0) / 20)
        wave = amplitude * np.sum([np.sin(2 * np.pi * hz * time) for hz in self.hz], axis=0)
        if edges:
            ramp = np.minimum(1.0, np.arange(count) / (EDGE_S * rate))
            wave = wave * ramp * ramp[::-1]
        return np.asarray(np.clip(np.round(wave), -32768, 32767), dtype=np.int16)


TonePlan = Mapping[Tone, ToneShape]


def load_plans(path: Path = PLANS) -> dict[str, TonePlan]:
    """Every country's plan in the file at `path`. Raises BadTonePlan, OSError."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTonePlan(f"{path.name}: {error}") from error
    return {country: _plan(country, tones) for country, tones in data.items()}


def _plan(country: str, tones: Any) -> TonePlan:
    if not isinstance(tones, dict):
        raise BadTonePlan(f"{country}: a table of tones is expected")
    missing = sorted({tone.value for tone in Tone} - tones.keys())
    unknown = sorted(tones.keys() - {tone.value for tone in Tone})
    if missing or unknown:
        raise BadTonePlan(f"{country}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}")
    return {tone: _shape(f"{country}.{tone.value}", tones[tone.value]) for tone in Tone}


def _shape(name: str, fields: Any) -> ToneShape:
    try:
        shape = ToneShape(
            hz=tuple(int(hz) for hz in fields["hz"]),
            dbm0=float(fields["dbm0"]),
            cadence=tuple(float(seconds) for seconds in fields.get("cadence", ())),
            once=bool(fields.get("once", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadTonePlan(f"{name}: hz, dbm0 and perhaps cadence and once are expected ({error})") from error
    if not shape.hz or not all(0 < hz < 4000 for hz in shape.hz):
        raise BadTonePlan(f"{name}: frequencies are above 0 and below 4000 Hz")
    if not -60 <= shape.dbm0 <= -3:
        raise BadTonePlan(f"{name}: the level is from -60 to -3 dBm0")
    if len(shape.cadence) % 2 or not all(0 < seconds <= 30 for seconds in shape.cadence):
        raise BadTonePlan(f"{name}: a cadence is pairs of on and off, each up to 30 s")
    return shape
