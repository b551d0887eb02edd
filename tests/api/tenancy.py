"""A directory with one account, for operations that ask only whose things they are about."""

from __future__ import annotations

from typing import cast

from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account


class OnlyAccount:
    """It is the default one."""

    default_account = Account("acc_1", "lab", "Lab", "lab.test", frozenset({"lab.test"}))

    def account(self, account_id: str) -> Account | None:
        return self.default_account if account_id == self.default_account.id else None

    def account_named(self, text: str) -> Account | None:
        return self.default_account if text in (self.default_account.id, self.default_account.slug) else None


def only_account() -> Directory:
    return cast(Directory, OnlyAccount())
