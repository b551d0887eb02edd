"""Who asks in the fax contract: a declared key or a minted one in `X-API-Key`; how often each may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass

from aiohttp import web

from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.fax.door import ADMIN, RateLimited
from pbxd.config.faxes import Faxes
from pbxd.directory.minted import MintedKeys
from pbxd.errors import Unauthorized
from pbxd.services.audit import AuditLog

MINUTE_S = 60
SCOPES = ("fax:send", "fax:read", "inbound:list", "inbound:read", "keys:manage")
ANONYMOUS = "anonymous"
_EVERYDAY = frozenset(SCOPES[:4])
_DEFAULT = ("fax:send", "fax:read")


@dataclass(frozen=True, slots=True)
class _Watched(Identity):
    """Who asks; what they may not is written down."""

    denied: Callable[[str, str], None]

    def may(self, scope: str) -> bool:
        may = Identity.may(self, scope)
        if not may:
            self.denied(self.name, scope)
        return may


class FaxAccess:
    """Identifies requests of the contract and counts them, by calendar minute. A key of an account that is gone
    (`has_account`) is none."""

    def __init__(
        self,
        access: Access,
        keys: MintedKeys,
        audit: AuditLog,
        settings: Callable[[], Faxes],
        wall: Callable[[], float],
        has_account: Callable[[str], bool],
    ) -> None:
        self._access = access
        self._keys = keys
        self._audit = audit
        self._settings = settings
        self._wall = wall
        self._has_account = has_account
        self._minute = 0
        self._asked: Counter[tuple[str, str]] = Counter()

    def identify(self, request: web.Request) -> Identity:
        """Who asks. Raises Unauthorized, Denied, RateLimited."""
        minted = self._keys.check(request.headers.get("X-API-Key", ""))
        if minted is not None and self._has_account(minted.account_id):
            scopes = (minted.scopes - {"*"}) | (_EVERYDAY if "*" in minted.scopes else set())
            self._count(request, minted.id, minted.rate_per_minute)
            return self._watched(minted.id, minted.account_id, scopes)
        try:
            found = self._access.identify(request)
        except Unauthorized:
            if not self._settings().require_key and "X-API-Key" not in request.headers:
                return Identity(ANONYMOUS, None, _EVERYDAY)
            raise Unauthorized("Invalid or missing API key") from None
        if found.account_id is not None:
            self._count(request, found.name, None)
        return self._watched(found.name, found.account_id, found.scopes)

    def _watched(self, name: str, account_id: str | None, scopes: Set[str]) -> Identity:
        return _Watched(name, account_id, _with_admin(frozenset(scopes)), self._denied)

    def _denied(self, key: str, scope: str) -> None:
        self._audit.note("api_key_denied_scope", key_id=key, scope=scope)

    def _count(self, request: web.Request, key: str, own: int | None) -> None:
        wall = int(self._wall())
        if wall // MINUTE_S != self._minute:
            self._minute = wall // MINUTE_S
            self._asked.clear()
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical if resource else ''}"
        limit = self._limit(route) if own is None else own
        self._asked[key, route] += 1
        if limit and self._asked[key, route] > limit:
            self._audit.note("rate_limited", key_id=key, route=route)
            raise RateLimited(max(1, MINUTE_S - wall % MINUTE_S))

    def _limit(self, route: str) -> int:
        settings = self._settings()
        if route == "GET /inbound":
            return settings.inbound_list_per_minute
        if route.startswith("GET /inbound/"):
            return settings.inbound_get_per_minute
        return settings.rate_per_minute


def _with_admin(scopes: frozenset[str]) -> frozenset[str]:
    return scopes | {ADMIN} if "keys:manage" in scopes else scopes


def default_scopes() -> list[str]:
    """What a minted key may do where nobody says."""
    return list(_DEFAULT)
