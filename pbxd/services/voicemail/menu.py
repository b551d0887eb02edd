"""One key out of a few: what a caller hears, and what each key does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from media.script import Line, Prompt
from pbxd.calls.stage import Stage
from pbxd.sip.timers import TimerHandle

PATIENCE_S = 6.0
MOST_TURNS = 3

Key = Callable[[float], None]


class Menu:
    """What is on offer on a stage just now. A key may be pressed into the words. After three turns without a key
    `idle` decides."""

    def __init__(self, stage: Stage, idle: Key) -> None:
        self._stage = stage
        self._idle = idle
        self._keys: Mapping[str, Key] = {}
        self._lines: Sequence[Line] = ()
        self._turns = 0
        self._timer: TimerHandle | None = None

    def offer(self, lines: Sequence[Line], keys: Mapping[str, Key], idle: Key | None = None) -> None:
        """Says `lines`, and does what the key pressed stands for."""
        self.close()
        self._keys, self._lines, self._turns = keys, lines, 0
        self._idle = idle or self._idle
        self._say(lines)

    def listen(self, lines: Sequence[Line], keys: Mapping[str, Key]) -> None:
        """Takes keys from now on, while something else is played; a wrong key is answered with `lines`."""
        self.close()
        self._keys, self._lines, self._turns = keys, lines, 0

    def press(self, digit: str, now: float) -> None:
        """A key was pressed."""
        if not self._keys:
            return
        self._cancel()
        self._stage.hush()
        chosen = self._keys.get(digit)
        if chosen is not None:
            self._keys = {}
            chosen(now)
        else:
            self._turn((Prompt("invalid"), *self._lines), now)

    def close(self) -> None:
        """Nothing is on offer any more."""
        self._keys = {}
        self._cancel()

    def _say(self, lines: Sequence[Line]) -> None:
        self._stage.play(lines, lambda _whole, _now: self._await_key())

    def _await_key(self) -> None:
        if self._keys:
            self._timer = self._stage.later(PATIENCE_S, lambda now: self._turn(self._lines, now))

    def _turn(self, lines: Sequence[Line], now: float) -> None:
        self._turns += 1
        if self._turns >= MOST_TURNS:
            self.close()
            self._idle(now)
        else:
            self._say(lines)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
