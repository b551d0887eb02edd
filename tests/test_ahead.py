"""What numbers play is read before anybody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from media.script import Line, Prompt
from pbxd.ahead import played, read_ahead
from pbxd.calls.studio import Studio, Unreadable
from pbxd.directory.model import Extension, ExtensionKind


class Shelf:
    """A studio that reads when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Line, int]] = []
        self.ready: list[Callable[[Any], None]] = []

    def prepare(self, lines: Sequence[Line], language: str, rate: int, ready: Callable[[Any], None]) -> None:
        assert language == "en"
        self.asked += [(line, rate) for line in lines]
        self.ready.append(ready)

    def read(self, result: Any = ()) -> None:
        self.ready.pop(0)(result)


def extension(number: str, kind: ExtensionKind, **options: str) -> Extension:
    return Extension(id=number, account_id="acc_1", number=number, kind=kind, options=options)


def test_one_line_after_the_other_for_both_rates(caplog: pytest.LogCaptureFixture) -> None:
    numbers = [
        extension("900", ExtensionKind.PLAY, play="demo"),
        extension("600", ExtensionKind.ECHO),
        extension("902", ExtensionKind.PLAY, play="broken"),
        extension("903", ExtensionKind.PLAY, play="demo"),
    ]
    lines = played(numbers)
    assert lines == [Prompt("demo"), Prompt("broken")]
    shelf, done = Shelf(), []
    read_ahead(cast(Studio, shelf), lines, "en", lambda: done.append(True))
    assert shelf.asked == [(Prompt("demo"), 8000)]
    shelf.read()
    shelf.read()
    assert shelf.asked[1:] == [(Prompt("demo"), 16000), (Prompt("broken"), 8000)]
    assert done == []
    shelf.read(Unreadable(Prompt("broken"), "it is no sound"))  # not tried again at the other rate
    assert (done, len(shelf.asked), shelf.ready) == ([True], 3, [])
    assert "it is no sound" in caplog.text
