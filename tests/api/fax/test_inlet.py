"""Bodies of providers: whoever sends slowly, and proves nothing, holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from pbxd.api.fax import posted
from tests.api.fax.cloud import clouded
from tests.api.fax.house import FaxLab
from tests.api.fax.test_providers import phaxio_posts, sinch_posts

LONG = f"Content-Length: {20 << 20}"
HEAD = "POST {} HTTP/1.1\r\nHost: pbx\r\nX-Phaxio-Signature: {}\r\nContent-Type: application/json\r\n{}\r\n\r\n"


@asynccontextmanager
async def begun(lab: FaxLab, length: str, body: bytes = b"{") -> AsyncIterator[asyncio.StreamReader]:
    """A request to Phaxio's path whose body is begun and no more."""
    host, _, port = lab.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(HEAD.format("/phaxio-callback", "0" * 64, length).encode() + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def held(lab: FaxLab) -> None:
    """Every slot of Phaxio's is taken."""
    async with asyncio.timeout(10):
        while not lab.app.faxroom.house.inlets["phaxio"]._long.locked():
            await asyncio.sleep(0.01)


async def test_slow_long_bodies_hold_up_no_small_one_and_no_other_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(posted, "FREE_TIMEOUT_S", 0.05)
    async with AsyncExitStack() as late, clouded(tmp_path, "sip") as (lab, _cloud), AsyncExitStack() as slow:
        for _ in range(posted.MAX_LONG - 1):
            await slow.enter_async_context(begun(lab, LONG))
        # who does not say how long it is takes a slot once it is long
        whole = b"%x\r\n%s\r\n" % (posted.SMALL + 1, b" " * (posted.SMALL + 1))
        await slow.enter_async_context(begun(lab, "Transfer-Encoding: chunked", whole))
        await held(lab)
        async with asyncio.timeout(3):
            assert (await phaxio_posts(lab, "/phaxio-callback", {})).json == {"status": "no job_id provided"}
        long_one = {"direction": "INBOUND", "id": "", "pad": "x" * (posted.SMALL + 1)}
        async with asyncio.timeout(3):
            assert (await phaxio_posts(lab, "/phaxio-callback", long_one)).status == 503
            assert (await sinch_posts(lab, long_one)).status == 200
        fifth = await late.enter_async_context(begun(lab, LONG))
        refused = (await fifth.readuntil(b"\r\n\r\n")).decode()
        assert refused.startswith("HTTP/1.1 503 ")
        assert "Retry-After: 5" in refused
        await slow.aclose()
        async with asyncio.timeout(10):
            while (await phaxio_posts(lab, "/phaxio-callback", long_one)).status != 200:
                await asyncio.sleep(0.01)
    assert "an HTTP request failed" not in caplog.text  # whoever hangs up is no mistake of ours


async def test_a_small_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posted, "SMALL_TIMEOUT_S", 0.05)
    async with AsyncExitStack() as late, clouded(tmp_path, "sip") as (lab, _cloud):
        reader = await late.enter_async_context(begun(lab, "Content-Length: 9"))
        async with asyncio.timeout(10):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert answer.startswith("HTTP/1.1 503 ")
        assert "Retry-After: 5" in answer
        assert not lab.app.faxroom.house.inlets["phaxio"]._long.locked()
