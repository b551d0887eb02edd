"""Human speech for the quality tests, and its judge.

The voices are Debian's `asterisk-core-sounds-*-wav`, 8 kHz: Allison Smith, June Wallack, Carlo Flora (CC-BY-SA 3.0) and
that of ivrvoice.ru (CC-BY 3.0). They are installed for the tests, not shipped.
"""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pesq import pesq

SOUNDS: Final = Path("/usr/share/asterisk/sounds")
VOICES: Final = {
    "allison": SOUNDS / "en_US_f_Allison",
    "carlo": SOUNDS / "it_IT_m_Carlo",
    "june": SOUNDS / "fr_CA_f_June",
    "russian": SOUNDS / "ru_RU_f_IvrvoiceRU",
}
SENTENCES: Final = (
    "vm-options",
    "agent-newlocation",
    "demo-echotest",
    "conf-getpin",
    "vm-rec-busy",
    "privacy-prompt",
    "vm-msginstruct",
)
RATE: Final = 8000


def _read(path: Path) -> npt.NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@cache
def speech(voice: str, seconds: float = 10.0) -> npt.NDArray[np.int16]:
    """So much of one voice: sentences with the pauses between them."""
    pause = np.zeros(RATE * 4 // 10, np.int16)
    pieces: list[npt.NDArray[np.int16]] = [pause]
    paths = sorted(VOICES[voice].glob("*.wav"), key=lambda path: (path.stem not in SENTENCES, path.stem))
    for path in paths:
        if sum(map(len, pieces)) >= seconds * RATE:
            break
        pieces += [_read(path), pause]
    return np.concatenate(pieces)[: int(seconds * RATE)]


def mos(reference: npt.NDArray[np.int16], degraded: npt.NDArray[np.int16], rate: int = RATE) -> float:
    """MOS-LQO of as much as there is of both: P.862.1 for 8 kHz, P.862.2 for 16 kHz."""
    length = min(len(reference), len(degraded))
    return float(pesq(rate, reference[:length], degraded[:length], "nb" if rate == RATE else "wb"))


def wide(pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The same at 16 kHz: nothing above 4 kHz is added."""
    spectrum = np.fft.rfft(pcm.astype(np.float64))
    padded = np.concatenate([spectrum, np.zeros(len(pcm) + 1 - len(spectrum), complex)])
    return np.clip(np.round(2 * np.fft.irfft(padded, 2 * len(pcm))), -32768, 32767).astype(np.int16)
