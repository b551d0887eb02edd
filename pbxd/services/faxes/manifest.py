"""How a provider is asked over HTTP, as data: a manifest. Pure: expands requests and reads answers, and sends nothing.

    {"id": "acme", "name": "Acme Fax", "auth": {"scheme": "bearer"}, "base_url": "https://api.acme.example",
     "allowed_domains": ["acme.example"],
     "actions": {"send_fax": {"method": "POST", "url": "{{base_url}}/faxes",
                              "body": {"kind": "json", "template": {"to": "{{to}}", "url": "{{file_url}}"}},
                              "response": {"job_id": "fax.id", "status": "fax.state"}}}}

Variables: `to from header fax_id` (ours) `job_id` (the provider's) `file_url file_path callback_url
base_url settings.* creds.*`. What expands to nothing is left out of a body. A form field of a multipart body that is
`{{file_path}}` and nothing else is the file itself. Credentials go to the allowed domains and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from yarl import URL

from pbxd.services.faxes.carrier import News
from pbxd.services.faxes.job import JobState

MAX_MANIFEST = 65_536
MAX_ERROR = 400
_VARIABLE = re.compile(r"\{\{\s*([a-z_]+(?:\.[a-z0-9_]+)?)\s*\}\}")
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]{1,4})\]")
_WORDS = {
    **dict.fromkeys(("success", "completed", "delivered", "sent", "ok"), JobState.SUCCESS),
    **dict.fromkeys(
        ("failed", "failure", "fail", "error", "canceled", "cancelled", "partialsuccess", "busy", "no-answer"),
        JobState.FAILED,
    ),
    **dict.fromkeys(("queued", "in_progress", "processing", "sending"), JobState.IN_PROGRESS),
}
Variables = Mapping[str, str]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$")]
Template = Annotated[str, Field(max_length=2048)]
Word = Annotated[str, Field(max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scheme(StrEnum):
    NONE = "none"
    BASIC = "basic"  # creds.key and creds.secret
    BEARER = "bearer"  # creds.token
    HEADER = "api_key_header"  # creds.key
    QUERY = "api_key_query"  # creds.key


_CREDS = {Scheme.BASIC: ("key", "secret"), Scheme.BEARER: ("token",), Scheme.HEADER: ("key",), Scheme.QUERY: ("key",)}


class Auth(_Part):
    scheme: Scheme = Scheme.NONE
    header_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-API-Key"
    query_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "api_key"


class BodyKind(StrEnum):
    JSON = "json"
    FORM = "form"
    MULTIPART = "multipart"
    NONE = "none"


class Body(_Part):
    kind: BodyKind = BodyKind.NONE
    template: dict[Word, Any] = Field(default={}, max_length=64)


class PathParam(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    source: Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z0-9_]+)?$")]


class Answer(_Part):
    """Where the values of an answer are: dotted, with [n]. Of one that is no JSON: `text`, `first` and `last` word."""

    job_id: Word = ""
    status: Word = ""
    error: Word = ""
    pages: Word = ""
    status_map: dict[Word, Word] = Field(default={}, max_length=64)


class Action(_Part):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: Template
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")], Template] = Field(default={}, max_length=32)
    body: Body = Body()
    path_params: tuple[PathParam, ...] = Field(default=(), max_length=16)
    response: Answer = Answer()


class Actions(_Part):
    send_fax: Action
    get_status: Action | None = None
    cancel_fax: Action | None = None
    get_file: Action | None = None
    check: Action | None = None  # harmless: tells whether it can be reached, and knows us


class Manifest(_Part):
    """A provider. `refresh` is whether admins may ask it for news of a fax; `tiff` whether it takes pages as TIFF."""

    id: Id
    name: Word
    version: Word = "1"
    auth: Auth = Auth()
    base_url: Template = ""
    allowed_domains: tuple[Domain, ...] = Field(min_length=1, max_length=32)
    timeout_ms: Annotated[int, Field(ge=100, le=120_000)] = 15_000
    refresh: bool = True
    tiff: bool = False
    actions: Actions

    def needs(self) -> list[str]:
        """The settings and creds without which it cannot be asked, such as `creds.key`."""
        found = dict.fromkeys(f"creds.{name}" for name in _CREDS.get(self.auth.scheme, ()))
        for text in _texts(self.model_dump(mode="json")):
            names: list[str] = _VARIABLE.findall(text)
            found |= dict.fromkeys(name for name in names if name.startswith(("creds.", "settings.")))
        return list(found)

    def permits(self, url: URL, base: URL | None) -> bool:
        """Whether `url` may be asked, credentials and all: by TLS in an allowed domain, or where the settings say by
        `base` that the provider is."""
        if url.scheme not in ("http", "https") or url.user is not None or url.host is None:
            return False
        if base is not None and url.origin() == base.origin():
            return True
        host = url.host.lower()
        return url.scheme == "https" and any(host == own or host.endswith("." + own) for own in self.allowed_domains)


def expand(template: str, variables: Variables) -> str:
    """The template with its variables; one that is not there is nothing."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], ""), template)


def url_of(action: Action, variables: Variables) -> URL:
    """Where an action goes; values cannot leave their place in the path or the query. Raises ValueError."""
    quoted = {name: quote(value, safe="") for name, value in variables.items()} | {"base_url": variables["base_url"]}
    text = expand(action.url, quoted)
    for param in action.path_params:
        text = text.replace(f"{{{param.name}}}", quoted.get(param.source, ""))
    return URL(text, encoded=True)


def fields_of(value: Any, variables: Variables) -> Any:
    """A body's template with its variables; what expands to nothing is left out."""
    if isinstance(value, str):
        return expand(value, variables)
    if isinstance(value, list):
        return [made for one in value if (made := fields_of(one, variables)) != ""]
    if isinstance(value, dict):
        return {name: made for name, one in value.items() if (made := fields_of(one, variables)) != ""}
    return value


def value_at(answer: JsonValue, path: str) -> str:
    """The value at a dotted path of an answer, as text; nothing where there is none."""
    if not path:
        return ""
    found: Any = answer
    for name, index in _STEP.findall(path):
        if name and isinstance(found, dict):
            found = found.get(name)
        elif index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        else:
            return ""
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return str(found)


def state_of(word: str, status_map: Mapping[str, str]) -> JobState:
    """What a provider's word for a state means; what nobody knows is still under way."""
    said = {key.lower(): value for key, value in status_map.items()}.get(word.lower(), word)
    return _WORDS.get(said.lower(), JobState.IN_PROGRESS)


def news_of(answer: JsonValue, response: Answer) -> News:
    """What an answer says of a fax."""
    state = state_of(value_at(answer, response.status), response.status_map)
    pages = value_at(answer, response.pages)
    known = int(pages) if pages.isascii() and pages.isdecimal() and len(pages) < 6 else None
    error = value_at(answer, response.error) or value_at(answer, response.status)
    return News(state, error[:MAX_ERROR] if state is JobState.FAILED else None, known)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
