"""The fax contract itself: its shape of errors, who it works with, and the numbers and times of its answers."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pbxd import __version__
from pbxd.api.contract import Contract, Identity, OneAccount
from pbxd.api.fax.posted import Inlet
from pbxd.config import Config
from pbxd.directory.minted import MintedKeys
from pbxd.errors import Denied, HouseError, NotFound, Unauthorized
from pbxd.services.audit import AuditLog
from pbxd.services.faxes import Faxes, Providers

ADMIN = "admin"
"""The scope of those who may administer: a declared key with everything, or any key with `keys:manage`."""
MAX_TOKEN = 128
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"\+?[0-9]{6,20}", re.ASCII)


class FaxError(BaseModel):
    """Every error of the contract."""

    detail: str | list[dict[str, Any]] = Field(description="what is wrong: a sentence, or a list of problems (422)")


class Unprocessable(HouseError):
    """A request that lacks a value, or has one of the wrong kind."""

    http_status, sip_status, code = 422, 400, "unprocessable"

    def __init__(self, problems: Sequence[dict[str, Any]]) -> None:
        super().__init__("the request is not what it should be")
        self.body = FaxError(detail=list(problems))


class Unsupported(HouseError):
    """A document that is none of those that can be faxed."""

    http_status, sip_status, code = 415, 415, "unsupported_media_type"


class RateLimited(HouseError):
    """Too many requests in this minute."""

    http_status, sip_status, code = 429, 503, "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Rate limit exceeded")
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class FaxHouse:
    """What the operations work with. `config` is what is in force; `change` writes settings and takes them up,
    `reread` reads all settings again, `restart` ends the daemon so that it is started anew."""

    faxes: Faxes
    keys: MintedKeys
    audit: AuditLog
    config: Callable[[], Config]
    wall: Callable[[], float]
    secret: bytes
    change: Callable[[dict[str, Any]], Awaitable[list[str]]]
    reread: Callable[[], Awaitable[list[str]]]
    restart: Callable[[], None]
    store_trouble: Callable[[], str | None]
    sip_trouble: Callable[[], str | None]
    inlets: defaultdict[str, Inlet] = field(default_factory=lambda: defaultdict(Inlet))  # by provider

    def account_of(self, identity: Identity | None) -> str:
        """Whose faxes somebody may see: a key works in its own account, the house's own in that of the house."""
        own = None if identity is None else identity.account_id
        return own or self.faxes.office.account_id

    @property
    def providers(self) -> Providers:
        return self.faxes.providers

    def pdf_token(self, what: str, fax_id: str) -> str:
        """A token that opens one PDF for a while: when it ends, and a signature with the house's secret."""
        until = int(self.wall()) + self.config().faxes.pdf_token_s
        return f"{until}.{self._signature(what, fax_id, until)}"

    def check_token(self, token: str, what: str, fax_id: str) -> None:
        """Raises Denied."""
        until, _, signature = token.partition(".")
        if len(token) > MAX_TOKEN or not (until.isascii() and until.isdecimal()):
            raise Denied("Invalid token")
        if not hmac.compare_digest(signature.encode(), self._signature(what, fax_id, int(until)).encode()):
            raise Denied("Invalid token")
        if self.wall() >= int(until):
            raise Denied("Token expired")

    def _signature(self, what: str, fax_id: str, until: int) -> str:
        return hmac.new(self.secret, f"fax-pdf {what} {fax_id} {until}".encode(), hashlib.sha256).hexdigest()


class _Values(BaseModel):
    model_config = ConfigDict(extra="ignore")


class FaxPath(_Values):
    id: str = Field(description="the id of a fax, 32 hexadecimal digits", max_length=64)


class Own(OneAccount):
    """The query of what is about the faxes and keys of an account: that of the key."""

    model_config = ConfigDict(extra="ignore")


class Status(BaseModel):
    status: str


def _lacks(scope: str) -> HouseError:
    if scope == ADMIN:
        return Unauthorized("Admin authentication failed")
    return Denied(f"Insufficient scope: {scope} required")


def _wrong(error: ValidationError) -> HouseError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return Unprocessable([{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in problems[:10]])


_OWNED = (
    *("/phaxio-callback", "/signalwire-callback", "/_internal/freeswitch/outbound_result"),
    *("/fax", "/inbound", "/_internal/asterisk/inbound", "/plugins", "/plugin-registry"),
    *("/phaxio-callback", "/phaxio-inbound", "/sinch-inbound"),
    *("/admin/settings", "/admin/health-status", "/admin/db-status", "/admin/logs", "/admin/diagnostics"),
    *("/admin/restart", "/admin/api-keys", "/admin/fax-jobs", "/admin/config", "/admin/inbound", "/admin/plugins"),
)

FAX: Contract[FaxHouse] = Contract(
    name="fax",
    title="Fax",
    description="Send faxes, follow them, fetch those that came in, and administer all of it.",
    prefix="",
    version=__version__,
    error=lambda _status, _code, message: FaxError(detail=message),
    error_model=FaxError,
    security={"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
    owns=lambda path: any(path == own or path.startswith(own + "/") for own in _OWNED),
    lacks=_lacks,
    wrong=_wrong,
    invalid=Unprocessable,
)


def known_id(fax_id: str, otherwise: str) -> str:
    """An id as it may be. Raises NotFound saying `otherwise`."""
    if not _ID.fullmatch(fax_id):
        raise NotFound(otherwise)
    return fax_id


def is_number(text: str) -> bool:
    """Whether that is E.164 or plain digits: ASCII, from the first sign to the last."""
    return _NUMBER.fullmatch(text) is not None


def moment(wall: float) -> str:
    """A time as this contract has it: UTC, without saying so, to the microsecond."""
    return datetime.fromtimestamp(wall, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def moment_or_none(wall: float | None) -> str | None:
    return None if wall is None else moment(wall)
