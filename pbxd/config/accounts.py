"""What an account has: phones, extensions, numbers, groups, trunks, keys. The default account has them at the top level
of the file, every other one under `accounts`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from media.fax import FaxMode
from pbxd.config.destinations import Conference, Extension
from pbxd.config.groups import CallLimits, Queues, RingGroups, UserRing
from pbxd.config.mailboxes import Lamp, Mailbox
from pbxd.config.numbers import E164, DirectNumber, Hours
from pbxd.config.section import (
    RESTART,
    Count,
    Host,
    Label,
    Name,
    NameOrNone,
    Pattern,
    Proxy,
    Seconds,
    Secret,
    Section,
    Slug,
    Switch,
    Timezone,
)
from pbxd.config.sound import OwnCodecs, OwnSrtp
from pbxd.config.values import NetworkField, Number, Numbers, PathField

Scope = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_.:-]{0,62}(:\*)?)$")]
# What a key may be allowed; `*` is everything, `calls:*` all of calls. The contracts of the API say what each opens.
SCOPES = (
    "accounts:read",
    "accounts:write",
    "audit:read",
    "calls:listen",
    "calls:read",
    "calls:write",
    "conferences:read",
    "conferences:write",
    "directory:read",
    "directory:write",
    "edge",
    "fax:read",
    "fax:send",
    "flows:read",
    "flows:write",
    "inbound:list",
    "inbound:read",
    "keys:manage",
    "outbox:read",
    "outbox:write",
    "phones:read",
    "phones:write",
    "queues:read",
    "queues:write",
    "recordings:read",
    "recordings:write",
    "records:read",
    "registrations:read",
    "registrations:write",
    "security:read",
    "security:write",
    "settings:read",
    "trace:audio",
    "trace:read",
    "trace:write",
    "trunks:read",
    "voicemail:read",
    "voicemail:write",
)


_CLOCK = "whose clock its call flows and its nights follow, like Europe/Berlin; null is the house's"


class Account(Section):
    slug: Slug = Field(default="house", description="short name of the default account", json_schema_extra=RESTART)
    name: Label = Field(default="House", description="its name for people")
    realm: Name = Field(
        default="pbxd",
        description="digest realm of its phones; stored passwords are bound to it",
        json_schema_extra=RESTART,
    )
    domains: tuple[Host, ...] = Field(
        default=(), max_length=100, description="host names and addresses that mean this account"
    )
    timezone: Timezone | None = Field(default=None, description=_CLOCK)


class ListenRight(StrEnum):
    """The most that a user may do with calls of others, by phone; each holds those before it."""

    NONE = "none"
    MONITOR = "monitor"
    WHISPER = "whisper"
    BARGE = "barge"


class UserOptions(Section):
    """How calls reach a user, and what the user's own calls show."""

    ring_timeout_s: Annotated[Seconds, Field(le=600)] | None = Field(
        default=None, description="rings for so long; null is the house's"
    )
    ring_strategy: UserRing = Field(
        default=UserRing.SIMULTANEOUS,
        description="its phones all at once, one after the other, or only those with ring_on_fork",
    )
    dnd: Switch = Field(default=False, description="do not disturb: callers are told that it is busy")
    forward_always: Number | None = Field(default=None, description="all calls go on to this number")
    forward_busy: Number | None = Field(default=None, description="those that find it busy")
    forward_no_answer: Number | None = Field(default=None, description="those that nobody takes")
    out_cid_number: Number | None = Field(default=None, description="the number its calls to outside show")
    out_cid_name: Label = Field(default="", description="and the name")
    max_simultaneous: Count | None = Field(default=None, description="calls at a time; null is no limit")
    operator: Switch = Field(default=False, description="takes calls of queues")
    mailbox: Number | None = Field(default=None, description="takes calls it does not; null is that of its number")
    listen_in: ListenRight = Field(
        default=ListenRight.NONE,
        description="none, monitor, whisper or barge: what it may do by phone in calls of others",
    )


class PhoneTransport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class DeviceOptions(Section):
    """How one phone of a user is reached."""

    transport: PhoneTransport | None = Field(
        default=None, description="registers, and is called, over udp, tcp or tls alone; null is as it likes"
    )
    ring_order: Annotated[int, Field(strict=True, ge=0, le=1000)] = Field(
        default=0, description="where its user's phones ring one after the other: lower ones first"
    )
    ring_on_fork: Switch = Field(
        default=True,
        description="rings together with its user's other phones; false: only where none of those is there",
    )


class Phone(UserOptions, DeviceOptions):
    password: Secret = Field(description="its digest password, 8 characters at least")
    name: Label = Field(default="", description="the caller name it shows")
    codecs: OwnCodecs = Field(default=None, description="its own codecs in order of preference; null is the house's")
    srtp: OwnSrtp = Field(default=None, description="off, optional or required; null is the house's")
    mwi: Lamp = Field(default=Lamp.SUBSCRIBED, description="unsolicited: told of messages without asking")


class TrunkRegister(Section):
    username: Label = Field(description="auth username at the provider")
    password: SecretStr = Field(description="its password", min_length=1, max_length=256)
    aor: Label | None = Field(default=None, description="user part registered; null is the username")
    expires_s: Annotated[Seconds, Field(ge=60)] = Field(default=3600, description="the registration time asked for")


class TrunkOptions(Section):
    """How calls get to a provider, and come from it."""

    proxy: Proxy | None = Field(default=None, description="where calls to it go")
    sources: tuple[NetworkField, ...] = Field(default=(), max_length=64, description="addresses its calls come from")
    from_user: Label | None = Field(default=None, description="only calls with this From user are its own")
    max_calls: Count | None = Field(default=None, description="calls at a time over this trunk; null is no limit")
    cid_number: Number | None = Field(default=None, description="the number its calls go out with; null: the caller's")
    transit: Switch = Field(default=False, description="whether calls that come from it may leave again by a route")

    @property
    def objection(self) -> str | None:
        """Why it would be of no use."""
        if self.proxy is None and not self.sources:
            return "a trunk needs a proxy (to call out), sources (to be called), or both"
        if self.from_user is not None and not self.sources:
            return "from_user alone proves nothing: name the sources too"
        return None


class Trunk(TrunkOptions):
    register_: TrunkRegister | None = Field(default=None, alias="register", description="register out to the proxy")
    codecs: OwnCodecs = Field(default=None, description="its own codecs in order of preference; null is the house's")
    srtp: OwnSrtp = Field(default=None, description="off, optional or required; null is the house's")
    fax: FaxMode = Field(default=FaxMode.AUTO, description="auto; t38: asked for at once; g711; passthrough")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.objection is not None:
            raise ValueError(self.objection)
        if self.register_ is not None and self.proxy is None:
            raise ValueError("register needs a proxy to register to")
        return self


class Route(Section):
    match: Pattern = Field(description="the dialled number: digits, X 0-9, Z 1-9, N 2-9, '.' the rest")
    trunk: Name = Field(description="the trunk that takes it")
    strip: Annotated[int, Field(strict=True, ge=0, le=32)] = Field(default=0, description="digits cut from the front")
    prepend: Annotated[str, Field(pattern=r"^[0-9*#+]{0,32}$")] = Field(
        default="", description="digits put in front then"
    )


class Key(Section):
    secret: Secret = Field(description="the key itself, 8 characters at least")
    scopes: tuple[Scope, ...] = Field(
        default=("*",), min_length=1, max_length=64, description="what it may do; * is everything"
    )


Phones = Annotated[dict[Number, Phone], Field(max_length=10_000)]
Extensions = Annotated[dict[Number, Extension], Field(max_length=10_000)]
DirectNumbers = Annotated[dict[E164, DirectNumber], Field(max_length=10_000)]
Schedules = Annotated[dict[Name, Hours], Field(max_length=1_000)]
Trunks = Annotated[dict[Name, Trunk], Field(max_length=1_000)]
Mailboxes = Annotated[dict[Number, Mailbox], Field(max_length=10_000)]
Conferences = Annotated[dict[Numbers, Conference], Field(max_length=1_000)]
Routes = Annotated[tuple[Route, ...], Field(max_length=1_000)]
Keys = Annotated[dict[Name, Key], Field(max_length=1_000)]


class AccountSections(Section):
    """What stands at the top level for the default account, and under `accounts.NAME` for every other."""

    phones: Phones = Field(default={}, description="declared phones by number: user, device and extension in one")
    extensions: Extensions = Field(default={}, description="declared extensions by number")
    numbers: DirectNumbers = Field(default={}, description="numbers that the world dials, and where their calls go")
    schedules: Schedules = Field(default={}, description="opening hours by name, beside those of the call flows")
    ring_groups: RingGroups = Field(default={}, description="users whose phones ring together, by name")
    queues: Queues = Field(default={}, description="where callers wait for somebody, by name")
    call_limits: CallLimits = Field(default={}, description="how many calls there may be, by name")
    conferences: Conferences = Field(default={}, description="conference rooms by number or range of numbers")
    mailboxes: Mailboxes = Field(default={}, description="mailboxes by number: a user's own, or shared")
    trunks: Trunks = Field(default={}, description="providers by name")
    routes: Routes = Field(default=(), description="which trunk takes which dialled number; the first match wins")
    carrier: NameOrNone | None = Field(
        default=None,
        description="the trunk that takes numbers no route fits; null: an account has the house's; empty: none",
    )
    keys: Keys = Field(default={}, description="API keys by name")


class FurtherAccount(AccountSections):
    """A tenant beside the default account."""

    name: Label = Field(default="", description="its name for people; empty is its short name")
    realm: Name | None = Field(default=None, description="digest realm of its phones; null is its first domain")
    domains: tuple[Host, ...] = Field(
        default=(), max_length=100, description="host names that mean this account, the one phones log in with first"
    )
    music: PathField | None = Field(
        default=None, description="folder with its music; null is accounts/NAME/music in data_dir, if there is one"
    )
    timezone: Timezone | None = Field(default=None, description=_CLOCK)


Accounts = Annotated[dict[Slug, FurtherAccount], Field(max_length=1_000)]
