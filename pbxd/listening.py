"""Listening in: carries the packets of legs that somebody captures from wire to the recorder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from media.session import Media
from media.wire import WireError
from pbxd.calls.facilities import Hearer
from pbxd.trace import Recorder
from pbxd.trace.tape import Packet

PERIOD_S = 0.1

log = logging.getLogger(__name__)


class Listening:
    """Runs only while the sound of something is wanted. `hearers` are the legs that are up."""

    def __init__(self, recorder: Recorder, media: Media, hearers: Callable[[], Iterable[Hearer]]) -> None:
        self._recorder = recorder
        self._media = media
        self._hearers = hearers
        self._timer: asyncio.TimerHandle | None = None
        recorder.on_listen = self.change

    def change(self) -> None:
        """What is wanted has changed: tap the legs that are up accordingly."""
        for hearer in list(self._hearers()):
            try:
                hearer.listen()
            except WireError as error:
                log.warning("a leg cannot be listened in on: %s", error)
        if self._timer is None and (self._recorder.listening or self._media.listening):
            self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._due)

    def stop(self) -> None:
        """Listen no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self.carry()
        self.change()

    def carry(self) -> None:
        """Take what was heard since the last time to the recorder."""
        packets = self._media.tapped()
        remotes = {session.key: session.remote for session, _ in packets}
        for session, packet in packets:
            remote = remotes[session.key]
            if remote is not None and session.label is not None:
                entry = Packet(packet.at, packet.outward, session.local, remote, packet.data)
                self._recorder.heard(session.label, entry)
