"""Tenants: made, changed, removed, written out as one document and read in again."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, Field

from pbxd.api.contract import Identity, OneAccount, Revised
from pbxd.api.house.collaborators import House
from pbxd.api.house.directory import Match
from pbxd.api.house.operations import HOUSE
from pbxd.api.house.tenancy import AccountName, account_of, reaches_all
from pbxd.api.house.views import View, Wish
from pbxd.directory.model import Account
from pbxd.directory.tenants import AccountDocument, AccountWish
from pbxd.errors import Conflict, Denied, HouseError, Invalid, NotFound, TooLarge, Unavailable


class AccountPath(Wish):
    account: AccountName = Field(description="its id or short name")


class Nothing(OneAccount):
    """Nothing is asked for: these operations name their account in the path, and keep to it all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountView(Revised):
    model_config = ConfigDict(frozen=True)

    id: str
    slug: str
    name: str
    realm: str
    domains: list[str]
    timezone: str | None = Field(description="whose clock it follows; null is the house's")
    carrier: str | None = Field(
        description="the trunk that takes numbers no route fits; null: the house's; empty: none"
    )
    default: bool = Field(description="whether it is the house's own account")
    declared: bool = Field(description="whether the configuration file declares it")

    @classmethod
    def of(cls, house: House, account: Account, stored: tuple[int, bool]) -> Self:
        """`stored` is what only the store knows: the revision, and whether it is declared."""
        revision, declared = stored
        return cls(
            id=account.id,
            slug=account.slug,
            name=account.name,
            realm=account.realm,
            domains=sorted(account.domains),
            timezone=account.timezone,
            carrier=account.carrier,
            default=account.id == house.directory.default_account.id,
            declared=declared,
            revision=revision,
        )


class AccountsView(View):
    accounts: list[AccountView]


@HOUSE.operation("GET", "/accounts", tag="accounts", scope="accounts:read", errors=(Unavailable,))
async def list_accounts(house: House, query: Nothing, identity: Identity) -> AccountsView:
    """List the accounts: all for who may do everything in the house, for others their own."""
    found = house.directory.accounts() if reaches_all(house, identity) else [account_of(house, identity, None)]
    stored = await house.tenants.revisions()
    found.sort(key=lambda one: one.slug)
    return AccountsView(accounts=[AccountView.of(house, one, stored[one.id]) for one in found if one.id in stored])


@HOUSE.operation("GET", "/accounts/{account}", tag="accounts", scope="accounts:read", errors=(NotFound, Unavailable))
async def get_account(house: House, path: AccountPath, query: Nothing, identity: Identity) -> AccountView:
    """Get an account."""
    return await _view(house, account_of(house, identity, path.account))


@HOUSE.operation(
    "POST", "/accounts", tag="accounts", scope="accounts:write", status=201, errors=(Conflict, Denied, Unavailable)
)
async def make_account(house: House, body: AccountWish, identity: Identity) -> AccountView:
    """Make an account, empty. Only who may do everything in the house may."""
    _operator(house, identity)
    return await _view(house, await house.tenants.create(body, identity.name))


@HOUSE.operation(
    "PUT", "/accounts/{account}", tag="accounts", scope="accounts:write", errors=(NotFound, Conflict, Unavailable)
)
async def replace_account(
    house: House, path: AccountPath, headers: Match, body: AccountWish, identity: Identity
) -> AccountView:
    """Change name, domains, timezone and default carrier of an account. Only who may do everything in the house may."""
    _operator(house, identity)
    account = account_of(house, identity, path.account)
    return await _view(house, await house.tenants.replace(account, body, identity.name, headers.revision))


@HOUSE.operation(
    "DELETE", "/accounts/{account}", tag="accounts", scope="accounts:write", status=204,
    errors=(NotFound, Conflict, Unavailable),
)  # fmt: skip
async def remove_account(house: House, path: AccountPath, headers: Match, identity: Identity) -> None:
    """Remove an account with all it has. Records of its calls stay. Only who may do everything in the house may."""
    _operator(house, identity)
    account = account_of(house, identity, path.account)
    await house.tenants.remove(account, identity.name, headers.revision)
    await house.flows.forget(account.id)


@HOUSE.operation(
    "GET", "/accounts/{account}/export", tag="accounts", scope="accounts:write", errors=(NotFound, Unavailable)
)
async def export_account(house: House, path: AccountPath, query: Nothing, identity: Identity) -> AccountDocument:
    """Write an account out as one document.

    It holds the HA1s of phones: keep it like their passwords. No password is in it, no API key, no mailbox PIN.
    """
    account = account_of(house, identity, path.account)
    document = await house.tenants.export(account)
    return document.model_copy(update={"flows": dict(house.flows.of(account.id).book.texts)})


@HOUSE.operation(
    "POST", "/accounts/import", tag="accounts", scope="accounts:write", status=201,
    errors=(Conflict, Invalid, Denied, TooLarge, Unavailable),
)  # fmt: skip
async def import_account(house: House, body: AccountDocument, identity: Identity) -> AccountView:
    """Make the account of such a document, whole or not at all. Only who may do everything in the house may."""
    _operator(house, identity)
    account = await house.tenants.take_in(body, identity.name)
    if body.flows:
        try:
            await house.flows.of(account.id).put_all(body.flows, identity.name)
        except HouseError:
            await house.tenants.remove(account, identity.name, None)
            await house.flows.forget(account.id)
            raise
    return await _view(house, account)


async def _view(house: House, account: Account) -> AccountView:
    return AccountView.of(house, account, (await house.tenants.revisions(account.id))[account.id])


def _operator(house: House, identity: Identity) -> None:
    if not reaches_all(house, identity):
        raise Denied("only who may do everything in the house may do this")
