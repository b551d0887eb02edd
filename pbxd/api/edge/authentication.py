"""`/auth`: is this phone who it says it is? The node posts what the phone answered, the secrets stay in the house."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from pbxd.api.contract import Identity
from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.edge.tenancy import account_of, accounts_of
from pbxd.api.edge.wishes import AccountName, EdgeWish, Text, Word
from pbxd.api.house.views import View
from pbxd.directory.remote import QOP, Asked, Proven, Refusal
from pbxd.errors import NotFound
from pbxd.sip.digest import Credentials

__all__ = ["EDGE"]

_STALE = frozenset({Refusal.STALE, Refusal.REPLAYED, Refusal.UNKNOWN_NONCE})


class Algorithm(StrEnum):
    MD5 = "MD5"
    SHA256 = "SHA-256"


class DigestWish(EdgeWish):
    """The parameters of an Authorization header, parsed, and the method of its request."""

    username: Word
    realm: Word = Field(description="the realm of the account, as it was in the challenge")
    nonce: Word
    uri: Word = Field(description="the `uri` parameter, as the phone wrote it", examples=["sip:127.0.0.1"])
    response: Word
    method: Annotated[Word, Field(description="of the SIP request", examples=["REGISTER", "INVITE"])]
    algorithm: Annotated[Text, Field(description="MD5 where there is none; SHA-256")] = Algorithm.MD5.value
    qop: Annotated[Text | None, Field(description="`auth`, or none")] = None
    nc: Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,8}$")] | None = Field(
        default=None, description="as the phone wrote it: with qop"
    )
    cnonce: Text | None = Field(default=None, description="with qop")

    @field_validator("username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce", mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        """Some parsers leave the quotes of the header on."""
        quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
        return value[1:-1] if quoted and isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.qop and not (self.nc and self.cnonce):
            raise ValueError("with qop there are nc and cnonce")
        return self

    def credentials(self) -> Credentials:
        """The same as the SIP side reads it from a header."""
        qop = self.qop.lower() if self.qop else None
        return Credentials(
            self.username,
            self.realm,
            self.nonce,
            self.uri,
            self.response.lower(),
            self.algorithm or Algorithm.MD5.value,
            qop,
            self.nc if qop else None,
            self.cnonce if qop else None,
        )


class ChallengeView(View):
    """What a node puts into its 401 or 407."""

    realm: str
    nonce: str = Field(description="one that the house knows again; good for `edge.nonce_s` seconds")
    algorithms: list[str] = Field(description="one WWW-Authenticate for each, in this order (RFC 8760 §2.4)")
    qop: str = QOP[0]

    @classmethod
    def of(cls, asked: Asked) -> Self:
        return cls(realm=asked.realm, nonce=asked.nonce, algorithms=list(asked.algorithms))


class AuthView(View):
    ok: bool = True
    account_id: str
    user_id: str
    device_id: str
    account: str = Field(description="its slug")
    user: str = Field(description="the user part of the AOR")


class RefusedView(View):
    ok: bool = False
    reason: Refusal
    stale: bool = Field(description="challenge again with stale=true: the phone answers without asking its user")
    challenge: ChallengeView | None = Field(default=None, description="with a fresh nonce, where the realm is known")


class ChallengeQuery(EdgeWish):
    account_id: AccountName | None = None
    domain: Word | None = Field(
        default=None, description="the SIP domain that the phone asked for; or else name the account"
    )


@EDGE.operation("POST", "/auth", tag="sip", scope=SCOPE, others={RefusedView: 403})
async def authenticate(edge: Edge, body: DigestWish, identity: Identity) -> AuthView | RefusedView:
    """Check the digest answer of a phone.

    Right, it gives the account, the user and the device. Refused is a wrong password or unknown user, a nonce that is
    too old, and a nonce with a count that was used before. Nonces of the node's own are taken where
    `edge.foreign_nonces` says so; better ones are had from /auth/challenge and with every refusal.
    """
    accounts = accounts_of(edge, identity)
    verdict = edge.digests.judge(accounts, body.method, body.credentials(), edge.now())
    if isinstance(verdict, Proven):
        account, device = verdict.account, verdict.device
        user = edge.directory.user(account, device.user)
        return AuthView(
            account_id=account.id,
            user_id=user.id if user else "",
            device_id=device.id,
            account=account.slug,
            user=device.user,
        )
    account_or_none = next((one for one in accounts if one.realm == body.realm), None)
    asked = edge.digests.challenge(account_or_none, edge.now()) if account_or_none else None
    return RefusedView(reason=verdict, stale=verdict in _STALE, challenge=ChallengeView.of(asked) if asked else None)


@EDGE.operation("GET", "/auth/challenge", tag="sip", scope=SCOPE, errors=(NotFound,))
async def make_challenge(edge: Edge, query: ChallengeQuery, identity: Identity) -> ChallengeView:
    """Make a challenge for a phone, with a nonce that /auth knows again."""
    if query.domain and not query.account_id:
        found = next((one for one in accounts_of(edge, identity) if query.domain.lower() in one.domains), None)
        if found is None:
            raise NotFound("no account has this domain")
        return ChallengeView.of(edge.digests.challenge(found, edge.now()))
    return ChallengeView.of(edge.digests.challenge(account_of(edge, identity, query.account_id), edge.now()))
