"""Which limits hold: those that somebody wrote down, and those that a trunk has by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pbxd.calls.limits import Subject
from pbxd.directory.accounts import Directory
from pbxd.directory.model import CallLimit, LimitDirection, LimitScope

EACH = "*"
"""As the id of a limit: every user, number or trunk by itself."""

Index = dict[tuple[LimitScope, str], list[CallLimit]]


class Rulebook:
    """The limits of the directory, by what they limit. A change of the directory is seen at once."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._indexes: dict[str, tuple[tuple[CallLimit, ...], Index]] = {}

    def of(self, subject: Subject) -> Iterator[CallLimit]:
        """Those that hold for `subject`: in its name, under its id, and for each of its kind."""
        index = self._index(subject.account_id)
        if subject.scope is LimitScope.ACCOUNT:
            yield from index.get((LimitScope.ACCOUNT, ""), ())
            return
        for name in dict.fromkeys((subject.id, self._id_of(subject), EACH)):
            yield from index.get((subject.scope, name), ())
        yield from self._own(subject)

    def named(self, account_id: str) -> Iterator[tuple[Subject, CallLimit]]:
        """Each limit of something certain, and what it limits."""
        account = self._directory.account(account_id)
        if account is None:
            return
        names = {trunk.id: trunk.name for trunk in self._directory.trunks(account)}
        for limit in self._limits(account_id):
            if limit.scope_kind is LimitScope.ACCOUNT:
                yield Subject(account_id, LimitScope.ACCOUNT, account_id), limit
            elif limit.scope_id != EACH:
                yield Subject(account_id, limit.scope_kind, names.get(limit.scope_id, limit.scope_id)), limit
        for trunk in self._directory.trunks(account):
            subject = Subject(account_id, LimitScope.TRUNK, trunk.name)
            yield from ((subject, limit) for limit in self._own(subject))

    # ---- inside

    def _limits(self, account_id: str) -> tuple[CallLimit, ...]:
        account = self._directory.account(account_id)
        return self._directory.limits(account) if account is not None else ()

    def _index(self, account_id: str) -> Index:
        limits = self._limits(account_id)
        known, index = self._indexes.get(account_id, ((), {}))
        if known is not limits:
            index = _indexed(limits)
            self._indexes[account_id] = limits, index
        return index

    def _id_of(self, subject: Subject) -> str:
        account = self._directory.account(subject.account_id)
        if account is None:
            return ""
        if subject.scope is LimitScope.TRUNK:
            trunk = self._directory.trunk(account, subject.id)
            return trunk.id if trunk is not None else ""
        user = self._directory.user(account, subject.id) if subject.scope is LimitScope.USER else None
        return user.id if user is not None else ""

    def _own(self, subject: Subject) -> Iterable[CallLimit]:
        """What stands beside the thing itself: `max_calls` of a trunk."""
        account = self._directory.account(subject.account_id)
        if account is None or subject.scope is not LimitScope.TRUNK:
            return ()
        trunk = self._directory.trunk(account, subject.id)
        if trunk is None or trunk.max_calls is None:
            return ()
        return (
            CallLimit(
                f"{trunk.id}.max_calls",
                account.id,
                LimitScope.TRUNK,
                trunk.name,
                LimitDirection.ANY,
                0,
                trunk.max_calls,
            ),
        )


def _indexed(limits: Iterable[CallLimit]) -> Index:
    index: Index = {}
    for limit in limits:
        name = "" if limit.scope_kind is LimitScope.ACCOUNT else limit.scope_id
        index.setdefault((limit.scope_kind, name), []).append(limit)
    return index
