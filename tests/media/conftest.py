"""A running wire, phones for it, and a way to know that the wire thread has seen everything so far."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

import pytest

from media.ports import PortPool
from media.session import Media, MediaEvent
from media.wire import Wire
from tests.media.speaker import Speaker

FIRST_PORT, LAST_PORT = 20000, 20999  # neither the lab's nor the system's; a pair that is taken is passed over


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(legs=64, sip_ring=1 << 16)
    wire.start()
    yield wire
    wire.close()


@pytest.fixture
def media(wire: Wire, worker_id: str) -> Media:
    worker = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    first = FIRST_PORT + worker * 1000
    return Media(wire, PortPool(first, first + LAST_PORT - FIRST_PORT, rest_s=0))


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
