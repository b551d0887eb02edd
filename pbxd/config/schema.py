"""Every setting: its type, its default and what it is for. `etc/pbxd.yaml` says the same in full sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from pbxd.config.acoustics import Sound
from pbxd.config.destinations import Conference, Extension
from pbxd.config.dialplan import Dialplan
from pbxd.config.faxes import Faxes
from pbxd.config.mailboxes import Lamp, Mailbox, Voicemail
from pbxd.config.recordings import Recordings
from pbxd.config.section import (
    RESTART,
    Count,
    Host,
    Label,
    MailAddress,
    Name,
    Pattern,
    Proxy,
    PublicUrl,
    Seconds,
    SecondsOrNever,
    Secret,
    Section,
    ServerName,
    Switch,
)
from pbxd.config.security import Security
from pbxd.config.sound import Codecs, OwnCodecs, OwnSrtp, Srtp
from pbxd.config.tracing import Trace
from pbxd.config.values import (
    Address,
    AddressField,
    IPv4Field,
    IPv6Field,
    NetworkField,
    Number,
    NumberRange,
    NumberRangeField,
    Numbers,
    PathField,
    PortRange,
    PortRangeField,
)


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class DigestAlgorithm(StrEnum):
    SHA_256 = "SHA-256"
    MD5 = "MD5"


class Redirects(StrEnum):
    REFUSE = "refuse"
    FOLLOW = "follow"


class MailSecurity(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class SourceKind(StrEnum):
    DEFAULT = "default"
    FILE = "file"
    SETTINGS = "settings file"
    SET = "--set"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was said: `where` is `etc/pbxd.yaml:12`, `--set sip.udp`, or empty for a default."""

    kind: SourceKind
    where: str = ""


Scope = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_.:-]{0,62}(:\*)?)$")]
# What a key may be allowed; `*` is everything, `calls:*` all of calls. The contracts of the API say what each opens.
SCOPES = (
    "calls:listen",
    "calls:read",
    "calls:write",
    "conferences:read",
    "conferences:write",
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


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part) for part in text.split())


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(Address.parse(part) for part in text.split())


class Log(Section):
    level: LogLevel = Field(default=LogLevel.INFO, description="the least important line that is written")
    format: LogFormat = Field(
        default=LogFormat.AUTO, description="auto is text on a terminal and JSON otherwise", json_schema_extra=RESTART
    )


class Account(Section):
    slug: Name = Field(default="house", description="short name of the default account", json_schema_extra=RESTART)
    name: Label = Field(default="House", description="its name for people")
    realm: Name = Field(
        default="pbxd",
        description="digest realm of its phones; stored passwords are bound to it",
        json_schema_extra=RESTART,
    )
    domains: tuple[Host, ...] = Field(
        default=(), max_length=100, description="host names and addresses that mean this account"
    )


class External(Section):
    ipv4: IPv4Field | None = Field(default=None, description="our IPv4 address as seen from outside local_nets")
    ipv6: IPv6Field | None = Field(default=None, description="our IPv6 address as seen from outside local_nets")
    stun: Host | None = Field(default=None, description="STUN server, host:port, that `pbxd doctor` asks")


class Digest(Section):
    algorithms: tuple[DigestAlgorithm, ...] = Field(
        default=(DigestAlgorithm.MD5, DigestAlgorithm.SHA_256),
        min_length=1,
        max_length=2,
        description="offered, strongest first",
    )
    md5_only: tuple[Label, ...] = Field(
        default=("baresip v0.", "baresip v1."),
        max_length=64,
        description="beginnings of the User-Agent of phones that are offered MD5 alone",
    )
    nonce_lifetime_s: Seconds = Field(
        default=300, description="how long one challenge may be answered", json_schema_extra=RESTART
    )


class RegistrarLimits(Section):
    min_expires_s: Seconds = Field(default=60, le=3600, description="shorter registrations are refused with 423")
    default_expires_s: Seconds = Field(default=3600, description="for a phone that asks for no particular time")
    max_expires_s: Seconds = Field(default=7200, description="longer wishes are shortened to this")
    max_contacts: Count = Field(default=10, le=100, description="phones that may be registered to one user at a time")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_expires_s <= self.default_expires_s <= self.max_expires_s:
            raise ValueError("min_expires_s <= default_expires_s <= max_expires_s must hold")
        return self


class SessionTimer(Section):
    expires_s: Seconds = Field(default=1800, ge=90, description="how often a call proves that both ends are alive")
    min_se_s: Seconds = Field(
        default=90, ge=90, description="the shortest interval we agree to (RFC 4028 §5: 90 at least)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_se_s > self.expires_s:
            raise ValueError("min_se_s <= expires_s must hold")
        return self


class Guard(Section):
    rate: Count = Field(default=100, description="datagrams a second one source may send for long")
    burst: Count = Field(default=400, description="datagrams one source may send at once")
    trusted: tuple[NetworkField, ...] = Field(
        default=(), max_length=256, description="sources never limited and never banned"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.burst < self.rate:
            raise ValueError("burst >= rate must hold")
        return self


class ServerCertificate(Section):
    names: tuple[ServerName, ...] = Field(
        min_length=1, max_length=64, description="server names it is shown for; *.example.com is any name there"
    )
    certificate: PathField = Field(description="PEM chain")
    private_key: PathField = Field(description="PEM key of the certificate")


class Sip(Section):
    udp: tuple[AddressField, ...] = Field(
        default=_addresses("0.0.0.0:5060 [::]:5060"),
        max_length=16,
        description="UDP listeners",
        json_schema_extra=RESTART,
    )
    tcp: tuple[AddressField, ...] = Field(
        default=_addresses("0.0.0.0:5060 [::]:5060"),
        max_length=16,
        description="TCP listeners",
        json_schema_extra=RESTART,
    )
    tls: tuple[AddressField, ...] = Field(
        default=_addresses("0.0.0.0:5061 [::]:5061"),
        max_length=16,
        description="TLS listeners",
        json_schema_extra=RESTART,
    )
    external: External = Field(default=External(), description="what far sides outside local_nets are told")
    local_nets: tuple[NetworkField, ...] = Field(
        default=_networks(
            "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.0/8 fc00::/7 fe80::/10 ::1/128"
        ),
        max_length=256,
        description="networks that reach us without address translation",
    )
    certificate: PathField | None = Field(
        default=None,
        description="PEM chain for TLS; null is self-signed, made at first start",
    )
    private_key: PathField | None = Field(default=None, description="PEM key of the certificate")
    certificates: tuple[ServerCertificate, ...] = Field(
        default=(), max_length=64, description="further certificates, each for server names of its own"
    )
    user_agent: Label = Field(
        default="pbxd", description="the User-Agent and Server we state", json_schema_extra=RESTART
    )
    digest: Digest = Field(default=Digest(), description="how phones prove who they are")
    registrar: RegistrarLimits = Field(default=RegistrarLimits(), description="limits of registrations")
    session_timer: SessionTimer = Field(default=SessionTimer(), description="RFC 4028")
    reliable_provisional: Switch = Field(
        default=True, description="acknowledge ringing where the far side can (RFC 3262)"
    )
    redirects: Redirects = Field(default=Redirects.REFUSE, description="what a 3xx of a called side leads to")
    max_transactions: Count = Field(
        default=50_000, description="live transactions; above that 503", json_schema_extra=RESTART
    )
    max_connections: Count = Field(default=2_000, description="open TCP and TLS connections", json_schema_extra=RESTART)
    connect_timeout_s: Seconds = Field(
        default=5, description="for a TCP or TLS connection we open", json_schema_extra=RESTART
    )
    connection_idle_s: Seconds = Field(
        default=7_500, description="a connection silent for so long is closed", json_schema_extra=RESTART
    )
    nat_keepalive_s: SecondsOrNever = Field(default=30, description="pings that keep a phone's NAT open; 0 is never")
    guard: Guard = Field(default=Guard(), description="limits of what one source may send")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key are given together or not at all")
        return self


class RtpAddress(Section):
    ipv4: IPv4Field | None = Field(
        default=None, description="local IPv4 address of sound; null is that of the SIP socket"
    )
    ipv6: IPv6Field | None = Field(
        default=None, description="local IPv6 address of sound; null is that of the SIP socket"
    )


class Rtp(Section):
    ports: PortRangeField = Field(
        default=PortRange(10_000, 19_999),
        description="UDP ports of sound; one call takes four",
        json_schema_extra=RESTART,
    )
    address: RtpAddress = Field(default=RtpAddress(), description="where sound is received", json_schema_extra=RESTART)
    quarantine_s: SecondsOrNever = Field(
        default=2, description="how long a used port rests before the next call gets it"
    )


class Calls(Section):
    max: Count = Field(default=1_000, description="calls at a time; above that 503")
    setup_rate: Count = Field(default=300, description="new calls a second; above that 503")
    ring_timeout_s: Seconds = Field(default=60, description="a call not answered for so long ends")
    max_duration_s: Seconds = Field(default=14_400, description="no call lasts longer")
    rtp_timeout_s: SecondsOrNever = Field(default=60, description="a call without sound for so long ends; 0 is never")
    drain_s: SecondsOrNever = Field(default=20, description="how long a stop waits for calls to end")


class Http(Section):
    listen: AddressField = Field(
        default=Address("127.0.0.1", 8080),
        description="the control plane: API, health, metrics",
        json_schema_extra=RESTART,
    )
    tls: tuple[AddressField, ...] = Field(
        default=(),
        max_length=16,
        description="the same over HTTPS, with the certificates of sip",
        json_schema_extra=RESTART,
    )
    public_url: PublicUrl | None = Field(default=None, description="how the world reaches the control plane")
    trusted_proxies: tuple[NetworkField, ...] = Field(
        default=(), max_length=64, description="proxies whose X-Forwarded-For and -Proto are believed"
    )


class FirstStart(Section):
    phones: NumberRangeField = Field(
        default=NumberRange.parse("1001-1010"), description="phones that get an extension and a password at first start"
    )
    admin_key: Switch = Field(default=True, description="make an API key at first start, shown once")


class Phone(Section):
    password: Secret = Field(description="its digest password, 8 characters at least")
    name: Label = Field(default="", description="the caller name it shows")
    codecs: OwnCodecs = Field(default=None, description="its own codecs in order of preference; null is the house's")
    srtp: OwnSrtp = Field(default=None, description="off, optional or required; null is the house's")
    mwi: Lamp = Field(default=Lamp.SUBSCRIBED, description="unsolicited: told of messages without asking")


class TrunkRegister(Section):
    username: Label = Field(description="auth username at the provider")
    password: SecretStr = Field(description="its password", min_length=1, max_length=256)
    aor: Label | None = Field(default=None, description="user part registered; null is the username")
    expires_s: Seconds = Field(default=3600, ge=60, description="the registration time asked for")


class Trunk(Section):
    proxy: Proxy | None = Field(default=None, description="where calls to it go")
    sources: tuple[NetworkField, ...] = Field(default=(), max_length=64, description="addresses its calls come from")
    from_user: Label | None = Field(default=None, description="only calls with this From user are its own")
    register_: TrunkRegister | None = Field(default=None, alias="register", description="register out to the proxy")
    max_calls: Count | None = Field(default=None, description="calls at a time over this trunk; null is no limit")
    transit: Switch = Field(default=False, description="whether calls that come from it may leave again by a route")
    codecs: OwnCodecs = Field(default=None, description="its own codecs in order of preference; null is the house's")
    srtp: OwnSrtp = Field(default=None, description="off, optional or required; null is the house's")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.proxy is None and not self.sources:
            raise ValueError("a trunk needs a proxy (to call out), sources (to be called), or both")
        if self.register_ is not None and self.proxy is None:
            raise ValueError("register needs a proxy to register to")
        if self.from_user is not None and not self.sources:
            raise ValueError("from_user alone proves nothing: name the sources too")
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


class Mail(Section):
    server: Host | None = Field(default=None, description="host name of the mail server; null sends no mail")
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)] = Field(default=587, description="its port")
    security: MailSecurity = Field(default=MailSecurity.STARTTLS, description="how the way to it is protected")
    username: Label | None = Field(default=None, description="its log-in; null does not log in")
    password: SecretStr | None = Field(default=None, min_length=1, max_length=256, description="the password of it")
    from_: MailAddress | None = Field(default=None, alias="from", description="whom mail is from")
    authorities: PathField | None = Field(
        default=None, description="PEM file of authorities to trust beside the system's"
    )
    timeout_s: Seconds = Field(default=30, le=600, description="for each step of the conversation")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.server is not None and self.from_ is None:
            raise ValueError("a mail server needs `from`: whom mail is from")
        if (self.username is None) is not (self.password is None):
            raise ValueError("username and password are given together or not at all")
        if self.password is not None and self.security is MailSecurity.NONE:
            raise ValueError("a password is not sent unprotected: say security starttls or tls")
        return self


class Outbox(Section):
    retry_s: tuple[Seconds, ...] = Field(
        default=(60, 300, 900, 3_600, 14_400),
        min_length=1,
        max_length=32,
        description="pauses after each failure; the last one again and again",
    )
    max_age_s: Seconds = Field(default=172_800, description="what is older is given up")
    per_destination: Count = Field(
        default=2, le=64, description="deliveries at a time to one mail server or web server"
    )
    timeout_s: Seconds = Field(default=30, le=600, description="for a whole HTTP exchange")
    max_waiting: Count = Field(default=10_000, le=100_000, description="deliveries that may wait; more are refused")
    max_bytes: Count = Field(default=10_000_000, description="size of one delivery; larger ones are refused")
    keep_s: Seconds = Field(default=604_800, description="how long what has ended can be looked at")


class Store(Section):
    url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; null is SQLite in data_dir", json_schema_extra=RESTART
    )


Phones = Annotated[dict[Number, Phone], Field(max_length=10_000)]
Extensions = Annotated[dict[Number, Extension], Field(max_length=10_000)]
Trunks = Annotated[dict[Name, Trunk], Field(max_length=1_000)]
Mailboxes = Annotated[dict[Number, Mailbox], Field(max_length=10_000)]
Conferences = Annotated[dict[Numbers, Conference], Field(max_length=1_000)]
Routes = Annotated[tuple[Route, ...], Field(max_length=1_000)]
Keys = Annotated[dict[Name, Key], Field(max_length=1_000)]


class Config(Section):
    """The whole file, frozen. `source` tells where each value came from."""

    node: Name = Field(default="pbxd", description="the id of this house among others", json_schema_extra=RESTART)
    data_dir: PathField = Field(
        default=Path("var/pbxd"), description="what must survive a restart, mode 0700", json_schema_extra=RESTART
    )
    log: Log = Field(default=Log(), description="what is written down of the daemon itself")
    account: Account = Field(default=Account(), description="the default account")
    sip: Sip = Field(default=Sip(), description="signalling")
    security: Security = Field(default=Security(), description="who is slowed, and who is banned")
    rtp: Rtp = Field(default=Rtp(), description="sound on the network")
    codecs: Codecs = Field(default=Codecs(), description="sound in the packet")
    srtp: Srtp = Field(default=Srtp(), description="sound that nobody on the way can hear")
    sound: Sound = Field(default=Sound(), description="what the house sounds like")
    calls: Calls = Field(default=Calls(), description="limits of calls")
    recordings: Recordings = Field(default=Recordings(), description="what is recorded, and for how long it is kept")
    http: Http = Field(default=Http(), description="the control plane")
    first_start: FirstStart = Field(default=FirstStart(), description="what an empty house is given")
    phones: Phones = Field(default={}, description="declared phones by number: user, device and extension in one")
    extensions: Extensions = Field(default={"600": Extension(echo=True)}, description="declared extensions by number")
    dialplan: Dialplan = Field(default=Dialplan(), description="call flows")
    conferences: Conferences = Field(default={}, description="conference rooms by number or range of numbers")
    voicemail: Voicemail = Field(default=Voicemail(), description="what holds for all mailboxes")
    mailboxes: Mailboxes = Field(default={}, description="mailboxes by number: a user's own, or shared")
    faxes: Faxes = Field(default=Faxes(), description="faxes that are sent and received")
    trunks: Trunks = Field(default={}, description="providers by name")
    routes: Routes = Field(default=(), description="which trunk takes which dialled number; the first match wins")
    keys: Keys = Field(default={}, description="API keys by name")
    mail: Mail = Field(default=Mail(), description="how mail leaves the house")
    outbox: Outbox = Field(default=Outbox(), description="mail and HTTP requests that must arrive")
    store: Store = Field(default=Store(), description="where records are kept")
    trace: Trace = Field(default=Trace(), description="what is kept of each call to find out what went wrong")

    _sources: Mapping[str, Source] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The file it was read from; None for one that was made up."""
        return self._file

    def said_at(self, sources: Mapping[str, Source], file: Path | None = None) -> Self:
        """Remember where the values came from; called once, by `load`."""
        self._sources = dict(sources)
        self._file = file
        return self

    def source(self, key: str) -> Source:
        """Where the value of the dotted `key` (`sip.udp`, `phones.1001.name`) was said."""
        return self._sources.get(key, Source(SourceKind.DEFAULT))
