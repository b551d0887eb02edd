"""Our credentials for the realms a session has met (RFC 3261 §22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from pbxd.sip.digest import Challenge, Credentials, answer, read_challenges
from pbxd.sip.errors import ParseError
from pbxd.sip.message import Request, Response
from pbxd.sip.session.settings import Account

HEADERS = (("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization"))
MAX_REALMS = 8
"""Realms of one session that are answered: a chain of proxies is shorter."""

Answered = frozenset[tuple[str, str, bool]]
"""(header, realm, stale) of the challenges one request has been sent again for."""


@dataclass(slots=True)
class _Realm:
    header: str
    account: Account
    challenges: list[Challenge]
    cnonce: str
    nc: int = 0


class Login:
    """What the servers on the way asked for, and what they get: a realm that challenged once gets credentials with
    every later request, the nonce count rising, so that it need not ask again."""

    __slots__ = ("_find", "_new_cnonce", "_realms")

    def __init__(self, find: Callable[[str], Account | None], new_cnonce: Callable[[], str]) -> None:
        self._find = find
        self._new_cnonce = new_cnonce
        self._realms: dict[tuple[str, str], _Realm] = {}

    def authorize(self, request: Request) -> None:
        """Adds credentials for every realm met so far."""
        for realm in self._realms.values():
            credentials = self._answer(realm, request)
            if credentials is not None:
                request.headers.add(realm.header, str(credentials))

    def learn(self, response: Response, answered: Answered) -> Answered:
        """Takes the challenges of a 401 or 407. Returns those worth another attempt: a realm that has not been answered
        for this request, or whose nonce is stale, once each (RFC 3261 §22.2, RFC 7616 §3.3)."""
        fresh: set[tuple[str, str, bool]] = set()
        for header, reply in HEADERS:
            if header not in response.headers:
                continue
            challenges = sorted(read_challenges(response.headers.all(header)), key=lambda challenge: challenge.realm)
            for name, group in groupby(challenges, key=lambda challenge: challenge.realm):
                offered = list(group)
                stale = any(challenge.stale for challenge in offered)
                mark = (reply, name, stale)
                if mark in answered or ((reply, name, True) in answered) or self._realm(reply, name, offered) is None:
                    return frozenset()  # one that cannot be satisfied spoils the request
                fresh.add(mark)
        return frozenset(fresh)

    def _realm(self, header: str, name: str, challenges: list[Challenge]) -> _Realm | None:
        account = self._find(name)
        supported = [challenge for challenge in challenges if challenge.supported]
        full = len(self._realms) >= MAX_REALMS and (header, name) not in self._realms
        if account is None or not supported or full:
            return None
        realm = self._realms[header, name] = _Realm(header, account, supported, self._new_cnonce())
        return realm

    def _answer(self, realm: _Realm, request: Request) -> Credentials | None:
        realm.nc += 1
        try:
            return answer(
                realm.challenges,
                method=request.method,
                uri=request.uri,
                username=realm.account.username,
                password=realm.account.password,
                ha1s=dict(realm.account.ha1s),
                cnonce=realm.cnonce,
                nc=realm.nc,
                body=request.body,
            )
        except ParseError:  # none of the algorithms, or no HA1 for it
            return None
