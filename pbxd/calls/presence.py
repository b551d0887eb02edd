"""Getting hold of a call's sound: the room its parties are in, for who records, plays to them or listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from media.rooms import Room
from media.session import MediaSession
from pbxd.calls.call import Call, CallState
from pbxd.calls.leg import Leg
from pbxd.calls.record import Role
from pbxd.errors import Conflict


@dataclass(frozen=True, slots=True)
class Presence:
    """The room of a call and its parties there: both, or the one whom the house itself talks to. It is a room until
    `release`, which is told once; a call that ends takes it away all the same."""

    room: Room
    parties: dict[Role, Leg]
    release: Callable[[], None]

    @property
    def everybody(self) -> MediaSession | None:
        """Whom to play to so that all parties of this call hear it, and nobody else: None is the whole room."""
        if len(self.parties) > 1:
            return None
        (only,) = self.parties.values()
        return only.media

    @property
    def wide(self) -> bool:
        """Whether any party sends more than the band of a telephone."""
        return any(leg.plan is not None and leg.plan.codec.wide for leg in self.parties.values())


def presence_of(call: Call) -> Presence:
    """Gets hold of the sound of a call. Raises Conflict where there is none: nobody has answered, or it is an echo."""
    if call.state is not CallState.TALKING:
        raise Conflict("the call is not answered")
    if call.bridge is not None:
        bridge = call.bridge
        parties = {Role.CALLER: bridge.caller, Role.CALLEE: bridge.callee}
        return Presence(bridge.mix(), parties, bridge.unmix)
    if call.stage is not None:
        leg = call.stage.leg
        return Presence(call.stage.room, {leg.record.role: leg}, _nothing)
    raise Conflict("nobody can be recorded, played to or listened to in an echo")


def _nothing() -> None:
    """The room of a stage is there anyway."""
