"""What every group of settings is made of: the scalars with their rules, and the mapping that knows all its keys."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from pbxd.sip.errors import ParseError
from pbxd.sip.uri import Uri

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_MAIL_ADDRESS = re.compile(
    r"[A-Za-z0-9_+-](?:[A-Za-z0-9_.+-]{0,62}[A-Za-z0-9_+-])?@(?=.{1,253}$)"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_SERVER_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9])?")
_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,253}(/[A-Za-z0-9._~/-]*)?")
_PATTERN = re.compile(r"(?=.)[0-9*#+XZN]{0,32}\.?")
_DIGITS = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+"}
_PROXY = re.compile(r"sips?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?(?:;transport=(?:udp|tcp|tls))?")

RESTART: dict[str, Any] = {"restart": True}


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name is 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit")
    return value


def _name_or_none(value: str) -> str:
    return _name(value) if value else value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("this is neither a host name nor an IP address")
    return value.lower()


def _server_name(value: str) -> str:
    if not _SERVER_NAME.fullmatch(value):
        raise ValueError("a server name is pbx.example.com or *.example.com")
    return value.lower()


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("a public URL is written https://pbx.example.com or https://example.com/pbx")
    return value.rstrip("/")


def _proxy(value: str) -> str:
    if not _PROXY.fullmatch(value):
        raise ValueError("a proxy is written sip:host, sip:host:port or sip:host:port;transport=tcp")
    try:
        Uri.parse(value)
    except ParseError as error:
        raise ValueError(f"{value} is not a SIP URI: {error.reason}") from None
    return value


def _pattern(value: str) -> str:
    if not _PATTERN.fullmatch(value):
        raise ValueError(
            "a pattern is digits, * # +, X (0-9), Z (1-9), N (2-9), and '.' (one or more of anything) at its end"
        )
    return value


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A dial pattern as a regular expression for `fullmatch`: X 0-9, Z 1-9, N 2-9, `.` one or more of anything."""
    return re.compile("".join(_DIGITS.get(sign) or re.escape(sign) for sign in pattern))


def _mail_address(value: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(value):
        raise ValueError("a mail address is written name@example.com")
    return value


def _zone(value: str) -> str:
    if value not in zoneinfo.available_timezones():
        raise ValueError("this is no timezone such as Europe/Berlin")
    return value


def _slug(value: str) -> str:
    """What stands for other things beside accounts in the paths of the APIs."""
    if value == "system" or value.startswith("acc_"):
        raise ValueError("an account is not called system, nor something that begins with acc_: these are taken")
    return value


Name = Annotated[str, AfterValidator(_name)]
Slug = Annotated[Name, AfterValidator(_slug)]
NameOrNone = Annotated[str, AfterValidator(_name_or_none)]  # empty is none
Host = Annotated[str, AfterValidator(_host)]
ServerName = Annotated[str, AfterValidator(_server_name)]
PublicUrl = Annotated[str, AfterValidator(_url)]
Proxy = Annotated[str, AfterValidator(_proxy)]
Pattern = Annotated[str, AfterValidator(_pattern)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Label = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
Timezone = Annotated[Label, AfterValidator(_zone)]
Secret = Annotated[SecretStr, Field(min_length=8, max_length=256)]
Switch = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=31_536_000)]
SecondsOrNever = Annotated[int, Field(strict=True, ge=0, le=31_536_000)]


class Section(BaseModel):
    """A mapping of the file: every key is known, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
