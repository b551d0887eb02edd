"""What numbers and waiting callers will play is read before the first of them asks: a converted file takes half a
second, and whoever dials first after a start would hear it as silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from media.rooms import Clip
from media.script import Line, Prompt
from media.sound import NARROW_HZ, WIDE_HZ
from pbxd.calls.studio import Studio, Unreadable
from pbxd.directory.model import Extension, ExtensionKind

log = logging.getLogger(__name__)


def played(extensions: Iterable[Extension]) -> list[Line]:
    """What these numbers play, each once."""
    names = [str(one.options["play"]) for one in extensions if one.kind is ExtensionKind.PLAY]
    return [Prompt(name) for name in dict.fromkeys(names)]


def read_ahead(studio: Studio, lines: Sequence[Line], language: str, done: Callable[[], None] = lambda: None) -> None:
    """Reads `lines` one after the other, for both rates, in the studio's threads; who calls meanwhile waits for one of
    them at most. What cannot be read is told in the log, and `done` when all was tried."""
    if not lines:
        done()
        return

    def ready(line: Line, rate: int, clips: list[Clip] | Unreadable) -> None:
        if isinstance(clips, Unreadable):
            log.warning("%s cannot be played: %s", line, clips.why)
        elif rate == NARROW_HZ:
            studio.prepare(lines[:1], language, WIDE_HZ, partial(ready, line, WIDE_HZ))
            return
        read_ahead(studio, lines[1:], language, done)

    studio.prepare(lines[:1], language, NARROW_HZ, partial(ready, lines[0], NARROW_HZ))
