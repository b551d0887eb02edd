"""Where a call goes that its first destination does not take: a user's forwards and mailbox, the members of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pbxd.calls.call import Fallback
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.calls.gate import Barred, Hold
from pbxd.calls.hunt import Hunt, Refusing, Round
from pbxd.calls.peer import Arrival
from pbxd.calls.record import CallRecord
from pbxd.calls.routing import Reject, Route, ToEcho, ToGroup, ToHouse, ToTrunk, ToUser, destined, onward
from pbxd.calls.stage import Act
from pbxd.calls.targets import targets_of, targets_of_user
from pbxd.config.groups import RingStrategy, UserRing
from pbxd.directory.model import Account, Extension, ExtensionKind, User

BUSY = frozenset({486, 600})
NO_ANSWER_S = 25  # before a call goes on that nobody takes, where its user says nothing else
MOST_STEPS = 5  # of one call, from one who does not take it to the next

MakeAct = Callable[[Extension, CallRecord], Act]
FindFallback = Callable[[User, CallRecord], Fallback | None]


class Following:
    """Follows calls through the settings of users and groups. `fallback` is the mailbox of a user; `hold`
    gives a line to whom a call reaches, or raises Barred."""

    def __init__(
        self,
        facilities: Facilities,
        acts: Mapping[ExtensionKind, MakeAct],
        fallback: FindFallback,
        hold: Hold,
    ) -> None:
        self._facilities = facilities
        self._acts = acts
        self._fallback = fallback
        self._hold = hold

    def of_user(
        self, user: User, account: Account, record: CallRecord, arrival: Arrival, *, steps: int = 0
    ) -> Fallback | None:
        """What is done with a call that the phones of `user` do not take; None: nothing."""
        mail = self._fallback(user, record)
        numbers = user.forward_busy, user.forward_no_answer
        if numbers == (None, None) or steps >= MOST_STEPS:
            if mail is None or user.ring_timeout_s is None:
                return mail
            return Fallback(user.ring_timeout_s, mail.act, arrival)

        def act(status: int) -> Act | None:
            number = user.forward_busy if status in BUSY else user.forward_no_answer
            if number is None:
                return _made(mail, status)
            found = onward(self._facilities.directory, account, number, record.direction)
            return self.act(found, account, record, arrival, mail, steps=steps + 1)

        patience = mail.after_s if mail is not None and user.forward_no_answer is None else NO_ANSWER_S
        if mail is None and user.forward_no_answer is None:
            patience = self._facilities.limits.ring_timeout_s
        return Fallback(user.ring_timeout_s or patience, act, arrival)

    def act(
        self,
        found: Route,
        account: Account,
        record: CallRecord,
        arrival: Arrival,
        mail: Fallback | None = None,
        *,
        steps: int = 0,
    ) -> Act:
        """What the house does to bring a call where `found` leads; `mail` takes it where that fails."""
        last = last_of(mail)
        match found:
            case Reject(status=status, reason=reason):
                return last(status) if mail is not None else Refusing(status, reason)
            case ToEcho():
                return Refusing(488, "a call cannot be forwarded to an echo")
            case ToHouse(extension=extension):
                return self._acts[extension.kind](extension, record)
            case ToGroup():
                return self.group(found, account, record, arrival, steps=steps)
            case ToTrunk():
                return self._trunk(found, account, record, arrival, last)
            case ToUser(user=user):
                after = self.of_user(user, account, record, arrival, steps=steps)
                return self._user(found, account, record, arrival, lambda status: _made(after, status) or last(status))

    def _trunk(
        self, found: ToTrunk, account: Account, record: CallRecord, arrival: Arrival, last: Callable[[int], Act]
    ) -> Act:
        try:
            places = self._places(found, arrival, account, record)
        except Barred as error:
            return Refusing(error.sip_status, error.message)
        return Hunt(self._facilities, [Round(partial(_alone, places), self._ring_s(None))], last)

    def _user(
        self, found: ToUser, account: Account, record: CallRecord, arrival: Arrival, last: Callable[[int], Act]
    ) -> Act:
        if found.user.dnd:
            return last(486)
        try:
            return self.phones(self._places(found, arrival, account, record), found.user, last)
        except Barred:
            return last(486)

    def phones(self, targets: Sequence[Target], user: User, last: Callable[[int], Act]) -> Act:
        """Rings the phones of one user, as they want it."""
        seconds = self._ring_s(user)
        turns = [[target] for target in targets] if user.ring_strategy is UserRing.SEQUENTIAL else [targets]
        return Hunt(self._facilities, [Round(partial(_alone, turn), seconds) for turn in turns], last)

    def group(self, found: ToGroup, account: Account, record: CallRecord, arrival: Arrival, *, steps: int = 0) -> Act:
        """Rings the phones of a group's users."""
        group = found.group

        def places(users: Sequence[User], now: float) -> list[list[Target]]:
            return [self._phones(user, found, arrival, account, record, now) for user in users]

        def last(status: int) -> Act:
            if group.no_answer is None or steps >= MOST_STEPS:
                return Refusing(status, f"nobody of the group {group.name} took the call")
            numbers, label = self._facilities.directory, found.extension.number
            after = destined(numbers, account, group.no_answer, label, found.direction)
            return self.act(after, account, record, arrival, steps=steps + 1)

        turns = [found.users] if group.strategy is RingStrategy.SIMULTANEOUS else [(user,) for user in found.users]
        rounds = [Round(partial(places, users), group.ring_timeout_s) for users in turns]
        return Hunt(self._facilities, rounds, last)

    def _ring_s(self, user: User | None) -> float:
        own = user.ring_timeout_s if user is not None else None
        return float(own or self._facilities.limits.ring_timeout_s)

    def _places(self, found: ToUser | ToTrunk, arrival: Arrival, account: Account, record: CallRecord) -> list[Target]:
        """Raises Barred."""
        now = self._facilities.clock()
        targets = targets_of(self._facilities, found, arrival.request, arrival.peer.caller, account, now)
        return self._hold(record, arrival.peer.party, found, targets)

    def _phones(
        self, user: User, group: ToGroup, arrival: Arrival, account: Account, record: CallRecord, now: float
    ) -> list[Target]:
        """None of a user who has no line left."""
        targets = targets_of_user(self._facilities, user.name, arrival.peer.caller, account, now)
        try:
            return self._hold(record, arrival.peer.party, ToUser(user, group.extension, group.direction), targets)
        except Barred:
            return []


def _alone(targets: Sequence[Target], _now: float) -> list[Sequence[Target]]:
    return [targets]


def last_of(fallback: Fallback | None) -> Callable[[int], Act]:
    """What is done with a call that nobody took, from the status that says why: what `fallback` has for it, or its
    end."""
    return lambda status: _made(fallback, status) or Refusing(status, "nobody took the call")


def _made(fallback: Fallback | None, status: int) -> Act | None:
    return fallback.act(status) if fallback is not None else None
