"""Requests against a real server that fails, stalls, lies and comes back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from pbxd.outbox import Item, Kind, Parcel, Request, State, WebSender
from pbxd.outbox.verdict import Outcome, Verdict

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Takes whole requests and answers each as `answer` says; `heard` has head and body of each."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answer: bytes | None = OK
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length")), 0
            )
            self.heard.append((head, await reader.readexactly(length)))
            if self.answer is None:
                await reader.read()  # stalls until the client goes away
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Server]:
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", port) as listening:
        host, port = listening.sockets[0].getsockname()
        server.url = f"http://{host}:{port}/hook?token=secret"
        yield server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
async def sender() -> AsyncIterator[WebSender]:
    async with WebSender(5.0) as sender:
        yield sender


async def _send(sender: WebSender, request: Request) -> Verdict:
    item = Item("out_1", "acc_1", "k", Kind.HTTP, request.origin, "", State.SENDING, 1, 0.0, 0.0)
    return await sender.send(Parcel(item, request.address(), request.body))


async def test_a_request_arrives_as_it_was_given(sender: WebSender, server: Server) -> None:
    request = Request(server.url, b'{"a":1}', headers={"Content-Type": "application/json", "X-Signature": "abc"})
    verdict = await _send(sender, request)
    assert (verdict.outcome, verdict.reason) == (Outcome.DELIVERED, "HTTP 200")
    ((head, body),) = server.heard
    assert body == b'{"a":1}'
    assert head.startswith("POST /hook?token=secret HTTP/1.1\r\n")
    for line in ("Idempotency-Key: out_1", "Content-Type: application/json", "X-Signature: abc", "User-Agent: pbxd"):
        assert f"\r\n{line}\r\n" in head
    assert "Cookie" not in head


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Outcome.DELIVERED, "HTTP 204"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", Outcome.DELIVERED, "HTTP 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, Outcome.DELIVERED, "HTTP 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", Outcome.DELIVERED, "HTTP 200"),
        # half a body, the wrong length, a chunk that ends midway
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Outcome.TEMPORARY, "the answer broke off"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhalf",
            Outcome.TEMPORARY,
            "the answer broke off",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Outcome.TEMPORARY, "the connection was closed before the answer"),
        (b"", Outcome.TEMPORARY, "the connection was closed before the answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.TEMPORARY, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", Outcome.TEMPORARY, "the answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmore than that",
            Outcome.TEMPORARY,
            "the answer is not HTTP",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", Outcome.TEMPORARY, "HTTP 500"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Outcome.PERMANENT, "HTTP 404"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            Outcome.PERMANENT,
            "HTTP 302: redirects are not followed",
        ),
    ],
)
async def test_what_a_server_says_is_what_counts(
    sender: WebSender, server: Server, answer: bytes, outcome: Outcome, reason: str
) -> None:
    server.answer = answer
    verdict = await _send(sender, Request(server.url))
    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    assert len(server.heard) == 1  # nothing is repeated or followed behind our back


async def test_a_server_that_is_busy_may_say_till_when(sender: WebSender, server: Server) -> None:
    server.answer = b"HTTP/1.1 429 Slow\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n"
    assert (await _send(sender, Request(server.url))).retry_after_s == 90.0


async def test_a_server_that_stalls_is_given_up(sender: WebSender, server: Server) -> None:
    server.answer = None
    sender.timeout_s = 0.1
    began = time.monotonic()
    verdict = await _send(sender, Request(server.url))
    assert (verdict.outcome, verdict.everyone, verdict.reason) == (
        Outcome.TEMPORARY,
        True,
        "no whole answer within 0.1 s",
    )
    assert time.monotonic() - began < 2.0


async def test_a_server_that_is_away_and_comes_back(sender: WebSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    verdict = await _send(sender, Request(f"http://127.0.0.1:{port}/"))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert verdict.reason.startswith("it cannot be reached: ")
    async with serving(port) as server:
        assert (await _send(sender, Request(server.url))).outcome is Outcome.DELIVERED


async def test_a_name_that_is_nobodys_is_tried_again(sender: WebSender) -> None:
    verdict = await _send(sender, Request("http://nobody.invalid/secret"))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert "secret" not in verdict.reason


async def test_a_server_without_tls_gets_nothing(sender: WebSender, server: Server) -> None:
    sender.timeout_s = 0.5
    verdict = await _send(sender, Request(server.url.replace("http:", "https:"), b"secret"))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert server.heard == []
