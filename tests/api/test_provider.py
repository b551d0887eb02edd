"""Trunks that are made by API register at their provider, a house of its own, while they are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pbxd.app import App
from pbxd.config import Config, load
from pbxd.sip.flow import Transport
from tests.api.client import Answer, Client

PASSWORD = "of-the-provider-4930"
TEXT = """
data_dir: {folder}/data
account: {{slug: {name}, realm: {name}.test, domains: [{name}.test]}}
sip: {{udp: ["127.0.0.1:0"], tcp: [], tls: []}}
http: {{listen: "127.0.0.1:0"}}
rtp: {{ports: 47300-47309}}
first_start: {{phones: "", admin_key: false}}
keys:
  admin: {{secret: admin-secret, scopes: ["*"]}}
"""
PHONES = f"""
phones:
  "4930": {{password: {PASSWORD}}}
  "4931": {{password: other-than-that}}
"""


def configured(folder: Path, name: str, more: str) -> Config:
    folder.mkdir(exist_ok=True)
    file = folder / "house.yaml"
    file.write_text(TEXT.format(folder=folder, name=name) + more)
    return load(file)


@asynccontextmanager
async def up(folder: Path, name: str, more: str = "") -> AsyncIterator[App]:
    app = App(configured(folder, name, more))
    await app.start()
    try:
        yield app
    finally:
        app.telephony.hangup_all("the test is over")
        await reached(lambda: app.telephony.quiet)
        await app.stop()


async def reached(state: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not state():  # noqa: ASYNC110 - two houses in one process have no event in common
            await asyncio.sleep(0.005)


@dataclass
class Scene:
    app: App
    provider: App
    client: Client

    def registered(self) -> list[str]:
        """Who is registered at the provider."""
        registrar = self.provider.telephony.registrar
        return [binding.aor.user for binding in registrar.all(self.provider.telephony.now())]

    async def ask(self, method: str, path: str = "", body: object = None, **more: Any) -> Answer:
        more |= {"json": body} if body is not None else {}
        return await self.client.ask(method, f"/house/v1{path}", key="admin-secret", **more)

    def wish(self, username: str = "4930", password: str | None = PASSWORD, **more: Any) -> dict[str, Any]:
        host, port = self.provider.telephony.transports.bound[Transport.UDP][0]
        register = {"username": username} | ({"password": password} if password is not None else {})
        return {"name": "carrier", "proxy": f"sip:{host}:{port}", "register": register, **more}

    async def state(self) -> tuple[str, str | None]:
        (trunk,) = (await self.ask("GET", "/trunks")).json["trunks"]
        return trunk["state"], trunk["reason"]

    async def becomes(self, wanted: str) -> str | None:
        """The reason with which it did."""
        await reached(lambda: [one.state for one in self.app.telephony.trunks.status()] == [wanted])
        state, reason = await self.state()
        assert state == wanted
        return reason


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with up(folder / "provider", "provider", PHONES) as provider, up(folder / "house", "house") as app:
        host, port = app.server.bound[0]
        async with aiohttp.ClientSession() as session:
            yield Scene(app, provider, Client(f"http://{host}:{port}", session))


async def test_it_registers_when_it_is_made_changes_and_leaves(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        made = await on.ask("POST", "/directory/trunks", on.wish())
        assert made.status == 201
        await on.becomes("registered")
        assert on.registered() == ["4930"]
        (first,) = on.app.telephony.trunks.status()
        changed = await on.ask("PUT", "/directory/trunks/carrier", on.wish(password=None, max_calls=3))
        assert changed.json["register"] == {"username": "4930", "aor": None, "expires_s": 3600}
        (still,) = on.app.telephony.trunks.status()
        assert (still.since, still.trunk.name) == (first.since, "carrier")  # it was left in peace
        wrong = on.wish("4931", "guessed-wrong")
        assert (await on.ask("PUT", "/directory/trunks/carrier", wrong)).status == 200
        assert await on.becomes("refused") == "the provider does not accept the username and password"
        await reached(lambda: not on.registered())
        right = on.wish("4931", "other-than-that")
        assert (await on.ask("PUT", "/directory/trunks/carrier", right)).status == 200
        await on.becomes("registered")
        assert on.registered() == ["4931"]
        await on.ask("PUT", "/directory/trunks/carrier", {**right, "register": None})
        await reached(lambda: not on.registered())
        assert await on.state() == ("off", None)
        await on.ask("PUT", "/directory/trunks/carrier", right)
        await reached(lambda: on.registered() == ["4931"])
        assert (await on.ask("DELETE", "/directory/trunks/carrier")).status == 200
        await reached(lambda: not on.registered())


async def test_it_registers_after_a_restart_and_while_its_account_is_there(tmp_path: Path) -> None:
    async with up(tmp_path / "provider", "provider", PHONES) as provider:
        for run in range(2):
            async with up(tmp_path / "house", "house") as app, aiohttp.ClientSession() as session:
                host, port = app.server.bound[0]
                on = Scene(app, provider, Client(f"http://{host}:{port}", session))
                if run == 0:
                    await on.ask("POST", "/accounts", {"slug": "shop"})
                    await on.ask("POST", "/directory/trunks?account=shop", on.wish())
                await reached(lambda on=on: on.registered() == ["4930"])  # type: ignore[misc]
                if run == 1:
                    assert (await on.ask("DELETE", "/accounts/shop")).status == 204
                    await reached(lambda on=on: not on.registered())  # type: ignore[misc]


async def test_its_password_is_told_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scene(tmp_path) as on:
        answers = [await on.ask("POST", "/directory/trunks", on.wish())]
        await on.becomes("registered")
        paths = "/directory/trunks", "/directory/trunks/carrier", "/trunks", "/audit", "/accounts/house/export"
        answers += [await on.ask("GET", path) for path in paths]
        answers.append(await on.ask("DELETE", "/directory/trunks/carrier"))
        answers.append(await on.ask("GET", "/audit"))
        closed = on.app.directory.seal.close(PASSWORD, "x")
        await on.app.store.drain()
    for answer in answers:
        assert answer.status in (200, 201), answer.body
        assert PASSWORD.encode() not in answer.body
        assert b"closed" not in answer.body
    assert PASSWORD not in caplog.text
    assert PASSWORD not in closed
    for file in (tmp_path / "house" / "data").rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


async def test_an_account_that_is_read_in_elsewhere_needs_its_password_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await on.ask("POST", "/accounts", {"slug": "shop"})
        await on.ask("POST", "/directory/trunks?account=shop", on.wish())
        await reached(lambda: on.registered() == ["4930"])
        document = (await on.ask("GET", "/accounts/shop/export")).json
        assert document["trunks"][0]["register"] == {"username": "4930", "aor": None, "expires_s": 3600}
        document["account"] |= {"slug": "again", "realm": "again"}
        assert (await on.ask("POST", "/accounts/import", document)).status == 201
        again = on.app.directory.account_named("again")
        assert again is not None
        (trunk,) = on.app.directory.trunks(again)
        assert trunk.register is None
        path = "/directory/trunks/carrier?account=again"
        assert (await on.ask("PUT", path, on.wish(password=None))).status == 400
        assert (await on.ask("PUT", path, on.wish("4931", "other-than-that"))).status == 200
        await reached(lambda: sorted(on.registered()) == ["4930", "4931"])


async def test_a_password_goes_where_it_was_meant_for_alone(tmp_path: Path) -> None:
    async with up(tmp_path, "house") as app, aiohttp.ClientSession() as session:
        host, port = app.server.bound[0]
        client = Client(f"http://{host}:{port}", session)

        async def said(method: str, path: str, **more: Any) -> tuple[int, str]:
            register = {"username": "4930"} | more.pop("register", {})
            wish = {"name": "carrier", "proxy": "sip:127.0.0.1:9", "register": register} | more
            answer = await client.ask(method, f"/house/v1/directory/trunks{path}", key="admin-secret", json=wish)
            return answer.status, answer.json.get("error", {}).get("message", "")

        needed = (400, "register.password: it is needed, and needed again for another user name or proxy")
        assert await said("POST", "") == needed
        password = {"password": PASSWORD}
        none = {"proxy": None, "sources": ["192.0.2.1/32"]}
        assert await said("POST", "", register=password, **none) == (
            400, "register: there is no proxy to register to",
        )  # fmt: skip
        assert (await said("POST", "", register=password))[0] == 201
        assert (await said("PUT", "/carrier"))[0] == 200
        assert await said("PUT", "/carrier", proxy="sip:127.0.0.2:9") == needed
        assert await said("PUT", "/carrier", register={"username": "4931"}) == needed
        assert (await said("PUT", "/carrier", register={"expires_s": 5, **password}))[0] == 400
