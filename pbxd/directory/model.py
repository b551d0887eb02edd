"""What the directory knows, as frozen values. The words are those of DESIGN §3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from media.keys import SrtpMode
from media.plan import Codec

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant. `realm` is the digest realm of its devices, `domains` the hosts that mean it."""

    id: str
    slug: str
    name: str
    realm: str
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class User:
    """A person of an account. `name` is the user part of the AOR, `display_name` what a called phone shows."""

    id: str
    account_id: str
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Device:
    """The SIP credentials of a phone. HA1 is hex of H(username:realm:password) (RFC 7616 §3.4.2); the password itself
    is known to nobody but the phone. `user` is the name of the user it belongs to. `codecs` is its own list in order of
    preference, empty for the house's; `srtp` its own policy, None for the house's."""

    id: str
    account_id: str
    auth_username: str
    realm: str
    ha1_md5: str
    ha1_sha256: str
    user: str
    declared: bool = False
    codecs: tuple[Codec, ...] = ()
    srtp: SrtpMode | None = None

    def __repr__(self) -> str:
        return f"Device({self.auth_username!r} of {self.user!r})"


class ExtensionKind(StrEnum):
    USER = "user"
    ECHO = "echo"
    DIGITS = "digits"
    PLAY = "play"
    CALLER = "caller"
    CONFERENCE = "conference"
    VOICEMAIL_OWN = "voicemail_own"
    VOICEMAIL_ANY = "voicemail_any"
    VOICEMAIL_LEAVE = "voicemail_leave"
    FLOW = "flow"


@dataclass(frozen=True, slots=True)
class Extension:
    """An internal number and what it leads to; `user` is a user's name for `USER`, else None. `options` are those of
    its kind, as the configuration says them."""

    id: str
    account_id: str
    number: str
    kind: ExtensionKind
    user: str | None = None
    declared: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrunkRegister:
    """How a trunk registers out. `aor` is the user part registered, `expires_s` the time asked for."""

    username: str
    password: str
    aor: str
    expires_s: int

    def __repr__(self) -> str:
        return f"TrunkRegister({self.username!r} as {self.aor!r}, {self.expires_s} s)"


@dataclass(frozen=True, slots=True)
class Trunk:
    """A provider: called at `proxy` (text of a SIP URI), trusted by `sources` and, where set, `from_user`.
    Its calls may leave again by a route only with `transit`. `codecs` is its own list, empty for the house's;
    `srtp` its own policy, None for the house's."""

    id: str
    account_id: str
    name: str
    proxy: str | None
    sources: tuple[Network, ...] = ()
    from_user: str | None = None
    register: TrunkRegister | None = None
    max_calls: int | None = None
    transit: bool = False
    declared: bool = False
    codecs: tuple[Codec, ...] = ()
    srtp: SrtpMode | None = None


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """Numbers that match `pattern` go to the trunk named `trunk`, `strip` digits cut and `prepend` put in front."""

    account_id: str
    pattern: re.Pattern[str]
    trunk: str
    strip: int = 0
    prepend: str = ""


@dataclass(frozen=True, slots=True)
class OwnSound:
    """What one phone or trunk has of its own: codecs (empty: none) and SRTP (None: none)."""

    codecs: tuple[Codec, ...] = ()
    srtp: SrtpMode | None = None


@dataclass(frozen=True, slots=True)
class DeclaredSound:
    """The sound of declared phones (by their log-in) and trunks (by name)."""

    phones: Mapping[tuple[str, str], OwnSound] = field(default_factory=dict)
    trunks: Mapping[tuple[str, str], OwnSound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Aor:
    """An address of record: what phones register to. `user` is a user's name, never an extension or an alias."""

    account_id: str
    user: str


@dataclass(frozen=True, slots=True)
class PhoneEntry:
    """One line of `pbxd phones`."""

    extension: str
    user: str
    display_name: str
    auth_username: str
    declared: bool


class LimitScope(StrEnum):
    """What a limit counts the calls of."""

    ACCOUNT = "account"
    USER = "user"
    NUMBER = "number"
    TRUNK = "trunk"


class LimitDirection(StrEnum):
    """Which of them."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class CallLimit:
    """How many calls something of an account may have: at a time with `period_s` 0, else begun within so many seconds.
    A `hard` limit refuses, the other kind warns. `scope_id` is a user's, number's or trunk's name or id."""

    id: str
    account_id: str
    scope_kind: LimitScope
    scope_id: str
    direction: LimitDirection
    period_s: int
    max_count: int
    hard: bool = True
