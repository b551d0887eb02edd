"""A whole house on free ports with the lab's keys, whose fax line does what a script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from pbxd.app import App
from pbxd.config import load
from tests.api.client import Answer, Client
from tests.media import papers
from tests.services.faxes.line import ScriptedLine

ADMIN = "lab-admin"
KEY = "lab-fax-key"
TO = "+15551234567"

CONFIG = """
data_dir: {folder}/data
sip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []}}
http: {{listen: '127.0.0.1:0'}}
rtp: {{ports: 47500-47599}}
first_start: {{phones: "", admin_key: false}}
keys:
  lab-admin: {{secret: lab-admin, scopes: ["*"]}}
  lab-fax-key: {{secret: lab-fax-key, scopes: ["fax:send", "fax:read"]}}
faxes:
  detail: standard
  max_mb: 1
  plugins: true
  inbound: {{enabled: true, asterisk_secret: lab-asterisk}}
  audit: {{enabled: true, file: {folder}/audit.log}}
  boxes:
    lab: {{numbers: ["+12025550150"]}}
"""


@dataclass(slots=True)
class FaxLab:
    """The house, its line, and somebody who asks."""

    app: App
    client: Client
    line: ScriptedLine
    folder: Path

    @property
    def base(self) -> str:
        return self.client.base

    def pdf(self, pages: int = 1) -> Path:
        return papers.pdf(self.folder / f"document{pages}.pdf", pages)

    async def send(self, file: Path, to: str = TO, key: str | None = KEY, **fields: str) -> Answer:
        form = aiohttp.FormData()
        for name, value in {"to": to, **fields}.items():
            form.add_field(name, value)
        form.add_field("file", file.read_bytes(), filename=file.name, content_type="application/pdf")
        return await self.client.ask("POST", "/fax", key=key, data=form)

    async def settled(self, job_id: str) -> Answer:
        """The job once it has ended."""
        async with asyncio.timeout(30):
            while (answer := await self.client.get(f"/fax/{job_id}", key=KEY)).json["status"] in (
                "queued",
                "in_progress",
            ):
                await asyncio.sleep(0.02)
        return answer


@asynccontextmanager
async def fax_lab(folder: Path, *overrides: str) -> AsyncIterator[FaxLab]:
    """`overrides` are those of the command line."""
    file = folder / "pbxd.yaml"
    file.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    app = App(load(file, overrides))
    app.read_config = lambda: load(file, overrides)
    await app.start()
    line = ScriptedLine()
    app.faxroom.faxes.sip.line = line
    ((host, port),) = app.server.bound
    try:
        async with aiohttp.ClientSession() as session:
            yield FaxLab(app, Client(f"http://{host}:{port}", session), line, folder)
    finally:
        await app.stop()
