"""What flows may ask, and what becomes of far sides that are dead, slow, huge, or nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dialplan.command import Http, Outcome, Reply
from pbxd.flows.web import MOST_AT_ONCE, Web, may_be_asked

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = [ip_network("127.0.0.1/32")]


@pytest.fixture
async def asker() -> AsyncIterator[Web]:
    asker = Web(LOOPBACK)
    yield asker
    await asker.close()


async def asked(asker: Web, handler: Handler, **more: object) -> Reply:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        return await asker.exchange(Http(str(server.make_url("/x")), **{"timeout_s": 2.0, **more}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("192.0.2.1", True),
        ("10.0.0.5", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("2606:4700::1", True),
    ],
)
def test_where_flows_may_go(address: str, good: bool) -> None:
    assert may_be_asked(address, []) is good


def test_what_the_settings_allow() -> None:
    assert may_be_asked("127.0.0.1", LOOPBACK)
    assert not may_be_asked("127.0.0.2", LOOPBACK)
    assert may_be_asked("::ffff:127.0.0.1", LOOPBACK)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0", "2130706433", "127.1"])
async def test_this_machine_is_not_asked(host: str) -> None:
    asker = Web()
    reply = await asker.exchange(Http(f"http://{host}:9/", timeout_s=2.0))
    await asker.close()
    assert reply.outcome is Outcome.FAILED
    assert "may not ask" in str(reply.data["reason"]) or host in ("0", "2130706433", "127.1")


async def test_json_and_text(asker: Web) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["X-Key"] == "k"
        assert await request.json() == {"a": [1]}
        return web.json_response({"name": "Ann", "n": 3})

    reply = await asked(asker, answer, method="POST", body={"a": [1]}, headers={"X-Key": "k"})
    assert reply == Reply(Outcome.DONE, {"status": 200, "body": {"name": "Ann", "n": 3}})

    async def text(_request: web.Request) -> web.Response:
        return web.Response(text="plain")

    assert (await asked(asker, text)).data["body"] == "plain"


async def test_a_refusal_and_a_redirect_are_failures(asker: Web) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=404)

    reply = await asked(asker, refuse)
    assert (reply.outcome, reply.data) == (Outcome.FAILED, {"reason": "the answer was 404", "status": 404})

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/")

    assert (await asked(asker, redirect)).data["reason"] == "the answer was 302"


async def test_a_huge_answer_is_cut(asker: Web) -> None:
    async def huge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1000):
                await response.write(b"x" * 10_000)
        except ConnectionError:
            pass
        return response

    reply = await asked(asker, huge, max_bytes=20_000)
    assert reply.data["reason"] == "the answer has more than 20000 bytes"


async def test_a_slow_answer_is_not_waited_for(asker: Web) -> None:
    never = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    reply = await asked(asker, slow, timeout_s=0.1)
    assert reply.data["reason"] == "no whole answer within 0.1 s"


async def test_deep_json_and_nonsense(asker: Web) -> None:
    async def deep(_request: web.Request) -> web.Response:
        return web.Response(text="[" * 60_000)

    reply = await asked(asker, deep)
    assert reply.outcome is Outcome.DONE
    assert await asker.exchange(Http("ftp://x/", timeout_s=1.0)) == Reply(
        Outcome.FAILED, {"reason": "it gave no answer that can be read"}
    )


async def test_a_dead_host(asker: Web) -> None:
    reply = await asker.exchange(Http("http://127.0.0.1:9/", timeout_s=2.0))
    assert reply.data["reason"] == "it cannot be reached"


async def test_who_stops_asking_hears_nothing(asker: Web) -> None:
    heard: list[Reply] = []
    for _ in range(MOST_AT_ONCE + 1):
        stop = asker.ask(Http("http://127.0.0.1:9/", timeout_s=2.0), heard.append)
        stop()
    assert [reply.data["reason"] for reply in heard] == ["too many exchanges are under way"]
    await asker.close()
    assert len(heard) == 1
