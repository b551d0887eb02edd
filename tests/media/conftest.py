"""A running wire, phones for it, and a way to know that the wire thread has seen everything so far."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

import pytest

from media.session import Media, MediaEvent
from media.wire import Wire
from tests.clients.block import Block
from tests.media.speaker import Speaker


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(legs=64, sip_ring=1 << 16)
    wire.start()
    yield wire
    wire.close()


@pytest.fixture
def media(wire: Wire, block: Block) -> Media:
    return Media(wire, block.rtp_pool())


@pytest.fixture
def speakers() -> Iterator[Callable[[], Speaker]]:
    made: list[Speaker] = []

    def make(ip: str = "127.0.0.1") -> Speaker:
        made.append(Speaker(ip))
        return made[-1]

    yield make
    for speaker in made:
        speaker.close()


def next_events(media: Media) -> list[MediaEvent]:
    """Waits until wire has something to tell, and takes it."""
    readable, _, _ = select.select([media.wire.media_fd], [], [], 5)
    assert readable, "no event came"
    return media.events()
