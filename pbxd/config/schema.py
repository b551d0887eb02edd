"""Every setting: its type, its default and what it is for. `etc/pbxd.yaml` says the same in full sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from pbxd.config.accounts import Account, Accounts, AccountSections, Extensions
from pbxd.config.acoustics import Sound
from pbxd.config.destinations import Extension
from pbxd.config.dialplan import Dialplan
from pbxd.config.edge import EdgeControl
from pbxd.config.faxes import Faxes
from pbxd.config.mailboxes import Voicemail
from pbxd.config.recordings import Recordings
from pbxd.config.section import (
    RESTART,
    Count,
    Host,
    Label,
    MailAddress,
    Name,
    PublicUrl,
    Seconds,
    SecondsOrNever,
    Section,
    ServerName,
    Switch,
)
from pbxd.config.security import Security
from pbxd.config.sound import Codecs, Srtp
from pbxd.config.tracing import Trace
from pbxd.config.values import (
    Address,
    AddressField,
    IPv4Field,
    IPv6Field,
    NetworkField,
    NumberRange,
    NumberRangeField,
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


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part) for part in text.split())


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(Address.parse(part) for part in text.split())


class Log(Section):
    level: LogLevel = Field(default=LogLevel.INFO, description="the least important line that is written")
    format: LogFormat = Field(
        default=LogFormat.AUTO, description="auto is text on a terminal and JSON otherwise", json_schema_extra=RESTART
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
    min_expires_s: Annotated[Seconds, Field(le=3600)] = Field(
        default=60, description="shorter registrations are refused with 423"
    )
    default_expires_s: Seconds = Field(default=3600, description="for a phone that asks for no particular time")
    max_expires_s: Seconds = Field(default=7200, description="longer wishes are shortened to this")
    max_contacts: Annotated[Count, Field(le=100)] = Field(
        default=10, description="phones that may be registered to one user at a time"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_expires_s <= self.default_expires_s <= self.max_expires_s:
            raise ValueError("min_expires_s <= default_expires_s <= max_expires_s must hold")
        return self


class SessionTimer(Section):
    expires_s: Annotated[Seconds, Field(ge=90)] = Field(
        default=1800, description="how often a call proves that both ends are alive"
    )
    min_se_s: Annotated[Seconds, Field(ge=90)] = Field(
        default=90, description="the shortest interval we agree to (RFC 4028 §5: 90 at least)"
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
    timeout_s: Annotated[Seconds, Field(le=600)] = Field(default=30, description="for each step of the conversation")

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
    per_destination: Annotated[Count, Field(le=64)] = Field(
        default=2, description="deliveries at a time to one mail server or web server"
    )
    timeout_s: Annotated[Seconds, Field(le=600)] = Field(default=30, description="for a whole HTTP exchange")
    max_waiting: Annotated[Count, Field(le=100_000)] = Field(
        default=10_000, description="deliveries that may wait; more are refused"
    )
    max_bytes: Count = Field(default=10_000_000, description="size of one delivery; larger ones are refused")
    keep_s: Seconds = Field(default=604_800, description="how long what has ended can be looked at")


class Store(Section):
    url: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host/database; null is SQLite in data_dir",
        json_schema_extra=RESTART,
    )


class Config(AccountSections):
    """The whole file, frozen. `source` tells where each value came from. What an account has stands at the top level
    for the default one."""

    node: Name = Field(default="pbxd", description="the id of this house among others", json_schema_extra=RESTART)
    data_dir: PathField = Field(
        default=Path("var/pbxd"), description="what must survive a restart, mode 0700", json_schema_extra=RESTART
    )
    log: Log = Field(default=Log(), description="what is written down of the daemon itself")
    account: Account = Field(default=Account(), description="the default account")
    accounts: Accounts = Field(default={}, description="further accounts by their short names")
    sip: Sip = Field(default=Sip(), description="signalling")
    security: Security = Field(default=Security(), description="who is slowed, and who is banned")
    rtp: Rtp = Field(default=Rtp(), description="sound on the network")
    codecs: Codecs = Field(default=Codecs(), description="sound in the packet")
    srtp: Srtp = Field(default=Srtp(), description="sound that nobody on the way can hear")
    sound: Sound = Field(default=Sound(), description="what the house sounds like")
    calls: Calls = Field(default=Calls(), description="limits of calls")
    recordings: Recordings = Field(default=Recordings(), description="what is recorded, and for how long it is kept")
    http: Http = Field(default=Http(), description="the control plane")
    edge: EdgeControl = Field(default=EdgeControl(), description="the control plane of SIP nodes and operators")
    first_start: FirstStart = Field(default=FirstStart(), description="what an empty house is given")
    extensions: Extensions = Field(default={"600": Extension(echo=True)}, description="declared extensions by number")
    dialplan: Dialplan = Field(default=Dialplan(), description="call flows")
    voicemail: Voicemail = Field(default=Voicemail(), description="what holds for all mailboxes")
    faxes: Faxes = Field(default=Faxes(), description="faxes that are sent and received")
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
