"""`pbxd recordings`, `rooms` and `sound`: what each verb asks of the daemon, and what people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pbxd import sound_commands
from pbxd.cli import CommandError, Exit, act, build_parser

MEMBER = {
    "call_id": "call_1",
    "caller": "1001",
    "caller_name": "Ann",
    "host": True,
    "muted": False,
    "deaf": False,
    "gain_db": -3.0,
    "talking": True,
}
ROOM = {"name": "700", "locked": True, "waiting": 2, "recording": None, "members": [MEMBER]}
SOUND = {"call_id": "call_1", "muted": ["caller"], "held": [], "playing": [], "listeners": []}
RECORDING = {"id": "rec_1", "state": "recording"}


class Daemon:
    """Answers whatever is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, _arguments: object, method: str, path: str, wish: Any = None, **_more: object) -> Any:
        self.asked.append((method, path.removeprefix("/house/v1"), wish))
        if "/recording" in path:
            return RECORDING
        return ROOM if "/conferences" in path else SOUND


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(sound_commands, "ask", daemon)
    return daemon


def run(*arguments: str) -> Exit:
    return act(build_parser(sound_commands.add_commands).parse_args(arguments))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (
            "recordings start call_1 --channels caller",
            ("POST", "/calls/call_1/recording", {"channels": "caller", "format": None, "announce": None}),
        ),
        ("recordings pause call_1", ("POST", "/calls/call_1/recording/pause", None)),
        ("recordings stop call_1", ("POST", "/calls/call_1/recording/stop", None)),
        ("recordings delete rec_1", ("DELETE", "/recordings/rec_1", None)),
        ("rooms show 700", ("GET", "/conferences/700", None)),
        ("rooms lock 700", ("PATCH", "/conferences/700", {"locked": True})),
        ("rooms unrecord 700", ("PATCH", "/conferences/700", {"recording": False})),
        ("rooms mute 700", ("PATCH", "/conferences/700", {"muted": True})),
        ("rooms mute 700 call_1", ("PATCH", "/conferences/700/members/call_1", {"muted": True})),
        ("rooms undeafen 700 call_1", ("PATCH", "/conferences/700/members/call_1", {"deaf": False})),
        ("rooms volume 700 call_1 -6", ("PATCH", "/conferences/700/members/call_1", {"gain_db": -6.0})),
        ("rooms kick 700 call_1", ("DELETE", "/conferences/700/members/call_1", None)),
        ("rooms end 700", ("POST", "/conferences/700/end", None)),
        ("rooms say 700 hello", ("POST", "/conferences/700/play", {"text": "hello"})),
        ("sound show call_1", ("GET", "/calls/call_1/sound", None)),
        ("sound stop call_1", ("POST", "/calls/call_1/play/stop", {})),
        (
            "sound play call_1 --prompt welcome --to caller",
            ("POST", "/calls/call_1/play", {"text": None, "prompt": "welcome", "to": "caller", "loop": False}),
        ),
        ("sound unmute call_1 caller", ("POST", "/calls/call_1/mute", {"side": "caller", "muted": False})),
        ("sound hold call_1 callee", ("POST", "/calls/call_1/hold", {"side": "callee", "held": True})),
        (
            "sound listen call_1 1003 --mode whisper",
            ("POST", "/calls/call_1/listen", {"extension": "1003", "mode": "whisper", "side": "callee"}),
        ),
    ],
)
def test_each_verb_asks_for_one_thing(daemon: Daemon, words: str, asked: tuple[str, str, Any]) -> None:
    assert run(*words.split()) is Exit.DONE
    assert daemon.asked == [asked]


def test_people_read_who_is_in_a_room(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    run("rooms", "show", "700")
    first, heading, row = capsys.readouterr().out.splitlines()
    assert first == "room 700: locked, 2 waiting, recording -"
    assert heading.split() == ["CALL", "WHO", "HOST", "MUTED", "DEAF", "GAIN", "TALKS"]
    assert row.split() == ["call_1", "1001", "Ann", "host", "-", "-", "-3", "dB", "talks"]
    run("rooms", "show", "700", "--json")
    assert json.loads(capsys.readouterr().out) == ROOM
    run("sound", "show", "call_1")
    assert "muted      caller" in capsys.readouterr().out


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        status = 200
        headers: dict[str, str] = {"Content-Disposition": 'attachment; filename="../../call.wav"'}  # noqa: RUF012
        left = b"RIFF"

        def read(self, _size: int = -1) -> bytes:
            data, self.left = self.left, b""
            return data

    class Connection:
        def request(self, method: str, path: str) -> None:
            assert (method, path) == ("GET", "/house/v1/recordings/rec_1/audio")

        def getresponse(self) -> Answer:
            return Answer()

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sound_commands, "find_socket", lambda _arguments: tmp_path / "socket")
    monkeypatch.setattr(sound_commands, "socket_connection", lambda _place, _timeout: Connection())
    assert run("recordings", "get", "rec_1") is Exit.DONE
    assert (tmp_path / "call.wav").read_bytes() == b"RIFF"  # its name, and no path
    assert run("recordings", "get", "rec_1") is Exit.REFUSED
    assert run("recordings", "get", "rec_1", "-o", "other.wav") is Exit.DONE


def test_what_the_daemon_refuses_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise CommandError("the call is being recorded already", Exit.REFUSED)

    monkeypatch.setattr(sound_commands, "ask", refuse)
    assert run("recordings", "start", "call_1") is Exit.REFUSED
    assert "recorded already" in capsys.readouterr().err
