"""The published Python client, unmodified: it sends, follows, and hears of every mistake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faxbot import FaxbotClient

from tests.api.fax.house import ADMIN, KEY, TO, FaxLab, fax_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[FaxLab]:
    async with fax_lab(tmp_path) as lab:
        yield lab


async def test_the_published_client_sends_and_polls_to_success(lab: FaxLab) -> None:
    client = FaxbotClient(lab.base, KEY)
    assert await asyncio.to_thread(client.check_health)
    job = await asyncio.to_thread(client.send_fax, TO, str(lab.pdf(3)))
    assert (job["to"], job["status"], job["pages"], job["backend"]) == (TO, "queued", 3, "sip")
    await lab.settled(job["id"])
    done = await asyncio.to_thread(client.get_status, job["id"])
    assert (done["status"], done["pages"], done["error"]) == ("SUCCESS", 3, None)
    text = lab.folder / "a.txt"
    text.write_text("Dear Sir,\n\t100 €\n", encoding="utf-8")
    job = await asyncio.to_thread(client.send_fax, "5551234567", str(text))
    assert (await lab.settled(job["id"])).json["status"] == "SUCCESS"
    assert [(one.number, one.pages) for one in lab.line.sent] == [(TO, 3), ("5551234567", 1)]


async def test_the_published_client_hears_of_every_mistake(lab: FaxLab) -> None:
    def said(key: str, to: str, content: bytes, name: str = "a.pdf") -> str:
        file = lab.folder / name
        file.write_bytes(content)
        with pytest.raises(Exception, match=r"\(\d+\)") as caught:
            FaxbotClient(lab.base, key).send_fax(to, str(file))
        return str(caught.value)

    pdf = await asyncio.to_thread(lab.pdf().read_bytes)
    mistakes = [
        (await asyncio.to_thread(said, KEY, "12", pdf), "Bad Request (400): 'to' must be E.164 or digits only"),
        (await asyncio.to_thread(said, KEY, TO, b"%PDF-junk"), "Bad Request (400): the PDF is broken"),
        (
            await asyncio.to_thread(said, "wrong", TO, pdf),
            "Unauthorized (401): invalid API key or missing authentication.",
        ),
        (
            await asyncio.to_thread(said, KEY, TO, b"\x7fELF\0\0", "a.txt"),
            "Unsupported Media Type (415): Only PDF and TXT are allowed",
        ),
        (
            await asyncio.to_thread(said, KEY, TO, pdf + bytes(1 << 20)),
            "Payload Too Large (413): File exceeds 1 MB limit",
        ),
    ]
    assert [heard for heard, _ in mistakes] == [expected for _, expected in mistakes]
    with pytest.raises(Exception, match=r"Fax job not found \(404\)"):
        await asyncio.to_thread(FaxbotClient(lab.base, KEY).get_status, "0" * 32)


async def test_the_published_client_sees_and_sets_plugins(lab: FaxLab) -> None:
    def plugins(key: str) -> Any:
        return FaxbotClient(lab.base, key).plugins

    manager = await asyncio.to_thread(plugins, ADMIN)
    assert manager.enabled
    listed = await asyncio.to_thread(manager.list_plugins)
    backends = ("sip", "disabled", "phaxio", "sinch", "signalwire", "freeswitch")
    assert {one["id"]: one["enabled"] for one in listed["items"]} == {
        **dict.fromkeys(backends, False),
        "sip": True,
        "local": True,
        "s3": False,
    }
    kept = await asyncio.to_thread(manager.update_plugin_config, "sip", {"settings": {"ident": "+1 555 7"}})
    assert kept == {"ok": True, "path": "settings.yaml"}
    config = await asyncio.to_thread(manager.get_plugin_config, "sip")
    assert config == {
        "enabled": True,
        "settings": {"ident": "+1 555 7", "header": "", "way": "auto", "detail": "standard"},
    }
    assert (await asyncio.to_thread(plugins, KEY)).enabled is False  # it is no admin's key
