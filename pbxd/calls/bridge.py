"""Two answered legs that hear each other: sound by wire, holds and digits in signalling by this."""

from __future__ import annotations

from pbxd.calls.causes import passed_on
from pbxd.calls.leg import Leg
from pbxd.sip.message import Request, Response
from pbxd.sip.transaction import ServerTransaction

RELAYED_REQUESTS = frozenset({"INFO", "MESSAGE"})
PASSED_FOR_INFO = ("Info-Package", "Content-Disposition")


class Bridge:
    """Joins `caller` and `callee`. What one side wants to hear and say bounds what the other is offered."""

    def __init__(self, caller: Leg, callee: Leg) -> None:
        self.caller = caller
        self.callee = callee

    def connect(self) -> None:
        """From now on each hears the other; again is harmless."""
        self.caller.media.bridge(self.callee.media)
        self._agree()

    def _agree(self) -> None:
        """Each side may change to what the other can follow."""
        self.caller.prepare_for(self.callee)
        self.callee.prepare_for(self.caller)

    def other(self, leg: Leg) -> Leg:
        return self.callee if leg is self.caller else self.caller

    @property
    def held(self) -> bool:
        """Whether either side holds the other."""
        return not (self.caller.remote_direction.receives and self.callee.remote_direction.receives)

    def mirror(self, leg: Leg, now: float) -> None:
        """Lets the other side know what `leg` now wants: a hold reaches the phone that is held, and another codec is
        offered to it."""
        self._agree()
        self.other(leg).follow(leg.remote_direction, leg.plan.codec if leg.plan is not None else None, now)

    def pass_on(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Carries a request inside the dialog to the other side and its answer back; without their headers."""
        other = self.other(leg)

        def answered(status: int, response: Response | None, later: float) -> None:
            leg.session.respond(transaction, passed_on(status), later)

        headers = [(name, value) for name in PASSED_FOR_INFO if (value := request.headers.get(name)) is not None]
        other.session.request(
            request.method,
            now,
            headers=headers,
            body=request.body,
            content_type=request.headers.get("Content-Type"),
            on_final=answered,
        )
