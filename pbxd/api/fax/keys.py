"""Minting, listing, rotating and revoking keys of the fax contract."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from pbxd.api.contract import Identity
from pbxd.api.fax.access import SCOPES, default_scopes
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse, Own, Status, moment, moment_or_none
from pbxd.directory.minted import KeyWish, MintedKey
from pbxd.errors import NotFound

_Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class KeyBody(BaseModel):
    """What a key is to be."""

    model_config = ConfigDict(extra="ignore")

    name: _Text | None = None
    owner: _Text | None = None
    note: _Text | None = None
    scopes: Annotated[list[str], Field(max_length=16)] | None = Field(
        default=None, description=f"any of {', '.join(SCOPES)}, or * for all but keys:manage; nothing is send and read"
    )
    expires_at: datetime | None = Field(default=None, description="ISO 8601; UTC where it says no zone")
    rate_per_minute: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None, description="requests a minute to one path; 0 is no limit, null is that of the settings"
    )

    @field_validator("scopes")
    @classmethod
    def _known(cls, scopes: list[str] | None) -> list[str] | None:
        if unknown := set(scopes or ()) - {*SCOPES, "*"}:
            raise ValueError(f"there is no scope {min(unknown)[:40]!r}")
        return scopes


class KeyMade(BaseModel):
    """A new key. The token is seen now and never again."""

    key_id: str
    token: str
    name: str
    owner: str
    scopes: list[str]
    expires_at: str | None


class KeyOut(BaseModel):
    key_id: str
    name: str
    owner: str
    scopes: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    note: str
    rate_per_minute: int | None


class KeyList(RootModel[list[KeyOut]]):
    """Newest first."""


class KeyRotated(BaseModel):
    key_id: str
    token: str


class KeyPath(BaseModel):
    keyId: str = Field(description="the id of a key", max_length=64)  # noqa: N815 - the contract's word


def _out(key: MintedKey) -> KeyOut:
    return KeyOut(
        key_id=key.id,
        name=key.name,
        owner=key.owner,
        scopes=sorted(key.scopes),
        created_at=moment(key.created_at),
        last_used_at=moment_or_none(key.last_used_at),
        expires_at=moment_or_none(key.expires_at),
        revoked_at=moment_or_none(key.revoked_at),
        note=key.note,
        rate_per_minute=key.rate_per_minute,
    )


@FAX.operation("POST", "/admin/api-keys", tag="keys", scope=ADMIN)
async def mint_key(house: FaxHouse, body: KeyBody, query: Own, identity: Identity) -> KeyMade:
    """Mint a key."""
    ends = body.expires_at
    if ends is not None and ends.tzinfo is None:
        ends = ends.replace(tzinfo=UTC)
    wish = KeyWish(
        name=body.name or "",
        owner=body.owner or "",
        note=body.note or "",
        scopes=default_scopes() if body.scopes is None else body.scopes,
        expires_at=ends.timestamp() if ends is not None else None,
        rate_per_minute=body.rate_per_minute,
    )
    key, token = await house.keys.mint(house.account_of(identity), wish)
    house.audit.note("api_key_created", key_id=key.id, by=identity.name)
    out = _out(key)
    return KeyMade(
        key_id=key.id, token=token, name=out.name, owner=out.owner, scopes=out.scopes, expires_at=out.expires_at
    )


@FAX.operation("GET", "/admin/api-keys", tag="keys", scope=ADMIN)
async def list_keys(house: FaxHouse, query: Own, identity: Identity) -> KeyList:
    """List keys, also those that were revoked."""
    return KeyList([_out(key) for key in house.keys.of(house.account_of(identity))])


@FAX.operation("DELETE", "/admin/api-keys/{keyId}", tag="keys", scope=ADMIN, errors=(NotFound,))
async def revoke_key(house: FaxHouse, path: KeyPath, query: Own, identity: Identity) -> Status:
    """Revoke a key, at once and for good."""
    await house.keys.revoke(house.account_of(identity), path.keyId)
    house.audit.note("api_key_revoked", key_id=path.keyId, by=identity.name)
    return Status(status="ok")


@FAX.operation("POST", "/admin/api-keys/{keyId}/rotate", tag="keys", scope=ADMIN, errors=(NotFound,))
async def rotate_key(house: FaxHouse, path: KeyPath, query: Own, identity: Identity) -> KeyRotated:
    """Give a key a new token; the old one is dead at once."""
    token = await house.keys.rotate(house.account_of(identity), path.keyId)
    house.audit.note("api_key_rotated", key_id=path.keyId, by=identity.name)
    return KeyRotated(key_id=path.keyId, token=token)
