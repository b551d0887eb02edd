"""Requests to stores that speak S3, signed as AWS Signature Version 4 says. Pure: what time it is is an argument.

The clauses are those of "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from yarl import URL

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_SAFE = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed with."""

    key: str
    secret: str = field(repr=False)
    region: str


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket: `endpoint` is where the store is, `prefix` what our keys begin with. With `path_style` the bucket is
    the first word of the path, else of the host."""

    endpoint: URL
    bucket: str
    credentials: Credentials
    prefix: str = ""
    path_style: bool = True

    def url(self, key: str = "") -> URL:
        """Where an object is; without a key the bucket itself."""
        host, path = self.endpoint, self.endpoint.raw_path.rstrip("/")
        if self.path_style:
            path += "/" + self.bucket
        else:
            host = host.with_host(f"{self.bucket}.{host.host}")
        path += "/" + quote(self.prefix + key, safe=_SAFE + "/") if key else ("" if self.path_style else "/")
        return URL(f"{host.origin()}{path}", encoded=True)


def signed(
    method: str,
    url: URL,
    credentials: Credentials,
    wall: float,
    payload_sha256: str = EMPTY_SHA256,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All headers of a request, the signature with them. `url` is encoded as it goes out, `wall` is in seconds since
    the epoch."""
    moment = datetime.fromtimestamp(wall, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {"Host": _host(url), "x-amz-content-sha256": payload_sha256, "x-amz-date": moment, **(headers or {})}
    folded = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(folded))
    canonical = "\n".join(
        (
            method,
            url.raw_path or "/",
            _query(url),
            *(f"{name}:{folded[name]}" for name in sorted(folded)),
            "",
            names,
            payload_sha256,
        )
    )
    scope = f"{moment[:8]}/{credentials.region}/s3/aws4_request"
    text = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(_key(credentials, moment[:8]), text.encode(), hashlib.sha256).hexdigest()
    said = f"{ALGORITHM} Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent | {"Authorization": said}


def _key(credentials: Credentials, day: str) -> bytes:
    key = b"AWS4" + credentials.secret.encode()
    for word in (day, credentials.region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key


def _host(url: URL) -> str:
    host = url.raw_host or ""
    name = f"[{host}]" if ":" in host else host
    return name if url.is_default_port() else f"{name}:{url.port}"


def _query(url: URL) -> str:
    pairs = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in url.query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
