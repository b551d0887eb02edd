"""Mailboxes over HTTP: who may, what they get, and bodies that are sound."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from media import wav
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, sound_routes
from pbxd.api.house import House as Collaborators
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.config.mailboxes import Mailbox
from pbxd.services.voicemail import Folder, Message, VoicemailChange
from pbxd.store import Store
from tests.api.client import Answer, Client, serving
from tests.api.tenancy import only_account
from tests.services.voicemail.theatre import RATE, WALL, House, tone

KEYS = {
    "admin-key": Identity("admin", None, frozenset({"*"})),
    "reader-key": Identity("reader", None, frozenset({"voicemail:read"})),
    "calls-key": Identity("calls", None, frozenset({"calls:*"})),
}
BOX = "/house/v1/voicemail/1002"


@pytest_asyncio.fixture
async def house(tmp_path: Path, store_url: str) -> AsyncIterator[House]:
    store = await Store.open(store_url)
    mailboxes = {"1002": Mailbox(pin=SecretStr("1002")), "1003": Mailbox()}
    yield await House(store, tmp_path / "voicemail").load(mailboxes, greeting_max_s=5)
    await store.close()


@pytest.fixture
def message(house: House) -> Message:
    return house.leave_one()


@pytest_asyncio.fixture
async def client(house: House) -> AsyncIterator[Client]:
    parts: dict[str, Any] = {field.name: None for field in fields(Collaborators)}
    context = Collaborators(
        **parts | {"voicemail": house.voicemail, "directory": only_account(), "wall": lambda: WALL + house.clock()}
    )
    access = Access(KEYS.get)
    routes = sound_routes(context, access.identify)
    async with serving(Server([Surface(HOUSE, context, access.identify)], routes)) as (client, _):
        yield client


async def ask(client: Client, method: str, path: str, *, key: str = "admin-key", **options: Any) -> Answer:
    return await client.ask(method, path, key=key, **options)


async def test_mailboxes_are_listed(client: Client, message: Message) -> None:
    answer = await ask(client, "GET", "/house/v1/voicemail", key="reader-key")
    first, second = answer.json["mailboxes"]
    assert (first["number"], first["users"], first["new"], first["seconds"]) == ("1002", ["1002"], 1, 2.0)
    assert (first["full"], first["locked_until"], first["pin_changed"]) == (False, None, False)
    assert second["new"] == 0
    assert b"pin_hash" not in answer.body
    assert (await ask(client, "GET", BOX)).json == first


async def test_a_message_goes_through_its_folders(client: Client, house: House, message: Message) -> None:
    path = f"{BOX}/messages/{message.id}"
    assert (await ask(client, "GET", path)).json["folder"] == "new"
    for folder in ("saved", "deleted", "saved"):
        answer = await ask(client, "PATCH", path, json={"folder": folder})
        assert answer.json["folder"] == folder
        assert (answer.json["deleted_at"] is not None) is (folder == "deleted")
    assert (await ask(client, "PATCH", path, json={"urgent": True})).json["urgent"] is True
    assert (await ask(client, "PATCH", path, json={"folder": "new"})).status == 409
    assert [one["id"] for one in (await ask(client, "GET", f"{BOX}/messages?folder=saved")).json["messages"]] == [
        message.id
    ]
    assert (await ask(client, "GET", f"{BOX}/messages?folder=new")).json == {"messages": []}
    assert (await ask(client, "DELETE", path)).json["id"] == message.id
    assert (house.messages(), house.files()) == ([], [])
    assert (await ask(client, "GET", path)).status == 404
    assert house.events[-1].change is VoicemailChange.PURGED


async def test_the_sound_comes_whole_and_in_parts(client: Client, house: House, message: Message) -> None:
    path = f"{BOX}/messages/{message.id}/sound"
    whole = await ask(client, "GET", path, key="reader-key")
    assert whole.status == 200
    assert whole.headers["Content-Type"] == "audio/wav"
    assert whole.body == house.voicemail.archive.path(message).read_bytes()
    part = await ask(client, "GET", path, headers={"Range": "bytes=8-11"})
    assert (part.status, part.body) == (206, b"WAVE")
    assert part.headers["Content-Range"] == f"bytes 8-11/{len(whole.body)}"
    beyond = await ask(client, "GET", path, headers={"Range": f"bytes={len(whole.body)}-"})
    assert beyond.status == 416
    house.voicemail.archive.path(message).unlink()
    assert (await ask(client, "GET", path)).status == 404


async def test_a_greeting_is_uploaded_heard_and_taken_back(client: Client, house: House, tmp_path: Path) -> None:
    sound = wav.header(RATE, 1, 16_000) + tone(1.0).tobytes()
    path = f"{BOX}/greetings/busy"
    assert (await ask(client, "GET", path)).status == 404
    assert (await ask(client, "PUT", path, data=sound)).status == 204
    heard = await ask(client, "GET", path)
    assert (heard.status, len(heard.body)) == (200, len(sound))
    assert (await ask(client, "GET", BOX)).json["greetings"] == ["busy"]
    assert (await ask(client, "DELETE", path)).status == 204
    assert house.files() == []


async def test_a_greeting_may_be_larger_than_other_bodies(client: Client, house: House) -> None:
    sound = wav.header(96_000, 2, 1_536_000) + bytes(1_536_000)
    assert (await ask(client, "PUT", f"{BOX}/greetings/busy", data=io.BytesIO(sound))).status == 204
    assert len(house.files()) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("greetings/busy", b"not a sound", 400),
        ("greetings/busy", b"", 400),
        ("greetings/rude", b"x", 400),
        ("greetings/busy", bytes((16 << 20) + 1), 413),
        ("greetings/busy", wav.header(RATE, 1, 96_000) + tone(6.0).tobytes(), 400),  # too long
    ],
)
async def test_what_is_no_greeting(client: Client, house: House, path: str, body: bytes, status: int) -> None:
    answer = await ask(client, "PUT", f"{BOX}/{path}", data=io.BytesIO(body))
    assert answer.status == status
    assert set(answer.json) == {"error"}
    assert house.files() == []
    assert list(house.folder.rglob("*.upload")) == []


async def test_a_pin_is_set_and_never_shown(client: Client, house: House) -> None:
    answer = await ask(client, "POST", f"{BOX}/pin", json={"pin": "4711"})
    assert answer.json["pin_changed"] is True
    assert b"4711" not in answer.body
    assert (house.box().pin_hash or "").startswith("$argon2id$")
    for pin in ("12", "1234567890123", "12a4", "١٢٣٤"):
        assert (await ask(client, "POST", f"{BOX}/pin", json={"pin": pin})).status == 400


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "", None, 401),
        ("GET", "", "calls-key", 403),
        ("GET", "/messages/x/sound", None, 401),
        ("GET", "/messages/x/sound", "calls-key", 403),
        ("GET", "/messages/x/sound", "reader-key", 404),
        ("DELETE", "/messages/x", "reader-key", 403),
        ("PUT", "/greetings/busy", "reader-key", 403),
        ("DELETE", "/greetings/busy", "reader-key", 403),
        ("POST", "/pin", "reader-key", 403),
    ],
)
async def test_who_may(client: Client, method: str, path: str, key: str | None, status: int) -> None:
    answer = await client.ask(method, BOX + path, key=key)
    assert answer.status == status
    assert set(answer.json["error"]) == {"code", "message"}


async def test_a_mailbox_that_is_not_there(client: Client, house: House) -> None:
    for path in ("/house/v1/voicemail/77", "/house/v1/voicemail/77/messages", "/house/v1/voicemail/..%2f/messages"):
        assert (await ask(client, "GET", path)).status in (400, 404)
    assert house.box().of(Folder.NEW) == []
