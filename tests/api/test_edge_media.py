"""Media, prompts and the live monitor of the edge over real HTTP: who may, whose it is, whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import aiohttp
import numpy as np
import pytest
from yarl import URL

from media import wav
from media.sound import Sound
from pbxd.api.contract import Identity
from pbxd.api.edge import EDGE, Edge, EdgeAccess, MediaDesk
from pbxd.api.origin import Origins
from pbxd.api.server import MAX_BODY_BYTES, Server
from pbxd.api.surface import Surface
from pbxd.calls.record import CallChanged, CallRecord, Change, Direction
from pbxd.directory.model import Account
from pbxd.events import Bus
from pbxd.objects import Folder
from pbxd.services.monitor import Monitor, Sights
from pbxd.services.prompts import SystemPrompts
from tests.api.client import Answer, Client, serving
from tests.outbox.keeping import until

WALL = 1_790_000_000.0
LAB = Account("acc_1", "lab", "Lab", "lab")
OTHER = Account("acc_2", "other", "Other", "other")
ADMIN, NODE_KEY, OTHERS = "lab-admin", "node-key", "other-key"
KEYS = {
    ADMIN: Identity("admin", LAB.id, frozenset({"*"})),
    NODE_KEY: Identity("node", LAB.id, frozenset({"edge"})),
    OTHERS: Identity("other", OTHER.id, frozenset({"*"})),
    "reader": Identity("reader", LAB.id, frozenset({"calls:read"})),
}
MOST = 3 << 20
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SOUND = b"RIFF" + bytes(range(256)) * 40


class Hum:
    """A voice that hums."""

    id = "hum"

    def speak(self, _text: str, _language: str) -> Sound:
        return Sound(np.full(800, 1000, np.int16), 8000)


class Directory:
    """Two accounts."""

    default_account = LAB

    def accounts(self) -> list[Account]:
        return [LAB, OTHER]

    def account_named(self, text: str) -> Account | None:
        return next((one for one in self.accounts() if text in (one.id, one.slug)), None)


@dataclass
class Stand:
    """An edge on a folder of its own."""

    edge: Edge
    access: EdgeAccess
    bus: Bus
    root: Path
    client: Client
    messages: dict[tuple[str, str], Path]

    async def ask(self, method: str, path: str, key: str | None = ADMIN, **options: Any) -> Answer:
        return await self.client.ask(method, path, key=key, **options)

    def url(self, path: str) -> str:
        return self.client.base + path


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    folder, bus = Folder(tmp_path / "media"), Bus()
    messages: dict[tuple[str, str], Path] = {}
    desk = MediaDesk(
        folder, SystemPrompts(folder, lambda _gender: Hum()), lambda account, call: messages.get((account, call)), MOST
    )
    sights = Sights(list, dict, lambda: 0, lambda: WALL, lambda _tap: contextlib.nullcontext())
    parts: dict[str, Any] = {field.name: None for field in fields(Edge)}
    edge = Edge(**parts | {"directory": cast(Any, Directory()), "media": desk, "monitor": Monitor(bus, sights)})
    origins = Origins()
    access = EdgeAccess(KEYS.get, origins)
    async with serving(Server([Surface(EDGE, edge, access.identify)], (), origins)) as (client, _):
        yield Stand(edge, access, bus, tmp_path / "media", client, messages)
        edge.monitor.stop()


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["code"]


# ---- media


async def test_what_is_put_is_got_with_its_type_and_etag(stand: Stand) -> None:
    put = await stand.ask("PUT", "/media/lab/vm/abc123.wav", data=SOUND)
    assert put.status == 200
    assert put.json == {
        "key": "acc_1/vm/abc123.wav",
        "size": len(SOUND),
        "etag": put.json["etag"],
        "content_type": "audio/wav",
    }
    got = await stand.ask("GET", "/media/acc_1/vm/abc123.wav")
    assert (got.status, got.body) == (200, SOUND)
    assert (got.headers["Content-Type"], got.headers["ETag"]) == ("audio/wav", put.json["etag"])
    same = await stand.ask("GET", "/media/lab/vm/abc123.wav", headers={"If-None-Match": put.json["etag"]})
    assert (same.status, same.body) == (304, b"")
    again = await stand.ask("PUT", "/media/lab/vm/abc123.wav", data=b"other")
    assert again.json["etag"] != put.json["etag"]
    changed = await stand.ask("GET", "/media/lab/vm/abc123.wav", headers={"If-None-Match": put.json["etag"]})
    assert (changed.status, changed.body) == (200, b"other")


async def test_ranges_are_served(stand: Stand) -> None:
    etag = (await stand.ask("PUT", "/media/music/hold.mp3", data=SOUND)).json["etag"]
    part = await stand.ask("GET", "/media/music/hold.mp3", headers={"Range": "bytes=10-19"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, SOUND[10:20], f"bytes 10-19/{len(SOUND)}")
    tail = await stand.ask("GET", "/media/music/hold.mp3", headers={"Range": "bytes=-5", "If-Range": etag})
    assert (tail.status, tail.body) == (206, SOUND[-5:])
    beyond = await stand.ask("GET", "/media/music/hold.mp3", headers={"Range": "bytes=999999-"})
    assert beyond.status == 416


async def test_a_large_object_is_streamed_and_a_larger_one_refused(stand: Stand) -> None:
    large = random.Random(7).randbytes(2 * MAX_BODY_BYTES)
    assert (await stand.ask("PUT", "/media/music/long.wav", data=io.BytesIO(large))).json["size"] == len(large)
    assert (await stand.ask("GET", "/media/music/long.wav")).body == large
    assert error(await stand.ask("PUT", "/media/music/long.wav", data=io.BytesIO(bytes(MOST + 1)))) == (
        413,
        "too_large",
    )

    async def unsaid() -> AsyncIterator[bytes]:  # without a Content-Length
        for chunk in (bytes(MOST // 2), bytes(MOST // 2), b"x"):
            yield chunk

    assert error(await stand.ask("PUT", "/media/music/long.wav", data=unsaid())) == (413, "too_large")
    assert len((await stand.ask("GET", "/media/music/long.wav")).body) == len(large)
    assert _names(stand.root / "music") == ["long.wav"]
    await until(lambda: _connections() <= 1)  # the server waits a moment for the rest of a body that it refused


async def test_an_empty_object_is_none(stand: Stand) -> None:
    assert error(await stand.ask("PUT", "/media/music/x.wav")) == (400, "bad_request")
    assert error(await stand.ask("PUT", "/media/music/x.wav", data=b"")) == (400, "bad_request")
    assert error(await stand.ask("GET", "/media/music/x.wav")) == (404, "not_found")


@pytest.mark.parametrize(
    "key",
    [
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/etc/passwd",
        "lab/%2e%2e/x",
        "lab//x",
        "lab/.x",
        "lab/x%00",
        "lab/a%20b",
        "%2fetc",
    ],
)
async def test_no_key_leads_elsewhere(stand: Stand, key: str) -> None:
    for method, options in (("GET", {}), ("PUT", {"data": b"x"})):
        async with aiohttp.ClientSession() as session:
            url = URL(stand.url(f"/media/{key}"), encoded=True)
            async with session.request(method, url, headers={"X-API-Key": ADMIN}, **cast(Any, options)) as response:
                assert response.status in (400, 404)
                assert set(await response.json()) == {"error"}
    assert not stand.root.exists()


async def test_media_nodes_get_to_media_alone(stand: Stand) -> None:
    assert error(await stand.ask("PUT", "/media/music/x.wav", None, data=b"x")) == (401, "unauthorized")
    assert error(await stand.ask("PUT", "/media/music/x.wav", "wrong", data=b"x")) == (403, "forbidden")
    assert error(await stand.ask("PUT", "/media/music/x.wav", "reader", data=b"x")) == (403, "forbidden")
    assert (await stand.ask("PUT", "/media/music/x.wav", NODE_KEY, data=b"x")).status == 200
    stand.access.media_sources = LOOPBACK
    assert (await stand.ask("GET", "/media/music/x.wav", None)).status == 200
    assert (await stand.ask("PUT", "/media/lab/vm/y.wav", None, data=b"x")).status == 200
    assert error(await stand.ask("POST", "/admin/tts/generate", None)) == (401, "unauthorized")
    assert error(await stand.ask("GET", "/media/music/x.wav", None, headers={"X-Forwarded-For": "192.0.2.1"})) == (
        401,
        "unauthorized",
    )
    stand.access.media_sources, stand.access.sources = (), LOOPBACK
    assert (await stand.ask("GET", "/media/music/x.wav", None)).status == 200


async def test_accounts_do_not_reach_into_each_other(stand: Stand) -> None:
    await stand.ask("PUT", "/media/lab/vm/a.wav", data=b"ours")
    await stand.ask("PUT", "/media/other/vm/b.wav", data=b"theirs")
    await stand.ask("PUT", "/media/system/en/female/welcome.wav", data=b"everybody's")
    await stand.ask("PUT", "/media/music/x.wav", data=b"the house's")
    for path in ("lab/vm/a.wav", "acc_1/vm/a.wav", "music/x.wav", "acc_9/vm/a.wav", "other", "lab"):
        assert error(await stand.ask("GET", f"/media/{path}", OTHERS)) == (404, "not_found"), path
        assert error(await stand.ask("PUT", f"/media/{path}", OTHERS, data=b"x")) == (404, "not_found"), path
    assert (await stand.ask("GET", "/media/other/vm/b.wav", OTHERS)).body == b"theirs"
    assert (await stand.ask("PUT", "/media/acc_2/vm/b.wav", OTHERS, data=b"new")).status == 200
    assert (await stand.ask("GET", "/media/other/vm/b.wav")).body == b"new"
    assert (await stand.ask("GET", "/media/system/en/female/welcome.wav", OTHERS)).body == b"everybody's"
    for method, path in (("PUT", "/media/system/en/female/welcome.wav"), ("POST", "/admin/tts/generate")):
        assert error(await stand.ask(method, path, OTHERS, data=b"x")) == (403, "forbidden")


async def test_a_voicemail_of_no_account_is_kept_for_nobody(stand: Stand) -> None:
    """Not even for the house: an account of that name that is made later would not find it."""
    for key in (ADMIN, NODE_KEY):
        for path in ("nobody/vm/x.wav", "music/vm/x.wav", "acc_9/vm/x.wav", "acc_9/music/x.wav", "lab"):
            assert error(await stand.ask("PUT", f"/media/{path}", key, data=b"x")) == (404, "not_found"), path
            assert error(await stand.ask("GET", f"/media/{path}", key)) == (404, "not_found"), path
    stand.access.media_sources = LOOPBACK
    assert error(await stand.ask("PUT", "/media/nobody/vm/x.wav", None, data=b"x")) == (404, "not_found")
    assert not stand.root.exists()


async def test_an_object_is_replaced_whole_while_it_is_read(stand: Stand) -> None:
    """Who has begun to read it reads it to its end; who comes later gets the other one, with another ETag."""
    old, new = b"a" * (1 << 20), b"b" * (1 << 20)
    first = await stand.ask("PUT", "/media/lab/vm/x.wav", data=io.BytesIO(old))
    async with (
        aiohttp.ClientSession() as session,
        session.get(stand.url("/media/lab/vm/x.wav"), headers={"X-API-Key": ADMIN}) as answer,
    ):
        begun = await answer.content.readexactly(10)
        second = await stand.ask("PUT", "/media/lab/vm/x.wav", data=io.BytesIO(new))
        assert begun + await answer.content.read() == old
    got = await stand.ask("GET", "/media/lab/vm/x.wav", headers={"If-None-Match": first.json["etag"]})
    assert (got.status, got.body, got.headers["ETag"]) == (200, new, second.json["etag"])
    stale = {"Range": "bytes=0-9", "If-Range": first.json["etag"]}
    assert (
        await stand.ask("GET", "/media/lab/vm/x.wav", headers=stale)
    ).status == 200  # all of it, not a part of another


async def test_a_voicemail_of_the_house_is_served_under_its_call(stand: Stand, tmp_path: Path) -> None:
    kept = tmp_path / "message.wav"
    wav.write(kept, Sound(np.zeros(800, np.int16), 8000))
    stand.messages[LAB.id, "call_01"] = kept
    got = await stand.ask("GET", "/media/lab/vm/call_01.wav")
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, kept.read_bytes(), "audio/wav")
    assert (await stand.ask("GET", "/media/other/vm/call_01.wav")).status == 404
    assert (await stand.ask("GET", "/media/lab/vm/call_01.wav", OTHERS)).status == 404
    assert (await stand.ask("GET", "/media/lab/call_01.wav")).status == 404
    kept.unlink()
    assert (await stand.ask("GET", "/media/lab/vm/call_01.wav")).status == 404


async def test_who_hangs_up_in_the_middle_leaves_nothing(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    host, port = stand.client.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT /media/music/half.wav HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"half of it")
    await writer.drain()
    await until(lambda: _names(stand.root / "music") != [])
    writer.close()
    await until(lambda: _names(stand.root / "music") == [])
    assert (await stand.ask("GET", "/media/music/half.wav")).status == 404
    assert "failed" not in caplog.text


def _connections() -> int:
    """How many the server has."""
    return sum("RequestHandler.start" in repr(task.get_coro()) for task in asyncio.all_tasks())


def _names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()] if folder.exists() else []


# ---- the system prompts


async def test_the_prompts_are_made_and_played(stand: Stand) -> None:
    made = await stand.ask("POST", "/admin/tts/generate?lang=en&gender=female")
    assert (made.status, made.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert (made.json["total"], made.json["made"], made.json["kept"], made.json["failed"]) == (10, 10, 0, 0)
    assert made.json["ok"] is True
    assert made.json["prompts"][0] == {"key": "system/en/female/welcome.wav", "state": "made", "seconds": 0.1}
    assert len(made.body.splitlines()) == 12  # a line for each prompt, as it is made
    for prompt in made.json["prompts"]:
        got = await stand.ask("GET", f"/media/{prompt['key']}")
        assert (got.status, got.body[:4]) == (200, b"RIFF")
    again = await stand.ask("POST", "/admin/tts/generate?lang=en&gender=female")
    assert (again.json["made"], again.json["kept"]) == (0, 10)
    forced = await stand.ask("POST", "/admin/tts/generate?lang=en&force=1")
    assert (forced.json["total"], forced.json["made"]) == (20, 20)
    assert forced.json["genders"] == ["female", "male"]


@pytest.mark.parametrize(
    "query", ["lang=xx", "lang=EN", "lang=../en", "gender=none", "force=perhaps", "lang=en&lang=de"]
)
async def test_what_cannot_be_said_is_refused_before_anything_is(stand: Stand, query: str) -> None:
    assert error(await stand.ask("POST", f"/admin/tts/generate?{query}")) == (400, "bad_request")
    assert not stand.root.exists()


async def test_one_asks_for_prompts_at_a_time(stand: Stand) -> None:
    with stand.edge.media.prompts.turn():
        assert error(await stand.ask("POST", "/admin/tts/generate?lang=en")) == (409, "conflict")
    assert (await stand.ask("POST", "/admin/tts/generate?lang=en")).status == 200


async def test_who_hangs_up_ends_the_making_and_lets_the_next_one(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(stand.url("/admin/tts/generate"), headers={"X-API-Key": ADMIN}) as answer,
    ):
        assert b"languages" in await answer.content.readline()
        answer.close()
    async with asyncio.timeout(10):
        while (again := await stand.ask("POST", "/admin/tts/generate?lang=en")).status == 409:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert again.json["ok"] is True
    assert len(list((stand.root / "system").iterdir())) < 16
    assert "failed" not in caplog.text


# ---- the live monitor


@pytest.fixture
async def watch(stand: Stand) -> AsyncIterator[Callable[..., Any]]:
    async with aiohttp.ClientSession() as session:

        def begin(path: str = "/debug", key: str | None = ADMIN) -> Any:
            return session.ws_connect(stand.url(path), headers={"x-admin-token": key} if key else {})

        yield begin


def call(change: Change, account_id: str = LAB.id) -> CallChanged:
    return CallChanged(change, CallRecord("call_1", account_id, Direction.INTERNAL, "1001", "", "600", WALL))


async def test_who_watches_hears_what_happens(stand: Stand, watch: Callable[..., Any]) -> None:
    async with watch() as socket:
        hello = await socket.receive_json(timeout=5)
        assert (hello["type"], hello["calls"]) == ("hello", [])
        stand.bus.publish(call(Change.STARTED))
        heard = await socket.receive_json(timeout=5)
        assert (heard["type"], heard["change"], heard["id"], heard["account"]) == ("call", "started", "call_1", "acc_1")
        await socket.send_str("nobody listens")
        stand.bus.publish(call(Change.ENDED))
        assert (await socket.receive_json(timeout=5))["change"] == "ended"
    await until(lambda: stand.edge.monitor.watchers == 0)


async def test_an_account_watches_its_own(stand: Stand, watch: Callable[..., Any]) -> None:
    async with watch(key=OTHERS) as theirs, watch("/debug?topics=call&accountId=other") as ours:
        assert "registrations" not in await theirs.receive_json(timeout=5)
        assert (await ours.receive_json(timeout=5))["topics"] == ["call"]
        stand.bus.publish(call(Change.STARTED))
        stand.bus.publish(call(Change.ENDED, OTHER.id))
        for socket in (theirs, ours):
            assert (await socket.receive_json(timeout=5))["change"] == "ended"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/debug", None, 401),
        ("/debug", "wrong", 403),
        ("/debug", "reader", 403),
        ("/debug?topics=secrets", ADMIN, 400),
        ("/debug?accountId=nobody", ADMIN, 404),
        ("/debug?accountId=lab", OTHERS, 404),
    ],
)
async def test_who_may_not_watch_is_told_so(watch: Callable[..., Any], path: str, key: str | None, status: int) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await watch(path, key)
    assert refused.value.status == status


async def test_loopback_watches_where_it_is_listed_and_no_page_in_a_browser(
    stand: Stand, watch: Callable[..., Any]
) -> None:
    stand.access.sources = LOOPBACK
    async with watch(key=None) as socket:
        assert (await socket.receive_json(timeout=5))["type"] == "hello"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(stand.url("/debug"), origin="https://evil.example")
    assert refused.value.status == 401


async def test_a_plain_get_is_told_what_it_is(stand: Stand) -> None:
    answer = await stand.ask("GET", "/debug")
    assert error(answer) == (400, "bad_request")
    assert "WebSocket" in json.loads(answer.body)["error"]["message"]


async def test_a_stop_says_good_bye(stand: Stand, watch: Callable[..., Any]) -> None:
    async with watch() as socket:
        await socket.receive_json(timeout=5)
        stand.edge.monitor.stop()
        message = await socket.receive(timeout=5)
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
