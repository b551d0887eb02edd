"""Who asks in the fax contract: a declared key or a minted one in `X-API-Key`; how often each may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

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


class FaxAccess:
    """Identifies requests of the contract and counts them, by calendar minute."""

    def __init__(
        self,
        access: Access,
        keys: MintedKeys,
        audit: AuditLog,
        settings: Callable[[], Faxes],
        wall: Callable[[], float],
    ) -> None:
        self._access = access
        self._keys = keys
        self._audit = audit
        self._settings = settings
        self._wall = wall
        self._minute = 0
        self._asked: Counter[tuple[str, str]] = Counter()

    def identify(self, request: web.Request) -> Identity:
        """Who asks. Raises Unauthorized, Denied, RateLimited."""
        minted = self._keys.check(request.headers.get("X-API-Key", ""))
        if minted is not None:
            scopes = (minted.scopes - {"*"}) | (_EVERYDAY if "*" in minted.scopes else set())
            identity = Identity(minted.id, minted.account_id, _with_admin(scopes))
            self._count(request, minted.id, minted.rate_per_minute)
            return identity
        try:
            found = self._access.identify(request)
        except Unauthorized:
            if not self._settings().require_key and "X-API-Key" not in request.headers:
                return Identity(ANONYMOUS, None, _EVERYDAY)
            raise Unauthorized("Invalid or missing API key") from None
        if found.account_id is not None:
            self._count(request, found.name, None)
        return Identity(found.name, found.account_id, _with_admin(found.scopes))

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
