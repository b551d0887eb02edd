"""Looking for somebody who takes a call: places that ring in rounds, and what is done when nobody answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pbxd.calls import causes
from pbxd.calls.connection import Came, Connection, Host, Outcome, Terms
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.calls.record import Result
from pbxd.calls.stage import Act, Delegate, Stage

Parties = Callable[[float], Sequence[Sequence[Target]]]
"""The places of each party, asked when their turn has come."""


@dataclass(frozen=True, slots=True)
class Round:
    """Who rings at once, and for how long."""

    parties: Parties
    seconds: float


class Hunt(Delegate):
    """The act of a call that rings one round after the other. `last` makes what is done when nobody took it, from the
    SIP status that says why."""

    def __init__(self, facilities: Facilities, rounds: Sequence[Round], last: Callable[[int], Act]) -> None:
        self._facilities = facilities
        self._rounds = list(rounds)
        self._last = last
        self._connection: Connection | None = None
        self._status = 480

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self._ring(now)

    def leave(self, now: float) -> None:
        if self._connection is not None:
            self._connection.stop(now)
        super().leave(now)

    def _ring(self, now: float) -> None:
        call = self._stage.host
        if not self._rounds or not isinstance(call, Host):
            self._act = self._last(self._status)
            self._act.begin(self._stage, now)
            return
        turn = self._rounds.pop(0)
        terms = Terms(timeout_s=turn.seconds)
        self._connection = Connection(self._facilities, call, self._stage, turn.parties(now), terms, self._over)
        self._connection.start(now)

    def _over(self, outcome: Outcome, now: float) -> None:
        self._connection = None
        if outcome.came is Came.ANSWERED:
            normal = causes.NORMAL_CLEARING
            self._stage.finish(now, reason=outcome.reason, status=480, q850=normal, result=Result.SUCCESS, by="callee")
            return
        self._status = outcome.status
        self._ring(now)


class Refusing:
    """The act of a call that ends here. `q850` is what the status means, unless it is said."""

    def __init__(self, status: int, reason: str) -> None:
        self._status = status
        self._reason = reason

    def begin(self, stage: Stage, now: float) -> None:
        q850 = causes.NO_ANSWER if self._status == 480 else causes.q850_of(self._status)
        stage.finish(now, reason=self._reason, status=self._status, q850=q850, result=Result.UPSTREAM)

    def digit(self, digit: str, now: float) -> None:
        """It has ended."""

    def talking(self, talks: bool) -> None:
        """It has ended."""

    def leave(self, now: float) -> None:
        """It has ended."""
