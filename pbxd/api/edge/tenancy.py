"""For which account somebody asks. Who belongs to one account learns nothing of another, not even that it is there."""

from __future__ import annotations

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.directory.model import Account
from pbxd.errors import Invalid, NotFound


def may_act_for(edge: Edge, identity: Identity, account_id: str) -> bool:
    """Whether an account is this one's to ask about: nodes and the house's own keys serve all accounts, the key of any
    other account only its own."""
    return is_house(edge, identity) or identity.account_id == account_id


def is_house(edge: Edge, identity: Identity) -> bool:
    """Whether it is a node or a key of the house itself."""
    return identity.account_id in (None, edge.directory.default_account.id)


def accounts_of(edge: Edge, identity: Identity) -> list[Account]:
    """The accounts that this one may ask about."""
    return [account for account in edge.directory.accounts() if may_act_for(edge, identity, account.id)]


def account_of(edge: Edge, identity: Identity, named: str | None) -> Account:
    """The account that is named by id or slug. Raises Invalid where none is named, NotFound for one that is not there
    or is not this one's."""
    if not named:
        raise Invalid("accountId: name an account by its id or slug")
    found = edge.directory.account_named(named)
    if found is None or not may_act_for(edge, identity, found.id):
        raise NotFound("there is no such account")
    return found
