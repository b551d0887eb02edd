"""Who hears whom in a call that somebody listens to, mutes or holds: the masks of its room."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from media.rooms import Membership
from pbxd.calls.record import Role

CALLER, CALLEE, TO_CALLER, TO_CALLEE, TO_BOTH = 1, 2, 4, 8, 16
_SPEAKS = {Role.CALLER: CALLER, Role.CALLEE: CALLEE}
_HEARS = {Role.CALLER: CALLEE | TO_CALLER | TO_BOTH, Role.CALLEE: CALLER | TO_CALLEE | TO_BOTH}


class ListenMode(StrEnum):
    """How somebody listens in."""

    MONITOR = "monitor"  # hears both, is heard by nobody
    WHISPER = "whisper"  # is heard by one side only
    BARGE = "barge"  # is heard by both


@dataclass(slots=True)
class Parts:
    """What is asked for in one call. One that is held hears music, and nobody hears it; `parked` are those whom the
    phone at the other side holds."""

    muted: set[Role] = field(default_factory=set)
    held: set[Role] = field(default_factory=set)
    parked: set[Role] = field(default_factory=set)

    def waits(self, role: Role) -> bool:
        """Whether it hears music."""
        return role in self.held or role in self.parked

    def party(self, role: Role) -> Membership:
        """The part of a side of the call."""
        held = self.waits(role)
        hears = 0 if held else _HEARS[role]
        return Membership(speaks=_SPEAKS[role], hears=hears, muted=held or role in self.muted)


def listener(mode: ListenMode, side: Role) -> Membership:
    """The part of who listens in; `side` hears the whisper."""
    speaks = TO_BOTH if mode is ListenMode.BARGE else TO_CALLER if side is Role.CALLER else TO_CALLEE
    muted = mode is ListenMode.MONITOR
    return Membership(speaks=speaks, hears=CALLER | CALLEE | TO_BOTH, muted=muted, keeps_digits=True)
