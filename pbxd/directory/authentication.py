"""Who sent this request: Digest as a server (RFC 3261 §22, RFC 7616, RFC 8760).

A wrong password and a user that does not exist get the same answer after the same work, so neither can be told from
the other. Only an answer to a nonce that was given to its very sender, lately, is looked at: who guesses must show
where he can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol

from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, Device
from pbxd.directory.passwords import made_up
from pbxd.events import Bus
from pbxd.sip.digest import Challenge, Credentials, NonceBook, NonceCheck, read_credentials, verify
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Flow
from pbxd.sip.message import Request
from pbxd.sip.uri import Uri

MAX_CREDENTIALS = 8
PLAINLY = "Wrong User Name Or Password"
_QOP = ("auth",)
_NOBODY = Device("", "", "", "", "", "", "")


class Outcome(Enum):
    PASS = "pass"  # noqa: S105 - a word, not a password
    CHALLENGE = "challenge"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a request passed or did not; for logs, counters and bans, never for the far side."""

    PROVEN = "proven"
    NO_CREDENTIALS = "no credentials"
    MALFORMED = "malformed credentials"
    OTHER_URI = "credentials made for another request"
    UNKNOWN_ALGORITHM = "an algorithm that was not offered"
    WRONG = "wrong password or unknown user"
    STALE = "nonce too old"
    REPLAYED = "nonce count used before"
    FORGED = "nonce not ours"
    ELSEWHERE = "nonce given to another address"
    TOO_OFTEN = "wrong too often just now to be looked at"


FAILURES = frozenset(Reason) - {Reason.PROVEN, Reason.NO_CREDENTIALS, Reason.STALE, Reason.ELSEWHERE}
"""What a phone that is set up well does not do."""
_STALE = frozenset({Reason.STALE, Reason.REPLAYED, Reason.FORGED, Reason.ELSEWHERE})
_OF_NONCES = {
    NonceCheck.STALE: Reason.STALE,
    NonceCheck.REPLAYED: Reason.REPLAYED,
    NonceCheck.FORGED: Reason.FORGED,
    NonceCheck.ELSEWHERE: Reason.ELSEWHERE,
}


class Watch(Protocol):
    """Who hears what happens at the door, and may say that a password is not looked at, or its user told plainly that
    it will not do. What it answers must not depend on whether there is such a user."""

    def asked(self, request: Request, flow: Flow, now: float) -> None: ...
    def may_try(self, source: str, username: str, now: float) -> bool: ...
    def wrong(self, source: str, username: str, now: float, *, looked_at: bool) -> bool: ...
    def proved(self, source: str, username: str, call_id: str, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class AuthenticationFailed:
    """Somebody at the address `source` who calls himself `username` could not prove it."""

    source: str
    username: str | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a request: go on as `device`, or answer `status` with `headers` added.

    `username` is what the sender called itself, once it said so; `phrase` is the reason phrase, where it is not the
    usual one.
    """

    outcome: Outcome
    reason: Reason
    status: int
    device: Device | None = None
    username: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    phrase: str | None = None


class Authenticator:
    """Checks credentials against the HA1s of the directory. `secret` is the house's own; it makes up the HA1s of
    users that do not exist."""

    def __init__(
        self,
        directory: Directory,
        nonces: NonceBook,
        secret: bytes,
        algorithms: Sequence[str],
        bus: Bus,
        watch: Watch | None = None,
    ) -> None:
        self.watch = watch
        self._directory = directory
        self._nonces = nonces
        self._secret = secret
        self._bus = bus
        self.algorithms = tuple(algorithms)
        self.md5_only: tuple[str, ...] = ()
        """Beginnings of the User-Agent of phones that fail as soon as anything but MD5 is offered."""
        self.failures: dict[Reason, int] = dict.fromkeys(sorted(FAILURES), 0)

    def check(self, request: Request, account: Account, flow: Flow, now: float, *, proxy: bool = False) -> Verdict:
        """Judge `request`, which is meant for `account` and came over `flow`. `proxy` challenges with 407 instead of
        401. Credentials of both kinds of header are read either way: phones mix them up."""
        verdict = self._verdict(request, account, flow, now, proxy)
        if verdict.reason in FAILURES:
            self.failures[verdict.reason] += 1
            self._bus.publish(AuthenticationFailed(flow.remote[0], verdict.username, verdict.reason))
        if self.watch is not None and verdict.outcome is Outcome.PASS:
            self.watch.proved(flow.remote[0], verdict.username or "", request.call_id, now)
        elif verdict.reason not in (Reason.WRONG, Reason.TOO_OFTEN):
            self.stranger(request, flow, now)
        return verdict

    def stranger(self, request: Request, flow: Flow, now: float) -> None:
        """A request outside of any dialog came whose sender has proven nothing."""
        if self.watch is not None:
            self.watch.asked(request, flow, now)

    def _verdict(self, request: Request, account: Account, flow: Flow, now: float, proxy: bool) -> Verdict:
        lines = [*request.headers.all("Authorization"), *request.headers.all("Proxy-Authorization")]
        ours = [each for each in read_credentials(lines[:MAX_CREDENTIALS]) if each.realm == account.realm]
        source = flow.remote[0]
        if not ours:
            if any(map(_is_broken, lines[:MAX_CREDENTIALS])):
                return Verdict(Outcome.REFUSED, Reason.MALFORMED, 400)
            return self._challenge(Reason.NO_CREDENTIALS, request, account, source, now, proxy)
        credentials = ours[0]
        if not _meant_for(request, credentials.uri, account):
            return Verdict(Outcome.REFUSED, Reason.OTHER_URI, 400, None, credentials.username)
        reason, device = self._judge(request, credentials, account, source, now)
        if reason is Reason.PROVEN:
            return Verdict(Outcome.PASS, reason, 200, device, credentials.username)
        if reason in (Reason.WRONG, Reason.TOO_OFTEN) and self.watch is not None:
            looked_at = reason is Reason.WRONG
            if self.watch.wrong(source, credentials.username, now, looked_at=looked_at) or not looked_at:
                return Verdict(Outcome.REFUSED, reason, 403, None, credentials.username, (), PLAINLY)
        return self._challenge(reason, request, account, source, now, proxy, credentials.username)

    def _judge(
        self, request: Request, credentials: Credentials, account: Account, source: str, now: float
    ) -> tuple[Reason, Device | None]:
        algorithm = credentials.algorithm.upper()
        if algorithm not in (*self.algorithms, "MD5" if self.md5_only else "") or credentials.qop == "auth-int":
            return Reason.UNKNOWN_ALGORITHM, None
        # Not what RFC 7616 §3.3 says: a nonce that is not good here is stale whatever was answered to it. To look at
        # the answer first would tell who makes up nonces, and cannot be reached, whether a password is right.
        nonce = self._nonces.look(credentials.nonce, source, now)
        if nonce is not NonceCheck.FRESH:
            return _OF_NONCES[nonce], None
        if self.watch is not None and not self.watch.may_try(source, credentials.username, now):
            return Reason.TOO_OFTEN, None
        device = self._directory.login(account, credentials.username)
        otherwise = made_up(self._secret, credentials.username, algorithm)  # always: it takes no time of its own
        secret = (device or _NOBODY).ha1(credentials.username, algorithm) or otherwise
        try:
            right = verify(secret, request.method, credentials, request.body)
        except ParseError:
            return Reason.UNKNOWN_ALGORITHM, None
        if not right or device is None:
            return Reason.WRONG, None
        use = self._nonces.check(credentials, now)
        return (Reason.PROVEN, device) if use is NonceCheck.FRESH else (_OF_NONCES[use], None)

    def _challenge(
        self,
        reason: Reason,
        request: Request,
        account: Account,
        source: str,
        now: float,
        proxy: bool,
        username: str | None = None,
    ) -> Verdict:
        """A challenge for each algorithm, in the order of the configuration (RFC 8760 §2.4). Where it says `stale`, a
        phone answers again without asking its user (RFC 7616 §3.3)."""
        stale = reason in _STALE
        name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
        nonce = self._nonces.new(now, source)
        algorithms = self.algorithms
        if (request.headers.get("User-Agent") or "").startswith(self.md5_only or ("\0",)):
            algorithms = ("MD5",)
        headers = tuple(
            (name, str(Challenge(account.realm, nonce, algorithm, _QOP, None, stale))) for algorithm in algorithms
        )
        return Verdict(Outcome.CHALLENGE, reason, 407 if proxy else 401, None, username, headers)


def _meant_for(request: Request, said: str, account: Account) -> bool:
    """Whether credentials for the URI `said` are for `request` (RFC 7616 §3.4.6): else somebody whom a phone was made
    to call could challenge it in our name, and call any number with its answer.

    Not what the RFC says: the user part may be missing, and port and parameters may differ, for phones write them in
    their own ways; so may the host, among those of `account`.
    """
    if said == str(request.uri):
        return True
    try:
        uri = Uri.parse(said)
    except ParseError:  # SIPp writes an IPv6 host without its brackets
        return said.startswith("sip:") and request.uri.host in said and "@" not in said
    same_user = uri.user == request.uri.user or None in (uri.user, request.uri.user)
    return same_user and (uri.host == request.uri.host or {uri.host, request.uri.host} <= account.domains)


def _is_broken(line: str) -> bool:
    """Whether `line` means to be Digest credentials and is not; other schemes are merely not ours."""
    if line[:7].lower() != "digest ":
        return False
    try:
        Credentials.parse(line)
    except ParseError:
        return True
    return False
