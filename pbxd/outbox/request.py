"""An HTTP request that must arrive. Its headers can neither be split nor contradict how it is carried."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from yarl import URL

from pbxd.errors import Invalid

MAX_URL = 2048
MAX_HEADERS = 32
MAX_HEADER_VALUE = 4096
IDEMPOTENCY_HEADER = "Idempotency-Key"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[\x20-\x7e]*")
_URL = re.compile(r"[\x21-\x7e]+")
_OURS = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
}
_OURS |= {IDEMPOTENCY_HEADER.lower(), "proxy-authorization", "proxy-connection"}


class Method(StrEnum):
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, where. Header values and the URL may hold secrets: they are neither shown nor logged."""

    url: str
    body: bytes = b""
    method: Method = Method.POST
    headers: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises Invalid where it cannot be sent as it stands."""
        if len(self.headers) > MAX_HEADERS:
            raise Invalid(f"a request has at most {MAX_HEADERS} headers")
        if len({name.lower() for name in self.headers}) != len(self.headers):
            raise Invalid("a header is given twice")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
                raise Invalid("a header has a name that is not allowed")
            if len(value) > MAX_HEADER_VALUE or not _VALUE.fullmatch(value):
                raise Invalid(f"the header {name} has a value that is not allowed")
        _ = self.origin

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown of the URL. Raises Invalid where it is not http(s) and whole."""
        if len(self.url) > MAX_URL or not _URL.fullmatch(self.url):
            raise Invalid(f"a URL is at most {MAX_URL} printable ASCII signs without blanks")
        try:
            url = URL(self.url)
            if url.scheme not in ("http", "https") or not url.host or url.user is not None or url.password is not None:
                raise Invalid("a URL is http or https, has a host and no user")
            host = f"[{url.host}]" if ":" in url.host else url.host
            return f"{url.scheme}://{host}:{url.port}"
        except ValueError:
            raise Invalid("this is not a URL") from None

    def address(self) -> str:
        """Everything but the body, as JSON."""
        return json.dumps({"method": self.method.value, "url": self.url, "headers": dict(self.headers)})

    @classmethod
    def read(cls, address: str, body: bytes) -> Self:
        """What `address` was made from."""
        plain = json.loads(address)
        return cls(plain["url"], body, Method(plain["method"]), plain["headers"])
