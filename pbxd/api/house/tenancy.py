"""Whose things an operation is about: keys of an account work in their own; the house's own key that may do everything,
and the local user, in any that they name."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from pbxd.api.contract import Identity, OneAccount
from pbxd.api.house.collaborators import House
from pbxd.calls.record import CallRecord
from pbxd.directory.model import Account
from pbxd.errors import NotFound

AccountName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class AccountQuery(OneAccount):
    model_config = ConfigDict(frozen=True, extra="forbid")

    account: AccountName | None = Field(None, description="the id or short name of the account; null is the key's own")


def account_of(house: House, identity: Identity, named: str | None) -> Account:
    """The account that is meant. Raises NotFound where there is none, or none that this key may know of."""
    directory = house.directory
    home = directory.default_account
    own = home if identity.account_id is None else directory.account(identity.account_id)
    wanted = own if named is None else directory.account_named(named)
    if wanted is None or own is None or (wanted.id != own.id and not reaches_all(house, identity)):
        raise NotFound("there is no such account")
    return wanted


def reaches_all(house: House, identity: Identity) -> bool:
    """Whether this is the local user, or the house's own key for everything."""
    home = house.directory.default_account.id
    return identity.account_id is None or (identity.account_id == home and "*" in identity.scopes)


def of_the_house(house: House, identity: Identity) -> bool:
    """Whether this is the local user, or a key of the house's own account."""
    return identity.account_id in (None, house.directory.default_account.id)


def account_seen(house: House, identity: Identity, named: str | None) -> str | None:
    """The id of the account whose calls and records are seen; None are those of all, for who reaches all and names
    none. Raises NotFound."""
    if named is None and reaches_all(house, identity):
        return None
    return account_of(house, identity, named).id


def call_of(house: House, identity: Identity, named: str | None, call_id: str) -> CallRecord:
    """A call that is up and may be seen. Raises NotFound, which is the same for one of another account."""
    seen = account_seen(house, identity, named)
    record = house.calls.get(call_id)
    if record is None or seen not in (None, record.account_id):
        raise NotFound("no such call is up; /house/v1/records has those that have ended")
    return record
