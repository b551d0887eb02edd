"""A whole house of two accounts in this process, and clients of its control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from pbxd.app import App
from pbxd.config import load
from tests.api.client import Answer, Client
from tests.clients.block import Block

TEXT = """
data_dir: {folder}/data
node: here
account: {{slug: lab, name: Lab, realm: lab.test, domains: [127.0.0.1]}}
sip: {{udp: ["127.0.0.1:0"], tcp: [], tls: []}}
http: {{listen: "127.0.0.1:0"}}
rtp: {{ports: {ports}}}
first_start: {{phones: "", admin_key: false}}
security:
  allow: [198.51.100.0/24]
  fraud: {{country: DE, hours: {{timezone: Europe/Berlin}}}}
phones:
  "1001": {{password: lab-1001}}
  "1002": {{password: lab-1002}}
extensions:
  "600": {{echo: true}}
trunks:
  peer: {{sources: [127.0.0.1], from_user: peer}}
  out: {{proxy: "sip:127.0.0.1:9", max_calls: 1}}
numbers:
  "+12025550123": {{extension: "600", max_channels: 1}}
routes:
  - {{match: "00.", trunk: out}}
call_limits:
  all: {{scope: account, max: 2}}
  hourly: {{scope: account, direction: inbound, max: 3, period_s: 3600}}
  each: {{scope: user, max: 4, hard: false}}
  phone: {{scope: user, id: "1002", max: 1}}
keys:
  lab-admin: {{secret: lab-admin, scopes: ["*"]}}
  node: {{secret: node-secret, scopes: [edge]}}
  reader: {{secret: reader-secret, scopes: ["calls:read"]}}
accounts:
  other:
    name: Other
    realm: other.test
    domains: [other.test]
    phones:
      "1001": {{password: other-1001}}
    keys:
      other: {{secret: other-secret, scopes: [edge]}}
"""


@asynccontextmanager
async def house(folder: Path, block: Block) -> AsyncIterator[tuple[App, Client]]:
    """The house up, and a client over TCP."""
    file = folder / "house.yaml"
    file.write_text(TEXT.format(folder=folder, ports=block.rtp_ports))
    app = App(load(file))
    await app.start()
    try:
        async with aiohttp.ClientSession() as session:
            ((host, port),) = app.server.bound
            yield app, Client(f"http://{host}:{port}", session)
    finally:
        await app.stop()


def refused(answer: Answer) -> tuple[int, str]:
    """Status and code of an error, which has the contract's shape."""
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    assert answer.json["error"]["message"]
    return answer.status, answer.json["error"]["code"]


async def told(client: Client, method: str, path: str, body: Any = None, *, form: bool = False) -> Any:
    """What a node is told; an error is one."""
    answer = await client.ask(method, path, headers={"x-admin-token": "node-secret"}, **_body(body, form=form))
    assert answer.status == 200, answer.body
    return answer.json


def _body(body: Any, *, form: bool) -> dict[str, Any]:
    if body is None:
        return {}
    return {"data": body} if form else {"json": body}
