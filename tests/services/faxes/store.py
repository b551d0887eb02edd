"""A store that speaks as much S3 as documents need, on a free port. Who does not sign is refused: it works out
signatures for itself, from what came over the wire."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

KEY, SECRET, REGION, BUCKET = "the-access-key", "the-secret-of-the-store", "eu-central-1", "faxes"
_SAID = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Sig.*=(\w+)"
)
_LACKS = "<?xml version='1.0'?><Error><Code>{}</Code></Error>"


@dataclass(slots=True)
class ObjectStore:
    """What it keeps by path, what it was asked, and `status`: what it answers in place of the usual."""

    kept: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    status: int | None = None
    code: str = "SlowDown"
    hold: asyncio.Event | None = None
    base: str = ""

    def settings(self, **changes: object) -> dict[str, object]:
        """What a house is told of it."""
        said = {
            "endpoint": self.base,
            "bucket": BUCKET,
            "region": REGION,
            "prefix": "pbx/",
            "key": KEY,
            "secret": SECRET,
        }
        return {"plugin": "s3", "s3": {**said, **changes}}

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.raw_path))
        if self.hold is not None:
            await self.hold.wait()
        if self.status is not None:
            return web.Response(status=self.status, text=_LACKS.format(self.code))
        wrong = _wrong(request, body)
        if wrong:
            return web.Response(status=403, text=_LACKS.format(wrong))
        bucket, _, key = request.path.removeprefix("/").partition("/")
        if bucket != BUCKET:
            return web.Response(status=404, text=_LACKS.format("NoSuchBucket"))
        if not key:
            return web.Response(text="<ListBucketResult/>")
        return self._object(request.method, key, body)

    def _object(self, method: str, key: str, body: bytes) -> web.Response:
        if method == "PUT":
            self.kept[key] = body
            return web.Response()
        if method == "DELETE":
            self.kept.pop(key, None)
            return web.Response(status=204)
        if key not in self.kept:
            return web.Response(status=404, text=_LACKS.format("NoSuchKey"))
        return web.Response(body=self.kept[key])


def _wrong(request: web.Request, body: bytes) -> str | None:
    """Why a request is refused."""
    said = _SAID.fullmatch(request.headers.get("Authorization", ""))
    if said is None:
        return "AccessDenied"
    key, day, region, names, signature = said.groups()
    digest = request.headers["x-amz-content-sha256"]
    if digest != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.split(";")):
        return "AccessDenied"
    path, _, query = request.raw_path.partition("?")
    lines = [request.method, path, "&".join(sorted(query.split("&")))]
    lines += [f"{name}:{request.headers[name]}" for name in names.split(";")]
    asked = hashlib.sha256("\n".join([*lines, "", names, digest]).encode()).hexdigest()
    signing = f"AWS4{SECRET}".encode()
    for word in (day, region, "s3", "aws4_request"):
        signing = hmac.new(signing, word.encode(), "sha256").digest()
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{asked}"
    if (key, region) != (KEY, REGION):
        return "InvalidAccessKeyId"
    return None if hmac.new(signing, text.encode(), "sha256").hexdigest() == signature else "SignatureDoesNotMatch"


@asynccontextmanager
async def object_store() -> AsyncIterator[ObjectStore]:
    store = ObjectStore()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", store.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield store
    finally:
        if store.hold is not None:
            store.hold.set()
        await runner.cleanup()
