"""The phone code of operators: logs in, ends a break, and leads to a menu; says what they are now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from media.script import BREATH, Line, Prompt
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Stage
from pbxd.directory.model import Account
from pbxd.errors import HouseError
from pbxd.services.queues.table import Control, Status
from pbxd.services.queues.wallboard import OperatorView

CHOICE = GatherRules(least=1, most=1, first_s=4.0, next_s=1.0, terminators="")
MOST_TURNS = 6
_SAID = {
    Status.AVAILABLE: "operator-available",
    Status.ON_BREAK: "operator-on-break",
    Status.OFFLINE: "operator-offline",
}


class Desk(Protocol):
    """The queues, as operators at their phones know them."""

    def answers(self, account: Account, user: str) -> bool: ...

    def operator(self, account: Account, user: str) -> OperatorView: ...

    def control(self, account: Account, user: str, event: Control) -> OperatorView: ...


class SignIn:
    """Who is offline is logged in by dialling, who is on a break is back from it. Then 1 begins or ends a break, 2 logs
    out, 3 logs in."""

    def __init__(self, desk: Desk, account: Account, record: CallRecord) -> None:
        self._desk = desk
        self._account = account
        self._record = record
        self._turns = 0
        self._user = ""

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        stage.answer(now)
        if stage.closed:
            return
        device = stage.arrival.peer.device if stage.arrival is not None else None
        self._user = device.user if device is not None else ""
        if not self._desk.answers(self._account, self._user):
            self._end(Prompt("operator-unknown"))
            return
        before = self._desk.operator(self._account, self._user).status
        first = {Status.OFFLINE: Control.LOGIN, Status.ON_BREAK: Control.UNPAUSE}.get(before)
        self._ask(self._do(first), now)

    def digit(self, digit: str, now: float) -> None:
        self._stage.keep_ahead(digit)

    def talking(self, talks: bool) -> None:
        """Speech changes nothing here."""

    def leave(self, now: float) -> None:
        """Nothing is left to do."""

    def _do(self, event: Control | None) -> Line:
        """What the operator is told."""
        try:
            view = (
                self._desk.operator(self._account, self._user)
                if event is None
                else self._desk.control(self._account, self._user, event)
            )
        except HouseError:
            return Prompt("invalid")
        return Prompt(_SAID[view.status])

    def _ask(self, said: Line, now: float) -> None:
        self._turns += 1
        self._stage.ask((BREATH, said, BREATH, Prompt("operator-menu")), CHOICE, self._heard, now)

    def _heard(self, outcome: Gathered, digits: str, now: float) -> None:
        if not digits or self._turns >= MOST_TURNS:
            self._end(Prompt("goodbye"))
            return
        choice = _CHOICES.get(digits)
        if choice is None:
            self._ask(Prompt("invalid"), now)
            return
        status = self._desk.operator(self._account, self._user).status
        said = self._do(choice(status))
        if status is not Status.OFFLINE and digits == "2":
            self._end(said, Prompt("goodbye"))
        else:
            self._ask(said, now)

    def _end(self, *lines: Line) -> None:
        reason = "the operator was told"
        self._stage.play((BREATH, *lines, BREATH), lambda _whole, now: self._stage.hangup(now, reason))


_CHOICES: dict[str, Callable[[Status], Control | None]] = {
    "1": {Status.AVAILABLE: Control.PAUSE, Status.ON_BREAK: Control.UNPAUSE}.get,
    "2": lambda _status: Control.LOGOUT,
    "3": lambda _status: Control.LOGIN,
}
