"""A directory with one account and a call of it, for operations that ask only whose things they are about."""

from __future__ import annotations

from typing import cast

from pbxd.api.house import LiveCalls
from pbxd.calls.record import CallRecord, Direction
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account


class OnlyAccount:
    """It is the default one."""

    default_account = Account("acc_1", "lab", "Lab", "lab.test", frozenset({"lab.test"}))

    def account(self, account_id: str) -> Account | None:
        return self.default_account if account_id == self.default_account.id else None

    def account_named(self, text: str) -> Account | None:
        return self.default_account if text in (self.default_account.id, self.default_account.slug) else None


class OnlyCall:
    """It is `call_1`."""

    record = CallRecord("call_1", "acc_1", Direction.INTERNAL, "1001", "Ann", "1002", 1_790_000_000.0)

    def get(self, call_id: str) -> CallRecord | None:
        return self.record if call_id == self.record.id else None


def only_account() -> Directory:
    return cast(Directory, OnlyAccount())


def only_call() -> LiveCalls:
    return cast(LiveCalls, OnlyCall())
