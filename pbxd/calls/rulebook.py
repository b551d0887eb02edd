"""Which limits hold: those that are written down as limits, and those that a user, number or trunk has by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pbxd.calls.limits import Subject
from pbxd.config.groups import LimitDirection, LimitScope
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, CallLimit

Index = dict[tuple[LimitScope, str | None], list[CallLimit]]


class Rulebook:
    """The limits of the directory, by what they limit. A change of the directory is seen at once."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._indexes: dict[str, tuple[tuple[CallLimit, ...], Index]] = {}

    def of(self, subject: Subject) -> Iterator[CallLimit]:
        """Those that hold for `subject`: in its name, and for each of its kind."""
        account = self._directory.account(subject.account_id)
        if account is None:
            return
        index = self._index(account)
        if subject.scope is not LimitScope.ACCOUNT:
            yield from index.get((subject.scope, subject.id), ())
        yield from index.get((subject.scope, None), ())
        yield from self._own(account, subject)

    def named(self, account_id: str) -> Iterator[tuple[Subject, CallLimit]]:
        """Each limit of something certain, and what it limits."""
        account = self._directory.account(account_id)
        if account is None:
            return
        for limit in self._directory.limits(account):
            if limit.scope_kind is LimitScope.ACCOUNT:
                yield Subject(account_id, LimitScope.ACCOUNT, account_id), limit
            elif limit.scope_id is not None:
                yield Subject(account_id, limit.scope_kind, limit.scope_id), limit
        own = [Subject(account_id, LimitScope.TRUNK, trunk.name) for trunk in self._directory.trunks(account)]
        own += [Subject(account_id, LimitScope.NUMBER, one.number) for one in self._directory.numbers(account)]
        for subject in own:
            yield from ((subject, limit) for limit in self._own(account, subject))

    # ---- inside

    def _index(self, account: Account) -> Index:
        limits = self._directory.limits(account)
        known, index = self._indexes.get(account.id, ((), {}))
        if known is not limits:
            index = _indexed(limits)
            self._indexes[account.id] = limits, index
        return index

    def _own(self, account: Account, subject: Subject) -> Iterator[CallLimit]:
        """What stands beside the thing itself: how many calls at a time."""
        found = self._room_of(account, subject)
        owner, name, most = found or ("", "", None)
        if most is None:
            return
        any_way = LimitDirection.ANY
        yield CallLimit(f"{owner}.{name}", account.id, name, subject.scope, subject.id, any_way, 0, most)

    def _room_of(self, account: Account, subject: Subject) -> tuple[str, str, int | None] | None:
        """The id of it, the name of the setting, and what it says."""
        match subject.scope:
            case LimitScope.TRUNK:
                trunk = self._directory.trunk(account, subject.id)
                return (trunk.id, "max_calls", trunk.max_calls) if trunk is not None else None
            case LimitScope.NUMBER:
                number = self._directory.number(subject.id)
                return (number.id, "max_channels", number.max_channels) if number is not None else None
            case LimitScope.USER:
                user = self._directory.user(account, subject.id)
                return (user.id, "max_simultaneous", user.max_simultaneous) if user is not None else None
            case _:
                return None


def _indexed(limits: Iterable[CallLimit]) -> Index:
    index: Index = {}
    for limit in limits:
        name = None if limit.scope_kind is LimitScope.ACCOUNT else limit.scope_id
        index.setdefault((limit.scope_kind, name), []).append(limit)
    return index
