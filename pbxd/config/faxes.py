"""Faxes that are sent and received: who carries them, how often they are tried, how long they are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from pbxd.config.providers import Credential, FaxProvider, ProviderId
from pbxd.config.section import Count, MailAddress, Name, PublicUrl, Seconds, Section, Switch
from pbxd.config.values import Number, PathField

Ident = Annotated[str, Field(pattern=r"^[0-9+ ]{0,20}$")]
HeaderLine = Annotated[str, Field(pattern=r"^[ -~]{0,50}$")]
Webhook = Annotated[str, Field(pattern=r"^https?://[!-~]{1,2000}$")]
Value = Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
Bucket = Annotated[str, Field(pattern=r"^(?:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")]
Region = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
Prefix = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}/){0,6}$")]


class FaxPaper(StrEnum):
    AUTO = "auto"
    A4 = "a4"
    LETTER = "letter"
    LEGAL = "legal"


class FaxDetail(StrEnum):
    STANDARD = "standard"
    FINE = "fine"
    SUPERFINE = "superfine"


class FaxWay(StrEnum):
    AUTO = "auto"
    T38 = "t38"
    G711 = "g711"
    PASSTHROUGH = "passthrough"


class FaxBox(Section):
    numbers: tuple[Number, ...] = Field(
        default=(), max_length=100, description="numbers whose faxes it takes; a fax for another one is everybody's"
    )
    mail: MailAddress | None = Field(default=None, description="who is told, with the pages as PDF")
    webhook: Webhook | None = Field(default=None, description="who is told by HTTP")


class FaxInbound(Section):
    enabled: Switch = Field(default=False, description="whether faxes are received at all")
    keep_days: Annotated[int, Field(strict=True, ge=0, le=36_500)] = Field(
        default=30, description="older ones are deleted; 0 is never"
    )
    asterisk_secret: SecretStr | None = Field(
        default=None, min_length=8, max_length=256, description="what an Asterisk beside us proves itself with"
    )
    inbox: PathField | None = Field(
        default=None, description="the folder it puts its TIFF files in; null is faxes/inbox in data_dir"
    )


class FaxAudit(Section):
    enabled: Switch = Field(default=False, description="write down who did what, never what a fax says")
    file: PathField | None = Field(default=None, description="where to, a line of JSON each; null is memory alone")
    syslog: Switch = Field(default=False, description="to the system's log as well")
    syslog_address: Value = Field(default="/dev/log", description="its socket, or host:port for UDP")


class StoragePlugin(StrEnum):
    LOCAL = "local"
    S3 = "s3"


class FaxS3(Section):
    endpoint: PublicUrl | None = Field(default=None, description="where the store is")
    bucket: Bucket = Field(default="", description="its name")
    region: Region = Field(default="us-east-1", description="what requests are signed for")
    prefix: Prefix = Field(default="", description="what the names of ours begin with")
    path_style: Switch = Field(default=True, description="the bucket is a part of the path; false: of the host")
    key: Credential | None = Field(default=None, description="the access key")
    secret: Credential | None = Field(default=None, description="its secret")


class FaxStorage(Section):
    plugin: StoragePlugin = Field(default=StoragePlugin.LOCAL, description="where documents lie when a fax has ended")
    s3: FaxS3 = Field(default=FaxS3(), description="a bucket of a store that speaks S3")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        said = {"endpoint": self.s3.endpoint, "bucket": self.s3.bucket, "key": self.s3.key, "secret": self.s3.secret}
        if self.plugin is StoragePlugin.S3 and (lacking := [name for name, value in said.items() if not value]):
            raise ValueError(f"s3 lacks {', '.join(lacking)}")
        return self


class Faxes(Section):
    backend: Name = Field(default="sip", description="who carries faxes: sip is the house itself; disabled; a provider")
    way: FaxWay = Field(default=FaxWay.AUTO, description="how the house sends")
    ident: Ident = Field(default="", description="the number that the far side shows")
    header: HeaderLine = Field(default="", description="the text over each page; empty is no line")
    detail: FaxDetail = Field(default=FaxDetail.FINE, description="lines per inch: 98, 196 or 391")
    paper: FaxPaper = Field(default=FaxPaper.AUTO, description="what pages are fitted on")
    max_mb: Annotated[int, Field(strict=True, ge=1, le=64)] = Field(
        default=10, description="size of a document; larger ones are refused with 413"
    )
    max_pages: Annotated[int, Field(strict=True, ge=1, le=200)] = Field(default=200, description="pages of a document")
    at_once: Count = Field(default=60, description="faxes that are sent at a time")
    per_trunk: Count = Field(default=30, description="of these, over one trunk")
    tries: Annotated[int, Field(strict=True, ge=1, le=20)] = Field(
        default=4, description="tries without a page getting through before a fax has failed"
    )
    busy_s: tuple[Seconds, ...] = Field(
        default=(60, 180, 300),
        min_length=1,
        max_length=20,
        description="pauses after busy and no answer; the last repeats",
    )
    retry_s: tuple[Seconds, ...] = Field(
        default=(30, 120, 600), min_length=1, max_length=20, description="pauses after a fax that went wrong"
    )
    max_waiting: Annotated[Count, Field(le=100_000)] = Field(
        default=10_000, description="faxes that may wait; more are refused"
    )
    keep_days: Annotated[int, Field(strict=True, ge=0, le=36_500)] = Field(
        default=0, description="documents of faxes that have ended are deleted after that; 0 is never"
    )
    clean_every_s: Seconds = Field(default=3600, description="how often that is looked after")
    pdf_token_s: Seconds = Field(default=3600, description="how long a link to a PDF is good")
    require_key: Switch = Field(default=True, description="whether the fax contract asks for a key")
    rate_per_minute: Annotated[int, Field(strict=True, ge=0, le=100_000)] = Field(
        default=0, description="requests a minute of one key to one path; 0 is no limit"
    )
    inbound_list_per_minute: Annotated[int, Field(strict=True, ge=0, le=100_000)] = Field(
        default=30, description="the same for the list of received faxes"
    )
    inbound_get_per_minute: Annotated[int, Field(strict=True, ge=0, le=100_000)] = Field(
        default=60, description="the same for one of them"
    )
    allow_restart: Switch = Field(default=False, description="whether an admin may restart the daemon by HTTP")
    plugins: Switch = Field(default=False, description="whether providers can be looked at and set up by HTTP")
    tell: Webhook | None = Field(default=None, description="who is told by HTTP how each fax ended")
    mail: MailAddress | None = Field(default=None, description="who is told by mail")
    inbound: FaxInbound = Field(default=FaxInbound(), description="faxes that come in")
    storage: FaxStorage = Field(default=FaxStorage(), description="where documents lie when a fax has ended")
    audit: FaxAudit = Field(default=FaxAudit(), description="the audit log of the fax contract")
    boxes: dict[Name, FaxBox] = Field(default={}, max_length=10_000, description="fax boxes by name")
    providers: dict[ProviderId, FaxProvider] = Field(
        default={}, max_length=32, description="those that can be the backend, by name"
    )
