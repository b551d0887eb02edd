"""A whole house in this process with three accounts, `lab`, `red` and `blue`, that have the same numbers and names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from pbxd.app import App
from pbxd.calls.record import CallRecord
from pbxd.config import load
from pbxd.directory.fraud import Block as FraudBlock
from pbxd.directory.fraud import Pattern
from pbxd.directory.model import Account
from pbxd.services.recordings import Channels, Recorded, RecordingState
from pbxd.services.recordings.shelf import place_of
from pbxd.services.voicemail import Folder, Message
from pbxd.services.voicemail.rules import Origin
from pbxd.sip.flow import Transport
from tests.api.client import Answer, Client
from tests.clients.block import Block
from tests.clients.hand import Hand, calling

SLUGS = ("lab", "red", "blue")
TEXT = """
data_dir: {folder}/data
node: here
account: {{slug: lab, name: Lab, realm: lab.test, domains: [lab.test]}}
sip: {{udp: ["127.0.0.1:0"], tcp: [], tls: []}}
http: {{listen: "127.0.0.1:0"}}
rtp: {{ports: {ports}}}
first_start: {{phones: "", admin_key: false}}
dialplan: {{folder: {folder}/flows}}
keys:
  lab-admin: {{secret: lab-admin-key, scopes: ["*"]}}
  lab-clerk: {{secret: lab-clerk-key, scopes: ["calls:*", "recordings:*", "conferences:*", "flows:*", "trace:*"]}}
{lab}
accounts:
  red:
    domains: [red.test]
    keys: {{red-admin: {{secret: red-admin-key, scopes: ["*"]}}}}
{red}
  blue:
    domains: [blue.test]
    keys: {{blue-admin: {{secret: blue-admin-key, scopes: ["*"]}}}}
{blue}
"""
SECTIONS = """
phones: {{"1001": {{password: {slug}-1001, name: Ann of {slug}}}, "1002": {{password: {slug}-1002}}}}
extensions: {{"500": {{flow: menu}}, "520": {{queue: support}}}}
conferences: {{"700": {{announce: none}}}}
mailboxes: {{"1001": {{pin: "1001"}}}}
numbers: {{"{did}": {{flow: menu}}}}
queues: {{support: {{members: ["1001"]}}}}
trunks: {{peer: {{sources: [127.0.0.1], from_user: {slug}-peer}}}}
"""
FLOW = "title: Menu of {slug}\nparts:\n  begin:\n    - answer\n    - tag: {slug}\n    - wait: 60s\n"
DIDS = {"lab": "+12025550140", "red": "+12025550141", "blue": "+12025550142"}
WALL = 1_790_000_000.0


def admin(slug: str) -> str:
    """The key of an account that may do everything in it; of the lab, everywhere."""
    return f"{slug}-admin-key"


@dataclass
class Town:
    """The house, who asks it, and who has called it."""

    app: App
    client: Client
    stack: AsyncExitStack
    hands: dict[str, list[Hand]] = field(default_factory=dict)

    async def ask(self, method: str, path: str, slug: str, **options: Any) -> Answer:
        return await self.client.ask(method, path, key=admin(slug), **options)

    async def told(self, method: str, path: str, slug: str, **options: Any) -> Any:
        """What the house answers to what it does."""
        answer = await self.ask(method, "/house/v1" + path, slug, **options)
        assert answer.status < 300, (path, answer.body)
        return answer.json if answer.body else None

    def account(self, slug: str) -> Account:
        found = self.app.directory.account_named(slug)
        assert found is not None
        return found

    async def call(self, slug: str, number: str) -> CallRecord:
        """An answered call from the account's trunk to one of its numbers."""
        before = set(self.app.telephony.switch.calls)
        address = self.app.telephony.transports.bound[Transport.UDP][0]
        name = f"{slug}-{number}-{len(before)}"
        hand = await self.stack.enter_async_context(calling(address, number, f"{slug}-peer", name))
        self.hands.setdefault(slug, []).append(hand)
        (fresh,) = set(self.app.telephony.switch.calls) - before
        return self.app.telephony.switch.calls[fresh].record

    async def refused(self, slug: str, number: str) -> str:
        """What a call from there that is not taken is answered."""
        address = self.app.telephony.transports.bound[Transport.UDP][0]
        transport, hand = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Hand(number, f"{slug}-peer", f"{slug}-{number}"), remote_addr=address
        )
        try:
            hand.say("INVITE")
            while (answer := await hand.hear("SIP/2.0 ")).startswith("SIP/2.0 1"):
                pass
            return answer[:11]
        finally:
            transport.close()

    async def upload(self, slug: str) -> None:
        """The account's flow `menu`, which is not that of the others."""
        await self.told("PUT", "/flows/menu", slug, json={"text": FLOW.format(slug=slug)})

    def recorded(self, slug: str) -> Recorded:
        """A recording of the account that has ended, file and all."""
        recordings, account = self.app.recordings, self.account(slug)
        recorded = Recorded(
            id=f"rec_{slug}",
            account_id=account.id,
            node="here",
            call_id=f"call_{slug}",
            room="",
            channels=Channels.MIXED,
            format=recordings.settings.format,
            path=place_of(WALL, f"call_{slug}"),
            state=RecordingState.DONE,
            reason="the call ended",
            started_at=WALL,
            ended_at=WALL + 1,
        )
        recordings._shelf.add(recorded)
        path = recordings.keeper.files.path(recorded)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"sound of {slug}".encode())
        return recorded

    def message(self, slug: str) -> Message:
        """One in the mailbox 1001 of the account."""
        archive = self.app.mailroom.voicemail.archive
        box = archive.box(self.account(slug).id, "1001")
        assert box is not None
        begun = archive.begin(box, Origin(f"caller of {slug}", "", f"call_{slug}"), WALL)
        path = archive.path(begun)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"message of {slug}".encode())
        kept = Message(**{name: getattr(begun, name) for name in Message.__dataclass_fields__} | {"seconds": 2.0})
        assert kept.folder is Folder.NEW
        return archive.keep(kept)

    def blocked(self, slug: str) -> FraudBlock:
        """A caller of the account who may not call abroad."""
        account, fraud = self.account(slug), self.app.telephony.vigil.watch.fraud
        until = self.app.telephony.wall(self.app.telephony.now()) + 3600
        block = FraudBlock(f"blk_{slug}", account.id, "1001", Pattern.BURST, f"calls of {slug}", WALL, until)
        fraud.blocks[account.id, "1001"] = block
        return block


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


@asynccontextmanager
async def town(folder: Path, block: Block) -> AsyncIterator[Town]:
    """All of it up."""
    said = {slug: SECTIONS.format(slug=slug, did=DIDS[slug]).strip() for slug in SLUGS}
    file = folder / "house.yaml"
    parts = {"lab": said["lab"], "red": _indented(said["red"]), "blue": _indented(said["blue"])}
    file.write_text(TEXT.format(folder=folder, ports=block.rtp_ports, **parts))
    app = App(load(file))
    await app.start()
    try:
        async with AsyncExitStack() as stack, aiohttp.ClientSession() as session:
            ((host, port),) = app.server.bound
            yield Town(app, Client(f"http://{host}:{port}", session), stack)
            await asyncio.sleep(0)
    finally:
        await app.stop()
