"""Digest answers that somebody else took from a phone, and posts to be judged (RFC 7616, RFC 8760).

A node of the edge speaks SIP with the phone; what the phone answered comes here, and the secrets stay here. A nonce is
either ours, fetched by the node beforehand, or one that the node made up. Ours carries its own age; of one that is not,
the age counts from when it first proved something, and as many as `CAPACITY` of those are remembered.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, Device
from pbxd.directory.passwords import made_up
from pbxd.sip.digest import Credentials, NonceBook, NonceCheck, verify
from pbxd.sip.errors import ParseError

CAPACITY = 65_536
QOP = ("auth",)


class Refusal(StrEnum):
    """Why an answer proves nothing."""

    WRONG = "wrong_credentials"  # a wrong password, or no such user: nobody is told which
    STALE = "stale_nonce"
    REPLAYED = "replayed"
    UNKNOWN_NONCE = "unknown_nonce"
    UNSUPPORTED = "unsupported_algorithm"


@dataclass(frozen=True, slots=True)
class Proven:
    """A phone proved that it is this device of this account."""

    account: Account
    device: Device


@dataclass(frozen=True, slots=True)
class Asked:
    """A challenge for a phone: what a node puts into its 401."""

    realm: str
    nonce: str
    algorithms: tuple[str, ...]


@dataclass(slots=True)
class _Use:
    since: float
    counts: set[int]


class RemoteDigests:
    """Judges them. `secret` is the house's own, and makes up HA1s of users that do not exist. `foreign` is whether a
    nonce of a node's own is taken, for `lifetime_s`."""

    def __init__(self, directory: Directory, secret: bytes, algorithms: Iterable[str], lifetime_s: float) -> None:
        self.foreign = True
        self.lifetime_s = lifetime_s
        self.algorithms = tuple(algorithms)
        self.judged: dict[Refusal | None, int] = dict.fromkeys((None, *Refusal), 0)  # None: proven
        self._directory = directory
        self._secret = hmac.digest(secret, b"edge", "sha256")
        self._nonces = NonceBook(self._secret, lifetime_s)
        self._foreign: dict[bytes, _Use] = {}

    def challenge(self, account: Account, now: float) -> Asked:
        """What a phone of `account` is asked."""
        return Asked(account.realm, self._nonces.new(now), self.algorithms)

    def judge(self, accounts: Iterable[Account], method: str, credentials: Credentials, now: float) -> Proven | Refusal:
        """Who answered. Only `accounts` are looked at."""
        verdict = self._verdict(accounts, method, credentials, now)
        self.judged[verdict if isinstance(verdict, Refusal) else None] += 1
        return verdict

    def _verdict(
        self, accounts: Iterable[Account], method: str, credentials: Credentials, now: float
    ) -> Proven | Refusal:
        algorithm = credentials.algorithm.upper()
        if algorithm not in self.algorithms or credentials.qop not in (None, *QOP):
            return Refusal.UNSUPPORTED
        account = next((one for one in accounts if one.realm == credentials.realm), None)
        device = self._directory.login(account, credentials.username) if account is not None else None
        secret = made_up(self._secret, credentials.username, algorithm)  # always: it takes no time of its own
        if device is not None and device.realm == credentials.realm:
            secret = device.ha1(credentials.username, algorithm) or secret
        try:
            right = verify(secret, method, credentials)
        except ParseError:
            return Refusal.UNSUPPORTED
        if not right or device is None or account is None:
            return Refusal.WRONG
        return self._used(credentials, now) or Proven(account, device)

    def _used(self, credentials: Credentials, now: float) -> Refusal | None:
        """What is wrong with the nonce or its count, after the answer was right; the count is used up by this."""
        check = self._nonces.check(credentials, now)
        if check is NonceCheck.FORGED:
            return self._used_foreign(credentials, now) if self.foreign else Refusal.UNKNOWN_NONCE
        return _OF_NONCES[check]

    def _used_foreign(self, credentials: Credentials, now: float) -> Refusal | None:
        key = sha256(credentials.nonce.encode(errors="replace")).digest()[:16]
        count = credentials.nonce_count or 1
        use = self._foreign.get(key)
        if use is None:
            if len(self._foreign) >= CAPACITY:
                del self._foreign[next(iter(self._foreign))]
            self._foreign[key] = _Use(now, {count})
            return None
        if now - use.since > self.lifetime_s:
            use.counts.clear()  # whatever it counts, it is not taken any more
            return Refusal.STALE
        if count in use.counts or len(use.counts) >= MAX_COUNTS:
            return Refusal.REPLAYED
        use.counts.add(count)
        return None


MAX_COUNTS = 4096  # of one nonce in its life
_OF_NONCES = {
    NonceCheck.FRESH: None,
    NonceCheck.STALE: Refusal.STALE,
    NonceCheck.REPLAYED: Refusal.REPLAYED,
    NonceCheck.ELSEWHERE: Refusal.UNKNOWN_NONCE,
}
