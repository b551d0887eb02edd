"""Who asks, when proxies stand between: a stranger's word about itself counts for nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from pbxd.api.origin import Network, Origins
from pbxd.api.server import Server
from pbxd.certificates import client_context
from pbxd.tls import Named, Shown
from tests.test_tls import elliptic, make

LOCAL: list[Network] = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8")]


def _server(origins: Origins) -> Server:
    async def tell(request: web.Request) -> web.Response:
        origin = origins.of(request)
        return web.json_response([origin.address, origin.secure])

    return Server([], [web.get("/who", tell)], origins)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = _server(Origins())
    await server.start([("127.0.0.1", 0)])
    yield server
    await server.stop()


async def who(server: Server, *headers: tuple[str, str]) -> tuple[str, bool]:
    host, port = server.bound[0]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/who", headers=list(headers)) as answer,
    ):
        address, secure = await answer.json()
        return address, secure


FORWARDED = "X-Forwarded-For"


async def test_without_trusted_proxies_headers_say_nothing(server: Server) -> None:
    said = (FORWARDED, "203.0.113.9"), ("X-Forwarded-Proto", "https")
    assert await who(server, *said) == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([(FORWARDED, "203.0.113.9")], "203.0.113.9"),
        ([(FORWARDED, "1.1.1.1, 203.0.113.9")], "203.0.113.9"),  # the first was written by the stranger
        ([(FORWARDED, "203.0.113.9, 10.0.0.2")], "203.0.113.9"),  # two proxies of ours
        ([(FORWARDED, "1.1.1.1"), (FORWARDED, "203.0.113.9")], "203.0.113.9"),
        ([(FORWARDED, "203.0.113.9:4711")], "203.0.113.9"),
        ([(FORWARDED, "[2001:db8::9]:4711")], "2001:db8::9"),
        ([(FORWARDED, "2001:db8::9")], "2001:db8::9"),
        ([(FORWARDED, "unknown")], "127.0.0.1"),
        ([(FORWARDED, "203.0.113.9, nonsense")], "127.0.0.1"),
        ([(FORWARDED, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ([], "127.0.0.1"),
    ],
)
async def test_the_nearest_stranger_is_who_asks(server: Server, headers: list[tuple[str, str]], address: str) -> None:
    server.origins.proxies = LOCAL
    assert await who(server, *headers) == (address, False)


async def test_a_proxy_says_whether_the_way_to_it_was_secure(server: Server) -> None:
    server.origins.proxies = LOCAL
    assert await who(server, (FORWARDED, "203.0.113.9"), ("X-Forwarded-Proto", "https")) == ("203.0.113.9", True)
    assert await who(server, ("X-Forwarded-Proto", "https, http")) == ("127.0.0.1", False)


async def test_https_shows_each_name_its_certificate_and_stays_https(server: Server, tmp_path: Path) -> None:
    default = make(tmp_path, "default", elliptic(), "default.test")
    one = make(tmp_path, "one", elliptic(), "one.test")
    shown = Shown(default, [Named(("one.test",), one.certificate, one.private_key)])
    await server.start_tls([("127.0.0.1", 0)], shown.context)
    ((host, port),) = server.bound_tls
    assert server.bound_tls != server.bound
    verifying = client_context(verify=True, authorities=one.certificate)
    async with aiohttp.ClientSession() as session:
        url = f"https://{host}:{port}/who"
        async with session.get(url, ssl=verifying, server_hostname="one.test") as answer:
            assert await answer.json() == ["127.0.0.1", True]
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url, ssl=verifying, server_hostname="two.test")
        make(tmp_path, "one", elliptic(), "one.test")
        assert shown.watch()
    async with aiohttp.ClientSession() as later:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):  # the renewed one is not the one we trust
            await later.get(url, ssl=verifying, server_hostname="one.test")
