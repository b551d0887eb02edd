"""Callers who may not call abroad, in the house's own API."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.deliveries import HOUSE
from pbxd.api.house.door import BanState
from pbxd.api.house.tenancy import AccountQuery, account_seen
from pbxd.api.house.views import Id, View, Wish, moment, moment_or_none
from pbxd.directory.fraud import Block, Pattern
from pbxd.errors import NotFound

__all__ = ["HOUSE"]

MAX_PAGE = 1000


class FraudBlockView(View):
    id: str
    account_id: str
    account: str = Field(description="its short name")
    caller: str = Field(description="the user, or the trunk that the call came from")
    pattern: Pattern = Field(description="what gave them away")
    evidence: str = Field(description="what they did")
    since: datetime
    until: datetime
    refused: int = Field(description="calls that were refused, the first one among them")
    ended_at: datetime | None
    ended_by: str | None = Field(description="`time`, or the name of a key")

    @classmethod
    def of(cls, house: House, block: Block) -> Self:
        account = house.directory.account(block.account_id)
        return cls(
            id=block.id,
            account_id=block.account_id,
            account=account.slug if account is not None else block.account_id,
            caller=block.caller,
            pattern=block.pattern,
            evidence=block.evidence,
            since=moment(block.since),
            until=moment(block.until),
            refused=block.refused,
            ended_at=moment_or_none(block.ended_at),
            ended_by=block.ended_by,
        )


class FraudBlocksView(View):
    blocks: list[FraudBlockView]


class FraudQuery(AccountQuery):
    state: BanState = Field(BanState.ACTIVE, description="which of them")
    limit: int = Field(200, ge=1, le=MAX_PAGE, description="how many at most")


class FraudPath(Wish):
    id: Id


@HOUSE.operation("GET", "/security/fraud", tag="security", scope="security:read", errors=(NotFound,))
async def list_fraud_blocks(house: House, query: FraudQuery, identity: Identity) -> FraudBlocksView:
    """List who is blocked from calls abroad, newest first.

    A key that may do everything in the house sees those of all accounts, unless it names one.
    """
    seen, active = account_seen(house, identity, query.account), query.state is BanState.ACTIVE
    mine = (block for block in house.fraud.blocks() if seen in (None, block.account_id))
    wanted = [block for block in mine if query.state is BanState.ALL or active is (block.ended_at is None)]
    return FraudBlocksView(blocks=[FraudBlockView.of(house, block) for block in wanted[: query.limit]])


@HOUSE.operation("DELETE", "/security/fraud/{id}", tag="security", scope="security:write", errors=(NotFound,))
async def lift_fraud_block(house: House, path: FraudPath, query: AccountQuery, identity: Identity) -> FraudBlockView:
    """Let somebody call abroad again. The countries they called are known from then on."""
    seen = account_seen(house, identity, query.account)
    if not any(block.id == path.id and seen in (None, block.account_id) for block in house.fraud.blocks()):
        raise NotFound("no such block is in force")
    return FraudBlockView.of(house, house.fraud.lift(path.id, identity.name, house.wall()))
