"""Faxes that are sent and received: who carries them, how often they are tried, how long they are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, SecretStr

from pbxd.config.providers import FaxProvider, ProviderId
from pbxd.config.section import Count, MailAddress, Name, Seconds, Section, Switch
from pbxd.config.values import Number, PathField

Ident = Annotated[str, Field(pattern=r"^[0-9+ ]{0,20}$")]
HeaderLine = Annotated[str, Field(pattern=r"^[ -~]{0,50}$")]
Webhook = Annotated[str, Field(pattern=r"^https?://[!-~]{1,2000}$")]
Value = Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]


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
    max_waiting: Count = Field(default=10_000, le=100_000, description="faxes that may wait; more are refused")
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
    audit: FaxAudit = Field(default=FaxAudit(), description="the audit log of the fax contract")
    boxes: dict[Name, FaxBox] = Field(default={}, max_length=10_000, description="fax boxes by name")
    providers: dict[ProviderId, FaxProvider] = Field(
        default={}, max_length=32, description="those that can be the backend, by name"
    )
