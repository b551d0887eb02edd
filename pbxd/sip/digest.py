"""Digest authentication for both sides (RFC 3261 §22, RFC 7616, RFC 8760; RFC 2617 without qop for old phones)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any, Final
from urllib.parse import unquote as percent_unquote

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import has_controls, is_token, quote, split_list, unquote

_Hash = Callable[[bytes], Any]


def _hashes() -> dict[str, _Hash]:
    known: dict[str, _Hash] = {"SHA-256": hashlib.sha256}
    if "sha512_256" in hashlib.algorithms_available:
        known = {"SHA-512-256": lambda data: hashlib.new("sha512_256", data), **known}
    return {**known, "MD5": lambda data: hashlib.md5(data, usedforsecurity=False)}


_HASHES: Final = _hashes()  # strongest first
ALGORITHMS: Final = tuple(_HASHES)
_SESS: Final = "-SESS"


def _digest(algorithm: str, text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    digest: str = _hash_for(algorithm)(data).hexdigest()
    return digest


def _hash_for(algorithm: str) -> _Hash:
    try:
        return _HASHES[algorithm.upper().removesuffix(_SESS)]
    except KeyError:
        raise ParseError("Unknown digest algorithm") from None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of WWW-Authenticate or Proxy-Authenticate. `qop` is empty for a peer that knows only RFC 2069."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ("auth",)
    opaque: str | None = None
    stale: bool = False

    @classmethod
    def parse(cls, value: str) -> Challenge:
        """Reads a header line that holds one Digest challenge. Raises ParseError."""
        return cls._of(_read_params(value))

    @classmethod
    def _of(cls, params: dict[str, str]) -> Challenge:
        if "realm" not in params or not params.get("nonce"):
            raise ParseError("Challenge without realm or nonce")
        return cls(
            params["realm"],
            params["nonce"],
            _algorithm(params),
            tuple(option.strip().lower() for option in params.get("qop", "").split(",") if option.strip()),
            params.get("opaque"),
            params.get("stale", "").lower() == "true",
        )

    @property
    def supported(self) -> bool:
        """Whether `answer` can do it."""
        known = self.algorithm.upper().removesuffix(_SESS) in _HASHES
        return known and (not self.qop or "auth" in self.qop or "auth-int" in self.qop)

    def __str__(self) -> str:
        text = f"Digest realm={quote(self.realm)}, nonce={quote(self.nonce)}, algorithm={self.algorithm}"
        if self.qop:
            text += f", qop={quote(','.join(self.qop))}"
        if self.opaque is not None:
            text += f", opaque={quote(self.opaque)}"
        return text + ", stale=true" if self.stale else text


@dataclass(frozen=True, slots=True)
class Credentials:
    """One Authorization or Proxy-Authorization. `nc` is the text that came, eight hexadecimal digits, as it goes into
    the hash; `qop` None is the way of RFC 2069."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    qop: str | None = None
    nc: str | None = None
    cnonce: str | None = None
    opaque: str | None = None

    @classmethod
    def parse(cls, value: str) -> Credentials:
        """Reads a header line with Digest credentials. Raises ParseError; with qop, nc and cnonce must be there."""
        params = _read_params(value)
        if "username" not in params and "username*" in params:
            params["username"] = _extended_value(params["username*"])
        if any(name not in params for name in ("username", "realm", "nonce", "uri", "response")):
            raise ParseError("Incomplete credentials")
        qop = params["qop"].lower() if params.get("qop") else None
        if qop not in (None, "auth", "auth-int"):
            raise ParseError("Unknown qop")
        if qop and not (params.get("cnonce") and _is_nonce_count(params.get("nc", ""))):
            raise ParseError("Incomplete credentials")
        return cls(
            params["username"],
            params["realm"],
            params["nonce"],
            params["uri"],
            params["response"].lower(),
            _algorithm(params),
            qop,
            params.get("nc") if qop else None,
            params.get("cnonce"),
            params.get("opaque"),
        )

    @property
    def nonce_count(self) -> int | None:
        """`nc` as a number, None without qop."""
        return int(self.nc, 16) if self.nc is not None else None

    def __str__(self) -> str:
        text = (
            f"Digest username={quote(self.username)}, realm={quote(self.realm)}, nonce={quote(self.nonce)}, "
            f"uri={quote(self.uri)}, response={quote(self.response)}, algorithm={self.algorithm}"
        )
        if self.cnonce is not None:
            text += f", cnonce={quote(self.cnonce)}"
        if self.qop is not None:
            text += f", qop={self.qop}, nc={self.nc}"
        return text if self.opaque is None else f"{text}, opaque={quote(self.opaque)}"


def _algorithm(params: dict[str, str]) -> str:
    """RFC 7616 §3.3: MD5 when not given; phones write it with or without quotes."""
    algorithm = params.get("algorithm", "MD5")
    if not is_token(algorithm):
        raise ParseError("Bad digest parameter")
    return algorithm


def _is_nonce_count(text: str) -> bool:
    return 0 < len(text) <= 8 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def _extended_value(text: str) -> str:
    """`UTF-8''J%C3%A4s%C3%B8n` (RFC 5987, for the username of RFC 7616 §3.4)."""
    charset, _, rest = text.partition("'")
    value = percent_unquote(rest.partition("'")[2], errors="replace")
    if charset.upper() != "UTF-8" or has_controls(value):
        raise ParseError("Bad extended value")
    return value


def _read_params(value: str) -> dict[str, str]:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        raise ParseError("Not the Digest scheme")
    return _params_of(split_list(rest.strip()))


def _params_of(pieces: Iterable[str]) -> dict[str, str]:
    params: dict[str, str] = {}
    for piece in pieces:
        name, equals, text = piece.partition("=")
        name = name.strip().lower()
        if not equals or not name or name in params:
            raise ParseError("Bad digest parameter")
        value = params[name] = unquote(text.strip())
        if has_controls(value):
            raise ParseError("Bad digest parameter")
    return params


def read_challenges(lines: Iterable[str]) -> list[Challenge]:
    """The Digest challenges of header lines, several to a line allowed. Other schemes and broken ones are left out."""
    found = []
    for line in lines:
        group: list[str] = []
        groups = [group]
        for piece in split_list(line):
            if " " in piece.partition("=")[0].strip():  # `Digest realm` begins another challenge
                groups.append(group := [])
            group.append(piece)
        for pieces in groups:
            try:
                found.append(Challenge.parse(", ".join(pieces)))
            except ParseError:
                continue
    return found


def read_credentials(lines: Iterable[str]) -> list[Credentials]:
    """The Digest credentials of header lines. Other schemes and broken ones are left out."""
    found = []
    for line in lines:
        try:
            found.append(Credentials.parse(line))
        except ParseError:
            continue
    return found


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """H(username:realm:password) in hexadecimal: all a server needs to keep. The -sess variants use the same one."""
    return _digest(algorithm, f"{username}:{realm}:{password}")


def expected_response(secret: str, method: str, credentials: Credentials, body: bytes = b"") -> str:
    """The response (hexadecimal) that who knows the HA1 `secret` gives to the rest of `credentials` (RFC 7616 §3.4.1).

    Raises ParseError when the algorithm is unknown.
    """
    algorithm = credentials.algorithm
    if algorithm.upper().endswith(_SESS):
        secret = _digest(algorithm, f"{secret}:{credentials.nonce}:{credentials.cnonce or ''}")
    a2 = f"{method}:{credentials.uri}"
    if credentials.qop == "auth-int":
        a2 += ":" + _digest(algorithm, body)
    middle = ""
    if credentials.qop is not None:
        middle = f"{credentials.nc}:{credentials.cnonce}:{credentials.qop}:"
    return _digest(algorithm, f"{secret}:{credentials.nonce}:{middle}{_digest(algorithm, a2)}")


def verify(secret: str, method: str, credentials: Credentials, body: bytes = b"") -> bool:
    """Whether `credentials` prove knowledge of the HA1 `secret`; compared in constant time.

    Raises ParseError when the algorithm is unknown.
    """
    expected = expected_response(secret, method, credentials, body)
    return hmac.compare_digest(expected.encode(), credentials.response.encode(errors="replace"))


def answer(
    challenges: Challenge | Iterable[Challenge],
    *,
    method: str,
    uri: object,
    username: str,
    password: str | None = None,
    ha1s: Mapping[str, str] | None = None,
    cnonce: str,
    nc: int = 1,
    body: bytes = b"",
) -> Credentials:
    """Credentials for the strongest challenge that can be met (RFC 8760 §2.4), with `password`, or with HA1s by base
    algorithm name (upper case). `uri` is the Request-URI. Raises ParseError when no challenge can be met."""
    offered = [challenges] if isinstance(challenges, Challenge) else list(challenges)
    secrets = {name.upper(): secret for name, secret in (ha1s or {}).items()}
    for base in ALGORITHMS:
        for challenge in offered:
            if challenge.algorithm.upper().removesuffix(_SESS) != base or not challenge.supported:
                continue
            if password is not None:
                secret: str | None = ha1(username, challenge.realm, password, base)
            else:
                secret = secrets.get(base)
            if secret is not None:
                return _respond(challenge, secret, method, str(uri), username, cnonce, nc, body)
    raise ParseError("No challenge that can be answered")


def _respond(
    challenge: Challenge, secret: str, method: str, uri: str, username: str, cnonce: str, nc: int, body: bytes
) -> Credentials:
    qop = None
    if challenge.qop:
        qop = "auth" if "auth" in challenge.qop else "auth-int"
    session = challenge.algorithm.upper().endswith(_SESS)
    draft = Credentials(
        username,
        challenge.realm,
        challenge.nonce,
        uri,
        "",
        challenge.algorithm,
        qop,
        f"{nc:08x}" if qop else None,
        cnonce if qop or session else None,
        challenge.opaque,
    )
    response = expected_response(secret, method, draft, body)
    return Credentials(
        draft.username,
        draft.realm,
        draft.nonce,
        draft.uri,
        response,
        draft.algorithm,
        draft.qop,
        draft.nc,
        draft.cnonce,
        draft.opaque,
    )


class NonceCheck(Enum):
    """What a nonce is worth."""

    FRESH = "fresh"  # ours, young, and this count was not used before
    STALE = "stale"  # ours, but too old: challenge again with stale=true
    REPLAYED = "replayed"  # this count was used before
    FORGED = "forged"  # not ours
    ELSEWHERE = "elsewhere"  # ours, but given to another address


@dataclass(slots=True)
class _Use:
    issued_ms: int
    top: int  # the highest count seen
    seen: int  # bit n: count top-n was seen


class NonceBook:
    """Makes nonces that need no memory until they are used, and remembers which counts of a nonce were used.

    A nonce is time and serial number under an HMAC of `secret` (RFC 7616 §5.4), and the mark of the address it was
    given to: an answer to it proves that its sender can be reached there. Counts may come out of order within
    a window of 64 (UDP). At most `capacity` used nonces are kept; one that had to be forgotten early, and any issued
    before it, counts as stale. Call `check` only after `verify` said yes: then no stranger can fill the book, and
    stale=true goes only to who knows the password (RFC 7616 §3.3).
    """

    WINDOW: Final = 64

    __slots__ = ("_capacity", "_horizon_ms", "_lifetime_ms", "_secret", "_serial", "_uses")

    def __init__(self, secret: bytes, lifetime_s: float = 300, capacity: int = 65_536) -> None:
        self._secret = secret
        self._lifetime_ms = int(lifetime_s * 1000)
        self._capacity = capacity
        self._serial = count()
        self._uses: dict[str, _Use] = {}
        self._horizon_ms = -1  # nonces issued up to here may have been forgotten

    def __len__(self) -> int:
        return len(self._uses)

    def new(self, now: float, source: str = "") -> str:
        """A nonce never given out before, for the address `source`. `now` is monotonic seconds."""
        stamp = int(now * 1000).to_bytes(8, "big") + (next(self._serial) & 0xFFFFFFFF).to_bytes(4, "big")
        marked = stamp + self._mark(stamp, source)
        return b64encode(marked + self._mac(marked)).decode()

    def _mac(self, marked: bytes) -> bytes:
        return hmac.digest(self._secret, marked, "sha256")[:15]

    def _mark(self, stamp: bytes, source: str) -> bytes:
        return hmac.digest(self._secret, stamp + source.encode(), "sha256")[:9]

    def look(self, nonce: str, source: str, now: float) -> NonceCheck:
        """What a nonce that comes from the address `source` is worth by itself: never REPLAYED. Remembers nothing."""
        issued_ms = self._issued(nonce)
        if issued_ms is None:
            return NonceCheck.FORGED
        if not 0 <= int(now * 1000) - issued_ms <= self._lifetime_ms:
            return NonceCheck.STALE
        raw = b64decode(nonce)
        at_home = hmac.compare_digest(self._mark(raw[:12], source), raw[12:21])
        return NonceCheck.FRESH if at_home else NonceCheck.ELSEWHERE

    def check(self, credentials: Credentials, now: float) -> NonceCheck:
        """Judges the nonce and count of credentials whose response is right, and marks the count as used.

        Without qop there is no count: such an answer counts as the first, so it passes once for each nonce.
        """
        issued_ms = self._issued(credentials.nonce)
        if issued_ms is None:
            return NonceCheck.FORGED
        age_ms = int(now * 1000) - issued_ms
        if not 0 <= age_ms <= self._lifetime_ms:
            return NonceCheck.STALE
        number = credentials.nonce_count or 1
        use = self._uses.get(credentials.nonce)
        if use is None:
            if issued_ms <= self._horizon_ms:
                return NonceCheck.STALE
            self._make_room(now)
            self._uses[credentials.nonce] = _Use(issued_ms, number, 1)
            return NonceCheck.FRESH
        return NonceCheck.FRESH if self._count(use, number) else NonceCheck.REPLAYED

    def _issued(self, nonce: str) -> int | None:
        """When one of our nonces was made, in ms; None for any other text."""
        try:
            raw = b64decode(nonce, validate=True)
        except ValueError:
            return None
        if len(raw) != 36 or not hmac.compare_digest(self._mac(raw[:21]), raw[21:]):
            return None
        return int.from_bytes(raw[:8], "big")

    def _count(self, use: _Use, number: int) -> bool:
        ahead = number - use.top
        if ahead > 0:
            use.seen = (use.seen << ahead | 1) & (1 << self.WINDOW) - 1 if ahead < self.WINDOW else 1
            use.top = number
            return True
        if -ahead >= self.WINDOW or use.seen >> -ahead & 1:
            return False
        use.seen |= 1 << -ahead
        return True

    def _make_room(self, now: float) -> None:
        oldest_ms = int(now * 1000) - self._lifetime_ms
        while self._uses:
            nonce, use = next(iter(self._uses.items()))
            if use.issued_ms >= oldest_ms:
                if len(self._uses) < self._capacity:
                    return
                self._horizon_ms = max(self._horizon_ms, use.issued_ms)
            del self._uses[nonce]
