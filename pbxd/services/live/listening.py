"""Somebody who listens in: the act of the phone that the house has called for that."""

from __future__ import annotations

from collections.abc import Callable

from media.rooms import Room
from pbxd.calls.record import Role
from pbxd.calls.stage import Stage
from pbxd.services.live.parts import ListenMode, listener


class Listener:
    """`enter` gives the room of the call, or None when that is over; `left` is told when the listener has gone."""

    def __init__(
        self,
        mode: ListenMode,
        side: Role,
        extension: str,
        enter: Callable[[], Room | None],
        left: Callable[[Listener], None],
    ) -> None:
        self.mode = mode
        self.side = side
        self.extension = extension
        self.call_id = ""
        self._enter = enter
        self._left = left
        self._stage: Stage | None = None

    @property
    def inside(self) -> bool:
        """Whether the phone was answered."""
        return self._stage is not None

    def change(self, mode: ListenMode, side: Role) -> None:
        """From the next tick on."""
        self.mode, self.side = mode, side
        stage = self._stage
        if stage is not None and stage.leg.media.room is not None:
            stage.leg.media.room.set(stage.leg.media, listener(mode, side))

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        room = self._enter()
        if room is None:
            stage.hangup(now, "the call to listen to is over")
            return
        self._stage = stage
        stage.lead_into(room, listener(self.mode, self.side))

    def digit(self, digit: str, now: float) -> None:
        """Digits change nothing here."""

    def talking(self, talks: bool) -> None:
        """Nor does speech."""

    def leave(self, now: float) -> None:
        self._stage = None
        self._left(self)
