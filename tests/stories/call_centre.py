"""The house of stories of queues: music that can be told from phones, short times, and keys of several kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from media import wav
from media.tones import ToneShape

MUSIC_HZ = 1900.0
EDGE_KEY, OTHER_KEY, CALLS_KEY = "edge-key-of-lab", "key-of-the-other", "key-for-calls-only"


def music(folder: Path) -> str:
    """A folder with one tune."""
    tunes = folder / "tunes"
    tunes.mkdir(parents=True)
    wav.write(tunes / "tune.wav", ToneShape((int(MUSIC_HZ),), -15, (2.0, 0.0)).sound(8000))
    return str(tunes)


def settings(folder: Path) -> dict[str, Any]:
    return {
        "sound.music": music(folder),
        "queues.support.agent_ring_timeout_s": 5,
        "queues.support.wrap_up_s": 1,
        "keys.node": {"secret": EDGE_KEY, "scopes": ["edge"]},
        "keys.calls": {"secret": CALLS_KEY, "scopes": ["calls:read"]},
        "accounts.other.keys": {"theirs": {"secret": OTHER_KEY, "scopes": ["*"]}},
    }
