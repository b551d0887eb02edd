"""Keys of SRTP in SDP (RFC 4568): a=crypto read with bounds and written, and who chooses what."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from media.keys import MasterKey, Srtp, SrtpMode, SrtpSuite
from pbxd.sip.errors import SdpError
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.sdp import MediaLine

MAX_LINES = 16  # of one media line that are looked at
MAX_VALUE = 512
MAX_MKI = 128  # octets (RFC 4568 §6.1)
PLAIN_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF"})
SECURE_PROTOCOLS = frozenset({"RTP/SAVP", "RTP/SAVPF"})
SUITES = (
    SrtpSuite.AES_CM_128_HMAC_SHA1_80,
    SrtpSuite.AEAD_AES_128_GCM,
    SrtpSuite.AES_256_CM_HMAC_SHA1_80,
    SrtpSuite.AES_CM_128_HMAC_SHA1_32,
)

_SUITES = {suite.value: suite for suite in SrtpSuite} | {
    "AES_CM_256_HMAC_SHA1_80": SrtpSuite.AES_256_CM_HMAC_SHA1_80,  # its name in the drafts, which phones still say
}
_LIFETIME = re.compile(r"2\^([0-9]{1,2})|([0-9]{1,15})")
_MKI = re.compile(r"([0-9]{1,39}):([0-9]{1,3})")
_LONGEST_LIFE = 48  # bits of an SRTP index: no key lives longer
_WINDOW = re.compile(r"WSH=([0-9]{1,5})", re.IGNORECASE)
_SMALLEST_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Protection:
    """The policy of SRTP with one side. `suites` in the order they are offered. `over_plain`: keys may be told where
    signalling is not TLS. `offers`: an optional one is offered, too, not only answered."""

    mode: SrtpMode = SrtpMode.OPTIONAL
    suites: tuple[SrtpSuite, ...] = SUITES
    over_plain: bool = True
    offers: bool = False

    @property
    def secures(self) -> bool:
        """Whether SRTP may be agreed at all."""
        return self.mode is not SrtpMode.OFF

    def over(self, *, secure: bool) -> Protection:
        """The same for signalling that is TLS (`secure`), or is not: there keys may have no business."""
        if secure:
            return replace(self, offers=True)
        if self.over_plain:
            return self
        return replace(self, mode=self.mode if self.demands else SrtpMode.OFF, suites=())

    @property
    def possible(self) -> bool:
        """Whether what it demands can be had at all."""
        return bool(self.suites) or not self.demands

    @property
    def demands(self) -> bool:
        """Whether plain RTP is refused."""
        return self.mode is SrtpMode.REQUIRED


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto that can be used. `name` is the suite as it was written, which an answer repeats."""

    tag: int
    suite: SrtpSuite
    name: str
    key: MasterKey = field(repr=False)
    mki: bytes = b""

    @classmethod
    def parse(cls, value: str) -> Crypto | None:
        """Reads what follows `a=crypto:`. None: another suite, a malformed key, or session parameters that change what
        we cannot change (RFC 4568 §6.3): such a line counts as not offered."""
        parts = value.split() if len(value) <= MAX_VALUE else []
        if len(parts) < 3 or not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 9):
            return None
        suite = _SUITES.get(parts[1].upper())
        if suite is None or not all(map(_tolerable, parts[3:])):
            return None
        read = _read_key(parts[2], suite)
        return None if read is None else cls(int(parts[0]), suite, parts[1], *read)


def _tolerable(parameter: str) -> bool:
    """§6.3.7: what is unknown may be ignored only behind a hyphen. A window of ours is large enough for any hint."""
    window = _WINDOW.fullmatch(parameter)
    return parameter.startswith("-") or (window is not None and int(window[1]) >= _SMALLEST_WINDOW)


def _read_key(text: str, suite: SrtpSuite) -> tuple[MasterKey, bytes] | None:
    method, _, rest = text.partition(":")
    if method.lower() != "inline" or ";" in rest:  # several keys at once: nobody says that, and none could be dropped
        return None
    encoded, *more = rest.split("|")
    octets = _octets(encoded)
    if octets is None or len(octets) != suite.key_length or len(more) > 2:
        return None
    mki = b""
    if more and ":" not in more[0] and not _alive(more.pop(0)):
        return None
    if more:
        found = _read_mki(more.pop(0))
        if found is None:
            return None
        mki = found
    return None if more else (MasterKey(octets), mki)


def _octets(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _alive(text: str) -> bool:
    found = _LIFETIME.fullmatch(text)
    if found is None:
        return False
    return int(found[1]) <= _LONGEST_LIFE if found[1] else 0 < int(found[2]) <= 1 << _LONGEST_LIFE


def _read_mki(text: str) -> bytes | None:
    found = _MKI.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= MAX_MKI:
        return None
    try:
        return int(found[1]).to_bytes(int(found[2]), "big")
    except OverflowError:
        return None


def cryptos_of(line: MediaLine) -> list[Crypto]:
    """Those of a media line that can be used, as they come; of one tag only the first."""
    values = [value or "" for name, value in line.attributes if name == "crypto"]
    found: dict[int, Crypto] = {}
    for value in values[:MAX_LINES]:
        crypto = Crypto.parse(value)
        if crypto is not None:
            found.setdefault(crypto.tag, crypto)
    return list(found.values())


def says_crypto(line: MediaLine) -> bool:
    """Whether the line speaks of keys, usable or not."""
    return line.attribute("crypto") is not None


def acceptable(line: MediaLine, protection: Protection) -> Crypto | None:
    """What of an offered line is taken: the far side's first that the policy has."""
    if not protection.secures:
        return None
    return next((crypto for crypto in cryptos_of(line) if crypto.suite in protection.suites), None)


def why_unprotected(line: MediaLine, protection: Protection) -> str | None:
    """Why the line's protection cannot be agreed to; None when it can."""
    secure = line.proto.upper() in SECURE_PROTOCOLS
    if secure and not protection.secures:
        return "SRTP is not wanted here"
    if not (secure or protection.demands) or acceptable(line, protection) is not None:
        return None
    if says_crypto(line):
        return "no crypto suite in common"
    return "SRTP without a key in SDP" if secure else "SRTP is required"


@dataclass(slots=True)
class KeyRing:
    """The keys of one leg as they are offered and agreed. `agreed` is None for plain RTP. A key of ours lives as long
    as its context in wire does, so that no key stream is ever used twice."""

    protection: Protection = field(default_factory=Protection)
    agreed: Srtp | None = None
    _settled: bool = False
    _protocol: str = ""
    _tag: int = 1
    _name: str = ""
    _offered: dict[int, tuple[SrtpSuite, MasterKey]] = field(default_factory=dict, repr=False)

    def offer(self) -> tuple[str, tuple[tuple[str, str | None], ...]]:
        """Protocol and a=crypto of an offer: what is agreed, if anything is; else what the policy offers."""
        if self.agreed is not None:
            self._offered = {self._tag: (self.agreed.suite, self.agreed.send)}
            return self._protocol, (self._written(self._tag, self._name, self.agreed.send),)
        # Not what RFC 4568 §9 says: keys need RTP/SAVP there, which a phone without SRTP refuses. What is optional is
        # offered as RTP/AVP, which phones with SRTP answer with a key and all others as ever.
        self._protocol = "RTP/SAVP" if self.protection.demands else "RTP/AVP"
        if not self.protection.demands and (self._settled or not self.protection.offers):
            return self._protocol, ()
        if not self._offered:
            suites = enumerate(self.protection.suites, 1)
            self._offered = {tag: (suite, MasterKey.fresh(suite)) for tag, suite in suites}
        lines = tuple(self._written(tag, suite.value, key) for tag, (suite, key) in self._offered.items())
        return self._protocol, lines

    def answer(self, line: MediaLine) -> tuple[tuple[str, str | None], ...]:
        """The a=crypto that answers an offered line. Raises SdpError (488) when its protection cannot be agreed to."""
        refusal = why_unprotected(line, self.protection)
        if refusal is not None:
            raise SdpError(refusal, 488)
        chosen = acceptable(line, self.protection)
        self._settled = True
        self._protocol = line.proto
        if chosen is None:
            self.agreed = None  # its context is gone with it: the next key is a new one
            return ()
        agreed = self.agreed
        send = agreed.send if agreed and agreed.suite is chosen.suite else MasterKey.fresh(chosen.suite)
        self._agree(chosen, send)
        return (self._written(chosen.tag, chosen.name, send),)

    def accept(self, line: MediaLine) -> None:
        """Takes the answer to our offer. Raises SdpError (488) when it does not fit what we offered.
        RFC 4568 §5.1.3."""
        self._settled = True
        if not says_crypto(line):
            if self._protocol in SECURE_PROTOCOLS or line.proto.upper() in SECURE_PROTOCOLS:
                raise SdpError("the answer is to be SRTP, and has no key", 488)
            self.agreed = None
            return
        cryptos = cryptos_of(line)
        found = self._offered.get(cryptos[0].tag) if len(cryptos) == 1 else None
        if found is None or found[0] is not cryptos[0].suite:
            raise SdpError("the answer's key is none that we offered", 488)
        self._agree(cryptos[0], found[1])

    def _agree(self, theirs: Crypto, ours: MasterKey) -> None:
        if theirs.key == ours:
            raise SdpError("the key of the far side is our own", 488)  # both ways would share one key stream
        self.agreed = Srtp(theirs.suite, ours, theirs.key, theirs.mki)
        self._tag, self._name = theirs.tag, theirs.name

    def wipe(self) -> None:
        """Overwrites every key, when the leg has ended."""
        if self.agreed is not None:
            self.agreed.wipe()
        for _suite, key in self._offered.values():
            key.wipe()
        self._offered = {}

    @staticmethod
    def _written(tag: int, name: str, key: MasterKey) -> tuple[str, str | None]:
        return "crypto", f"{tag} {name} inline:{base64.b64encode(key.octets).decode()}"


def refusal_of(lines: Sequence[MediaLine], protection: Protection) -> str | None:
    """Why no audio line of an offer can be protected as the policy wants; None when one can, or there is none."""
    reasons = [why_unprotected(line, protection) for line in lines if line.port and line.kind == "audio"]
    return reasons[0] if reasons and None not in reasons else None


def all_secure(destinations: Sequence[Destination]) -> bool:
    """Whether every next hop that may be tried is TLS: only then nobody on the way reads the keys in SDP."""
    return all(destination.transport is Transport.TLS for destination in destinations)
