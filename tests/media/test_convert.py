"""Sound files converted in a process of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from media.convert import convert
from tests.clients.sound import tone_wav


def test_threads_that_convert_the_same_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    source, target = tone_wav(tmp_path, 450.0, 2.0), tmp_path / "converted" / "tone.wav"
    target.parent.mkdir()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(convert, Path(source), target, 8000, 60.0) for _ in range(4)]:
            done.result()
    assert [path.name for path in target.parent.iterdir()] == ["tone.wav"]
