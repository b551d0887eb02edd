"""A call that the house itself begins: it rings somebody's phones and puts whoever answers on a stage."""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.calls.call import Call, CallEvent, CallState
from pbxd.calls.dial import Dial, Target
from pbxd.calls.leg import Leg
from pbxd.calls.record import Change
from pbxd.calls.stage import Act, Stage


class OutCall(Call):
    """A call without a caller: its only leg is the callee's. All else is a call's."""

    def call_out(self, targets: Sequence[Target], act: Act, now: float) -> None:
        """Rings all `targets` at once; `act` begins with the one that answers."""
        self._act = act
        self._say(Change.STARTED, now)
        self._later(self._facilities.limits.ring_timeout_s, CallEvent.NOBODY_ANSWERED, now)
        self._dial = Dial(self._facilities, self, self.record, targets, None)
        self._dial.start(now)

    def leg_progressed(self, leg: Leg, status: int, now: float) -> None:
        state = self._next(CallEvent.PROGRESSED)
        if state is None or self.state is CallState.RINGING:
            return
        self.state = state
        self.record.ringing_at = self.wall(now)
        self._say(Change.RINGING, now)

    def leg_answered(self, leg: Leg, now: float) -> None:
        state = self._next(CallEvent.ANSWERED)
        if state is None:
            return
        self.state, self.callee = state, leg
        self.record.answered_at = self.wall(now)
        self._stop_timers()
        self._later(self._facilities.limits.max_duration_s, CallEvent.TOO_LONG, now)
        self.stage = Stage(self._facilities, self, leg, self._act, self._facilities.language)
        self._say(Change.ANSWERED, now)
        self._act.begin(self.stage, now)
