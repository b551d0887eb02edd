"""What was said, in words: by a worker that answers, dies, hangs, talks nonsense; and by the real one, where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from media.transcription import CannotTranscribe, WorkerTranscriber, installed

WORKER = """
import json, os, sys, time
for line in sys.stdin:
    path = json.loads(line)["path"]
    if path == "die":
        sys.exit(1)
    if path == "hang":
        time.sleep(60)
    answer = {"nonsense": "}", "list": "[1]", "refuse": json.dumps({"error": "no sound"}), "empty": "{}"}.get(path)
    print(answer or json.dumps({"text": f" {path}  said\\nby {os.getpid()} "}), flush=True)
"""
VOICE = Path("/usr/share/asterisk/sounds/en_US_f_Allison/vm-instructions.wav")


def worker(patience_s: float = 30.0) -> WorkerTranscriber:
    return WorkerTranscriber((sys.executable, "-c", WORKER), patience_s)


def test_one_process_answers_again_and_again() -> None:
    transcriber = worker()
    first, second = (transcriber.transcribe(Path(name)) for name in ("one", "two"))
    assert first.startswith("one said by ")
    assert first.rpartition(" ")[2] == second.rpartition(" ")[2]
    transcriber.close()


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("die", "no line"),
        ("hang", "it took too long"),
        ("nonsense", "does not answer"),
        ("list", "no object"),
    ],
)
def test_one_that_fails_costs_one_transcript(what: str, why: str) -> None:
    transcriber = worker(patience_s=3.0)
    before = transcriber.transcribe(Path("one"))
    with pytest.raises(CannotTranscribe, match=why):
        transcriber.transcribe(Path(what))
    after = transcriber.transcribe(Path("one"))  # another process
    assert before != after
    transcriber.close()


@pytest.mark.parametrize(("what", "why"), [("refuse", "no sound"), ("empty", "no answer")])
def test_what_it_cannot_do_is_told(what: str, why: str) -> None:
    transcriber = worker()
    with pytest.raises(CannotTranscribe, match=why):
        transcriber.transcribe(Path(what))
    transcriber.close()


def test_it_ends_when_nobody_asks_and_comes_back() -> None:
    transcriber = worker()
    before = transcriber.transcribe(Path("one"))
    transcriber.tidy()
    assert transcriber.transcribe(Path("one")) == before
    transcriber.tidy()
    transcriber.tidy()
    assert transcriber.transcribe(Path("one")) != before
    transcriber.close()
    with pytest.raises(CannotTranscribe, match="the house stops"):
        transcriber.transcribe(Path("one"))


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CannotTranscribe, match="cannot be started"):
        WorkerTranscriber(("/nowhere/at/all",)).transcribe(Path("one"))


@pytest.mark.skipif(not installed(), reason="the extra `transcripts` is not installed")
def test_the_engine_understands_a_human_voice() -> None:
    transcriber = WorkerTranscriber()
    said = transcriber.transcribe(VOICE).lower()
    assert "message" in said
    transcriber.close()
