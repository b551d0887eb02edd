"""What the directory knows, as frozen values. The words are those of DESIGN §3."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from dialplan.hours import Schedule
from media.keys import SrtpMode
from media.plan import Codec
from pbxd.config.accounts import ListenRight
from pbxd.config.groups import LimitDirection, LimitScope, MusicMode, QueueStrategy, RingStrategy, UserRing
from pbxd.config.numbers import FaxMode
from pbxd.sip.flow import Transport

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant. `realm` is the digest realm of its devices, `domains` the hosts that mean it, `timezone` whose clock it
    lives by; None is the house's. `carrier` names the trunk of its own that takes numbers no route fits: None is the
    house's, empty none."""

    id: str
    slug: str
    name: str
    realm: str
    domains: frozenset[str] = frozenset()
    timezone: str | None = None
    carrier: str | None = None

    @property
    def domain(self) -> str:
        """What stands behind @ in the log-in of a phone that gives its whole address."""
        return login_domain(self.realm, self.domains)


def login_domain(realm: str, domains: Collection[str]) -> str:
    """The domain of log-ins as user@domain in an account with this realm and these domains."""
    return realm if realm in domains else min(domains, default=realm)


@dataclass(frozen=True, slots=True)
class User:
    """A person of an account. `name` is the user part of the AOR, `display_name` what a called phone shows.

    `ring_timeout_s` None is the house's. `forward_*` are numbers that calls go on to; `out_cid_*` is what calls to
    outside show; `mailbox` None is that of the user's own number; `listen_in` is the most it may do in calls of others.
    """

    id: str
    account_id: str
    name: str
    display_name: str
    ring_timeout_s: int | None = None
    ring_strategy: UserRing = UserRing.SIMULTANEOUS
    dnd: bool = False
    forward_always: str | None = None
    forward_busy: str | None = None
    forward_no_answer: str | None = None
    out_cid_number: str | None = None
    out_cid_name: str = ""
    max_simultaneous: int | None = None
    is_operator: bool = False
    mailbox: str | None = None
    listen_in: ListenRight = ListenRight.NONE
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """The SIP credentials of a phone. HA1 is hex of H(username:realm:password) (RFC 7616 §3.4.2), HA1b that of a phone
    which logs in as username@domain; the password itself is known to nobody but the phone. `user` is the name of the
    user it belongs to. `codecs` is its own list in order of preference, empty for the house's; `srtp` its own policy,
    None for the house's. It registers and is called over `transport` alone, where that is set; `ring_order` and
    `ring_on_fork` say how it rings beside its user's other phones."""

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
    domain: str = ""
    ha1b_md5: str = ""
    ha1b_sha256: str = ""
    transport: Transport | None = None
    ring_order: int = 0
    ring_on_fork: bool = True

    def ha1(self, username: str, algorithm: str) -> str | None:
        """The HA1 for a log-in by this name, MD5 or SHA-256; None where it is no name of this device."""
        md5 = algorithm.upper() == "MD5"
        if username == self.auth_username:
            return self.ha1_md5 if md5 else self.ha1_sha256
        if self.domain and username == f"{self.auth_username}@{self.domain}":
            return (self.ha1b_md5 if md5 else self.ha1b_sha256) or None
        return None

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
    QUEUE = "queue"
    OPERATOR = "operator"
    LISTEN = "listen"  # a code: what is dialled behind it says whose call
    FAX = "fax"


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
    cid_number: str | None = None
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


class DestinationKind(StrEnum):
    """Where a call may go."""

    FLOW = "flow"
    USER = "user"
    EXTENSION = "extension"
    RING_GROUP = "ring_group"
    QUEUE = "queue"
    VOICEMAIL = "voicemail"
    CONFERENCE = "conference"
    FORWARD = "forward"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes: a flow, a user, a number … by its name in the account."""

    kind: DestinationKind
    id: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the world's (E.164 with its plus) that leads to `dest`; while `schedule` says closed or holiday, to
    those. `holiday` None is as `closed`."""

    id: str
    account_id: str
    number: str
    dest: Destination
    closed: Destination | None = None
    holiday: Destination | None = None
    schedule: str | None = None
    max_channels: int | None = None
    fax_mode: FaxMode = FaxMode.VOICE
    allow_anonymous: bool = True
    active: bool = True
    declared: bool = False


@dataclass(frozen=True, slots=True)
class RingGroup:
    """Users whose phones ring together, or one after the other, each for `ring_timeout_s`."""

    id: str
    account_id: str
    name: str
    members: tuple[str, ...]
    strategy: RingStrategy = RingStrategy.SIMULTANEOUS
    ring_timeout_s: int = 25
    no_answer: Destination | None = None


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """What a queue is set to; `members` are names of users. Times are seconds."""

    id: str
    account_id: str
    name: str
    strategy: QueueStrategy = QueueStrategy.LONGEST_IDLE
    members: tuple[str, ...] = ()
    agent_ring_timeout_s: int = 20
    max_wait_s: int = 600
    wrap_up_s: int = 10
    max_no_answer: int = 3
    announce_position: bool = False
    announce_first_s: int = 15
    announce_interval_s: int = 30
    moh_mode: MusicMode = MusicMode.STREAM
    title: str = ""
    penalties: Mapping[str, int] = field(default_factory=dict)
    max_callers: int = 0
    max_expected_wait_s: int = 0
    service_level_s: int = 20
    wait_when_empty: bool = True
    leave_digit: str = ""
    whisper: bool = True
    accept: bool = False
    music: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """Opening hours of an account. The name of `schedule` is what overrides know it by: the account's own."""

    id: str
    account_id: str
    name: str
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class CallLimit:
    """So many calls there may be: at a time (`period_s` 0), or begun within `period_s`. `scope_id` is the name of the
    user, number or trunk; None counts each of them by itself. Not `hard`: more are let in, and said."""

    id: str
    account_id: str
    name: str
    scope_kind: LimitScope
    scope_id: str | None
    direction: LimitDirection
    period_s: int
    max_count: int
    hard: bool = True


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
