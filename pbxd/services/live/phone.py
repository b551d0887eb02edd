"""Listening in by phone: who dials the code with a number behind it hears the call of that number, and by digits is
heard in it. Nobody may who was not allowed to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from media.script import Line, Pause, Prompt
from pbxd.calls.causes import q850_of
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.peer import Arrival
from pbxd.calls.record import Result
from pbxd.calls.stage import Stage
from pbxd.config.accounts import ListenRight
from pbxd.directory.model import User
from pbxd.errors import Conflict, Denied, HouseError
from pbxd.services.live.listening import Listener
from pbxd.services.live.parts import ListenMode

log = logging.getLogger(__name__)

BREATH = Pause(0.3)
NUMBER = GatherRules(least=1, most=32, first_s=10.0, next_s=4.0)
MOST_TURNS = 3
BUSY = 486
MODES = {"4": ListenMode.WHISPER, "5": ListenMode.BARGE, "6": ListenMode.MONITOR}
_ORDER = (ListenRight.NONE, ListenRight.MONITOR, ListenRight.WHISPER, ListenRight.BARGE)
_SAID = {mode: Prompt(f"listen-{mode.value}") for mode in ListenMode}


class Calls(Protocol):
    """The calls that are up, as one who dials in to listen knows them."""

    def walk_in(self, account_id: str, user: str, number: str, call_id: str) -> Listener: ...

    def change(self, listener: Listener, mode: ListenMode) -> None: ...


class ListenIn:
    """`who` says which user of the house a call comes from, None for a stranger; `number` is whom to listen to, empty
    to be asked."""

    def __init__(self, calls: Calls, who: Callable[[Arrival | None], User | None], number: str) -> None:
        self._calls = calls
        self._who = who
        self._number = number
        self._right = ListenRight.NONE
        self._user = ""
        self._turns = 0
        self._listener: Listener | None = None

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        user = self._who(stage.arrival)
        if user is not None:
            self._user, self._right = user.name, user.listen_in
        try:
            if not self._may(ListenMode.MONITOR):
                raise Denied(f"{stage.record.caller or 'a stranger'} may not listen in")
            found = self._find(self._number) if self._number else None
        except HouseError as error:
            self._refuse(error, now)
            return
        self._listener = found  # in the list already: it leaves even when answering fails
        stage.answer(now)
        if stage.closed:
            return
        if found is not None:
            self._enter(found, now)
        else:
            self._ask(Prompt("listen-whom"), now)

    def digit(self, digit: str, now: float) -> None:
        listener, mode = self._listener, MODES.get(digit)
        if listener is None:
            self._stage.keep_ahead(digit)
        elif mode is not None and self._may(mode):
            self._calls.change(listener, mode)
            self._stage.play((_SAID[mode],))
        elif mode is not None:
            log.warning(
                "%s may not %s",
                self._user,
                mode.value,
                extra={"call": self._stage.record.id, "right": self._right.value},
            )
            self._stage.play((Prompt("listen-denied"),))

    def talking(self, talks: bool) -> None:
        """Speech changes nothing here."""

    def leave(self, now: float) -> None:
        if self._listener is not None:
            self._listener.leave(now)

    # ---- inside

    def _may(self, mode: ListenMode) -> bool:
        return _ORDER.index(self._right) >= _ORDER.index(ListenRight(mode.value))

    def _find(self, number: str) -> Listener:
        """Raises NotFound, Unavailable, Conflict."""
        return self._calls.walk_in(self._stage.record.account_id, self._user, number, self._stage.record.id)

    def _enter(self, found: Listener, now: float) -> None:
        self._listener = found
        found.begin(self._stage, now)

    def _ask(self, line: Line, now: float) -> None:
        self._turns += 1
        self._stage.ask((BREATH, line), NUMBER, self._heard, now)

    def _heard(self, _outcome: Gathered, digits: str, now: float) -> None:
        try:
            found = self._find(digits) if digits else None
        except HouseError as error:
            log.info("nothing to listen to: %s", error.message, extra={"call": self._stage.record.id})
            found = None
        if found is not None:
            self._enter(found, now)
        elif digits and self._turns < MOST_TURNS:
            self._ask(Prompt("listen-nobody"), now)
        else:
            reason = "no call to listen to was named"
            self._stage.play((Prompt("goodbye"), BREATH), lambda _whole, later: self._stage.hangup(later, reason))

    def _refuse(self, error: HouseError, now: float) -> None:
        """Before it is answered: the phone shows the status."""
        log.warning("nobody listens in: %s", error.message, extra={"call": self._stage.record.id})
        status = BUSY if isinstance(error, Conflict) else error.sip_status
        self._stage.finish(now, reason=error.message, status=status, q850=q850_of(status), result=Result.CLIENT)
