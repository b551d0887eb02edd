"""Fax providers on one free port, as their documentation has them: Phaxio v2.1, Sinch Fax v3, SignalWire's
Compatibility API and FreeSWITCH's mod_xml_rpc; and a house that uses them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.api.fax.house import FaxLab, fax_lab

KEY, SECRET = "the-key", "the-secret"
TOKEN = "test-webhook-token"
PUBLIC = "https://pbx.example.com"
BASIC = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


@dataclass(slots=True)
class Cloud:
    """What it was asked, and what it answers: `status` with `body` in place of the usual, `state` of each fax."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)
    auth: list[str] = field(default_factory=list)
    status: int = 200
    body: str | None = None
    state: str = "queued"
    pages: int = 1
    file: bytes = b""
    base: str = ""
    hold: asyncio.Event | None = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        self.auth.append(request.headers.get("Authorization", ""))
        form = await request.post()
        said = {name: value.file.read() if isinstance(value, web.FileField) else value for name, value in form.items()}
        self.forms.append(said)
        if self.hold is not None:
            await self.hold.wait()
        if self.body is not None or self.status != 200:
            return web.Response(status=self.status, text=self.body or "{}", content_type="application/json")
        return self._usual(request)

    def _usual(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.endswith(("/file", "/file.pdf")):
            return web.Response(body=self.file, content_type="application/pdf")
        if path.startswith("/webapi/"):
            return web.Response(text="+OK Job-UUID: 7f4de4bc-17d7-11dd-b7a0-db4edd065621\n")
        if path.startswith("/v2.1/"):
            data = {"id": 323034813, "status": self.state, "num_pages": self.pages, "error_message": "No answer"}
            return web.json_response({"success": True, "message": "Fax queued for sending", "data": data})
        if path.startswith("/v3/"):
            fax = {"id": "01GVRB50KEQFFE1SGMPFRNBG6J", "status": self.state, "numberOfPages": self.pages}
            return web.json_response(fax | {"errorMessage": "No answer"})
        return web.json_response({"sid": "b3877c40-fx", "status": self.state, "num_pages": str(self.pages)})


PROVIDERS = """faxes.providers={{
  phaxio: {{base_url: '{base}', creds: {{key: the-key, secret: the-secret, callback_token: test-webhook-token}}}},
  sinch: {{base_url: '{base}', settings: {{project_id: p-1}},
           creds: {{key: the-key, secret: the-secret, inbound_user: fax, inbound_password: word, inbound_secret: s}}}},
  signalwire: {{base_url: '{base}', settings: {{space: s.example}},
                creds: {{key: the-key, secret: the-secret, signing_key: the-signing-key}}}},
  freeswitch: {{base_url: '{base}', creds: {{key: the-key, secret: the-secret, inbound_secret: hush-hush}},
                settings: {{gateway: 'a/b c'}}}}
}}"""


@asynccontextmanager
async def clouded(
    folder: Path, backend: str, *overrides: str, known: bool = True
) -> AsyncIterator[tuple[FaxLab, Cloud]]:
    """A house whose faxes a provider carries, and the provider. Not `known`: nothing is said of backends at all."""
    cloud = Cloud()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", cloud.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    cloud.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    providers = " ".join(PROVIDERS.format(base=cloud.base).split())
    said = (providers, f"faxes.backend={backend}") if known else ()
    try:
        async with fax_lab(folder, *said, f"http.public_url={PUBLIC}", *overrides) as lab:
            yield lab, cloud
    finally:
        if cloud.hold is not None:
            cloud.hold.set()
        await runner.cleanup()
