"""A whole house with two accounts, a flow and a number, for tests of the edge contract."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from pbxd.app import App
from pbxd.config import Config, load
from pbxd.flows.sessions import flow_id
from tests.api.client import Answer, Client

TEXT = """
data_dir: {data}
sip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []}}
http: {{listen: '127.0.0.1:0'}}
rtp: {{ports: 47200-47299}}
account: {{slug: lab, name: Lab, realm: lab.example, domains: [lab.example]}}
first_start: {{phones: "", admin_key: false}}
dialplan: {{folder: {flows}}}
phones:
  "1001": {{password: lab-1001, name: Alice}}
  "1002": {{password: lab-1002}}
extensions:
  "500": {{flow: reception}}
  "600": {{echo: true}}
numbers:
  "+12025550123": {{flow: reception}}
  "+12025550124": {{user: "1002"}}
trunks:
  carrier: {{proxy: "sip:192.0.2.9", cid_number: "+12025550199"}}
  peer: {{sources: [127.0.0.1], from_user: peer}}
routes:
  - {{match: "+1.", trunk: carrier}}
carrier: carrier
keys:
  admin: {{secret: admin-key-1, scopes: ["*"]}}
  node: {{secret: node-key-11, scopes: [edge]}}
  reader: {{secret: reader-key-1, scopes: ["calls:read"]}}
accounts:
  other:
    name: Other
    domains: [other.example]
    phones:
      "1001": {{password: other-1001}}
    numbers:
      "+12025550188": {{flow: reception}}
    keys:
      theirs: {{secret: their-key-1, scopes: [edge]}}
"""
FLOW = """
title: Reception
parts:
  welcome:
    - tag: greeted
    - menu: Welcome. Press 1 or 2.
      choices: {1: person, 2: mailbox}
      on_timeout: goodbye
      on_invalid: goodbye
  person:
    - dial: 1001
      timeout: 20s
    - say: Nobody is there.
    - goto: mailbox
  mailbox:
    - record: message
      prompt: Leave a message.
    - wait: 2s
    - say: Thank you.
  goodbye:
    - say: Goodbye.
    - hangup
"""
CALLER = {"from": "14155551234", "fromDomain": "carrier.example", "to": "12025550123"}
ADMIN, NODE, READER, THEIRS = "admin-key-1", "node-key-11", "reader-key-1", "their-key-1"


@dataclass(frozen=True, slots=True)
class EdgeHouse:
    """The house, and somebody who asks it."""

    app: App
    client: Client

    async def ask(self, method: str, path: str, body: object = None, *, key: str | None = NODE, **more: Any) -> Answer:
        headers = {"x-admin-token": key} if key else {}
        options = more | ({"json": body} if body is not None else {})
        return await self.client.ask(method, path, headers=headers | options.pop("headers", {}), **options)

    async def post(self, path: str, body: object, *, key: str | None = NODE) -> Any:
        """The answer of one that is taken."""
        answer = await self.ask("POST", path, body, key=key)
        assert answer.status == 200, answer.body
        return answer.json

    def account(self, slug: str) -> str:
        found = self.app.directory.account_named(slug)
        assert found is not None
        return found.id

    def flow(self, slug: str = "lab", name: str = "reception") -> str:
        return flow_id(self.account(slug), name)


def configured(folder: Path, flow: str = FLOW, more: str = "", store_url: str | None = None) -> Config:
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    (flows / "reception.yaml").write_text(flow, encoding="utf-8")
    file = folder / "pbxd.yaml"
    store = f"store: {{url: '{store_url}'}}\n" if store_url is not None else ""
    file.write_text(TEXT.format(data=folder / "data", flows=flows) + store + more, encoding="utf-8")
    return load(file)


@asynccontextmanager
async def edge_house(
    folder: Path, flow: str = FLOW, more: str = "", *, store_url: str | None = None
) -> AsyncIterator[EdgeHouse]:
    app = App(configured(folder, flow, more, store_url))
    await app.start()
    try:
        host, port = app.server.bound[0]
        async with aiohttp.ClientSession() as session:
            yield EdgeHouse(app, Client(f"http://{host}:{port}", session))
    finally:
        await app.stop()


def digest(
    username: str = "1001",
    password: str = "lab-1001",
    *,
    realm: str = "lab.example",
    nonce: str = "made-by-the-node",
    algorithm: str = "MD5",
    nc: str | None = "00000001",
) -> dict[str, str]:
    """What a phone answers, as RFC 7616 §3.4 computes it."""

    def h(text: str) -> str:
        return hashlib.new("md5" if algorithm == "MD5" else "sha256", text.encode()).hexdigest()

    said = {"username": username, "realm": realm, "nonce": nonce, "uri": "sip:lab.example", "method": "REGISTER"}
    middle = f"{nc}:cn:auth:" if nc else ""
    said |= {"qop": "auth", "nc": nc, "cnonce": "cn"} if nc else {}
    secrets = h(f"{username}:{realm}:{password}"), h("REGISTER:sip:lab.example")
    return said | {"algorithm": algorithm, "response": h(f"{secrets[0]}:{nonce}:{middle}{secrets[1]}")}
