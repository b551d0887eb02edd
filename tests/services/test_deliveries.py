"""The outbox over a real store: what a killed process leaves behind arrives; a store that fails is named."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from pbxd.config import Config, ConfigError, load
from pbxd.outbox import Item, KeeperError, Kind, Outbox, Parcel, Rules, Security, State, WebSender
from pbxd.services.deliveries import Deliveries, OutboxService, mail_sender, rules
from pbxd.store import Store, StoreError, Trouble
from pbxd.store.schema import outbox as outbox_table
from tests.outbox.keeping import until

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = await Store.open(store_url)
    yield store
    await store.close()


def _parcel(number: int, **changes: Any) -> Parcel:
    item = Item(f"out_{number}", "acc_1", f"k{number}", Kind.HTTP, "https://x:443", "s", State.WAITING, 0, 100.0, 100.0)
    return Parcel(replace(item, **changes), '{"url": "https://x/"}', b"\0body")


async def test_what_is_kept_is_read_back(store: Store) -> None:
    keeper, parcel = Deliveries(store), _parcel(1)
    assert await keeper.add(parcel) == parcel.item
    assert await keeper.parcel("out_1") == parcel
    assert await keeper.parcel("out_2") is None
    sending = replace(parcel.item, state=State.SENDING, attempts=1, due_at=160.0, reason="HTTP 503")
    await keeper.update(sending)
    assert await keeper.parcel("out_1") == replace(parcel, item=sending)
    done = replace(sending, state=State.DELIVERED, ended_at=170.0, reason="HTTP 200")
    await keeper.update(done, forget_content=True)
    assert await keeper.parcel("out_1") == Parcel(done, "{}", b"")


async def test_a_key_is_taken_once_in_an_account(store: Store) -> None:
    keeper = Deliveries(store)
    first = _parcel(1, key="same")
    added = await asyncio.gather(*(keeper.add(one) for one in (first, _parcel(2, key="same"), _parcel(3, key="same"))))
    assert len({item.id for item in added}) == 1
    other = _parcel(4, key="same", account_id="acc_2")
    assert await keeper.add(other) == other.item
    assert len(await keeper.page(None, 10, None)) == 2


async def test_pages_states_and_what_is_open(store: Store) -> None:
    keeper = Deliveries(store)
    states = [State.WAITING, State.SENDING, State.DELIVERED, State.DEAD, State.CANCELLED]
    for number, state in enumerate(states):
        await keeper.add(_parcel(number, state=state, ended_at=200.0 + number if state.ended else None))
    assert [item.id for item in await keeper.open()] == ["out_0", "out_1"]
    assert [item.id for item in await keeper.page(None, 2, None)] == ["out_4", "out_3"]
    assert [item.id for item in await keeper.page(None, 2, "out_3")] == ["out_2", "out_1"]
    assert [item.id for item in await keeper.page(State.DEAD, 9, None)] == ["out_3"]
    await keeper.purge(203.0)
    assert [item.id for item in await keeper.page(None, 9, None)] == ["out_4", "out_3", "out_1", "out_0"]


async def test_a_store_that_fails_is_named_by_the_outbox_own_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_writes: object) -> None:
        raise StoreError("a write failed: SQLITE_FULL")

    async def away(*_: object) -> Sequence[Any]:
        raise StoreError("a read failed: gone", Trouble.AWAY)

    keeper = Deliveries(store)
    monkeypatch.setattr(store, "commit", full)
    for write in (keeper.add(_parcel(1)), keeper.update(_parcel(1).item), keeper.purge(0.0)):
        with pytest.raises(KeeperError, match="SQLITE_FULL"):
            await write
    monkeypatch.setattr(store, "rows", away)
    for read in (keeper.open(), keeper.page(None, 1, None), keeper.parcel("out_1")):
        with pytest.raises(KeeperError, match="a read failed: gone"):
            await read


class Hook:
    """An HTTP server that counts what it took, and stalls while `gate` is closed."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.confirmed: list[str] = []
        self.gate = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        assert await request.read() == b"the body"
        key = request.headers["Idempotency-Key"]
        self.keys.append(key)
        await self.gate.wait()
        self.confirmed.append(key)
        return web.Response(text="ok")


@asynccontextmanager
async def _hook() -> AsyncIterator[Hook]:
    hook = Hook()
    application = web.Application()
    application.router.add_post("/", hook.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    hook.url = f"http://{host}:{port}/"
    try:
        yield hook
    finally:
        hook.gate.set()
        await runner.cleanup()


@asynccontextmanager
async def _process(store_url: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process with the outbox on that store; killed with SIGKILL at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.outbox.dying", store_url, url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def _taken(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


async def test_what_a_killed_process_was_sending_arrives_under_the_same_key(store_url: str) -> None:
    async with _hook() as hook:
        async with _process(store_url, hook.url) as process:
            item_id = await _taken(process)
            await until(lambda: hook.keys == [item_id])  # in the middle: the far side has it and has not confirmed it
        assert process.returncode == -signal.SIGKILL
        hook.gate.set()
        async with _outbox(store_url) as outbox:
            assert (await outbox.get(item_id)).state is State.SENDING
            assert outbox.waiting == 1
            await outbox.retry(item_id)
            await until(lambda: outbox.waiting == 0)
            assert (await outbox.get(item_id)).state is State.DELIVERED
            assert (await outbox.get(item_id)).attempts == 2
        assert hook.keys == [item_id, item_id]


async def test_what_a_killed_process_saw_confirmed_is_not_sent_again(store_url: str) -> None:
    async with _hook() as hook:
        hook.gate.set()
        async with _process(store_url, hook.url) as process:
            item_id = await _taken(process)
            await until(lambda: hook.confirmed == [item_id])
            async with asyncio.timeout(5):
                while await _states(store_url) != ["delivered"]:  # noqa: ASYNC110 - another process sets it
                    await asyncio.sleep(0.02)
        async with _process(store_url, hook.url) as process:  # it puts the same key again
            assert await _taken(process) == item_id
            async with _outbox(store_url) as outbox:
                assert outbox.waiting == 0
        assert hook.keys == [item_id]


async def _states(store_url: str) -> list[str]:
    """What another process has committed."""
    store = await Store.open(store_url)
    rows = await store.rows(select(outbox_table.c.state))
    await store.close()
    return [row.state for row in rows]


@asynccontextmanager
async def _outbox(store_url: str) -> AsyncIterator[Outbox]:
    store = await Store.open(store_url)
    async with WebSender(10.0) as sender:
        outbox = Outbox(Deliveries(store), sender, None, Rules(retry_s=(1,)))
        await outbox.start()
        yield outbox
        await outbox.stop()
    await store.close()


def _config(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "pbxd.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


MAIL = (
    "mail: {server: mail.example.com, port: 465, security: tls, username: u, password: p4ss, from: pbx@example.com}\n"
)


def test_the_settings_become_a_mail_server_and_rules(tmp_path: Path) -> None:
    config = _config(tmp_path, MAIL + "outbox: {retry_s: [1, 2], max_age_s: 9, per_destination: 3, max_waiting: 4}\n")
    sender = mail_sender(config)
    assert sender is not None
    server = sender.server
    assert (server.host, server.port, server.security) == ("mail.example.com", 465, Security.TLS)
    assert (server.sender, server.username, server.password) == ("pbx@example.com", "u", "p4ss")
    made = rules(config)
    assert (made.retry_s, made.max_age_s, made.per_destination, made.max_waiting) == ((1, 2), 9, 3, 4)
    assert rules(Config()) == Rules()
    assert mail_sender(Config()) is None


@pytest.mark.parametrize(
    ("mail", "message"),
    [
        ("{server: mail.example.com}", "needs `from`"),
        ("{username: u}", "given together"),
        ("{username: u, password: p, security: none}", "not sent unprotected"),
        ("{from: nobody}", "name@example.com"),
        ("{from: 'a@b.c\\r\\nBcc: d@e.f'}", "name@example.com"),
        ("{security: ssl}", "starttls"),
        ("{port: 0}", "mail.port"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, mail: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _config(tmp_path, f"mail: {mail.replace(chr(39), chr(34))}\n")
    assert message in str(refused.value)


async def test_a_store_that_cannot_be_read_is_no_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> Sequence[Any]:
        raise StoreError("a read failed: gone", Trouble.AWAY)

    monkeypatch.setattr(store, "rows", away)
    service = OutboxService(store, Config())
    with pytest.raises(StoreError, match="cannot be taken up"):
        await service.start()
    await service.stop()


async def test_a_reload_takes_up_other_settings_and_refuses_those_that_cannot_be(store: Store, tmp_path: Path) -> None:
    service = OutboxService(store, Config())
    await service.start()
    try:
        service.reload(_config(tmp_path, MAIL + "outbox: {max_waiting: 7}\n"))
        mail = service.outbox.mail
        assert mail is not None
        assert service.outbox.rules.max_waiting == 7
        service.reload(_config(tmp_path, MAIL))
        assert service.outbox.mail is mail
        with pytest.raises(OSError, match="No such file"):
            service.reload(_config(tmp_path, MAIL.replace("}", f", authorities: {tmp_path}/none.pem}}")))
        assert service.outbox.mail is mail
    finally:
        await service.stop()
