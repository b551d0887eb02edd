"""The examples of the contract's page, run as they are written: only the host and the file are ours."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pbxd.services.faxes import FaxJob, JobState
from tests.api.fax.house import ADMIN, KEY, FaxLab, fax_lab

PAGE = Path(__file__).parents[2] / "vectors" / "fax"
NODE_CLIENT = Path(__file__).parents[2] / "clients" / "node"
TIMES = ("created_at", "updated_at")

needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="there is no Node here; make setup-test installs it"
)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[FaxLab]:
    async with fax_lab(tmp_path) as lab:
        yield lab


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAGE / name).read_text())
    return found


def written(lab: FaxLab, name: str) -> str:
    """An example, with this house in the place of the page's, and a file that is there."""
    text = (PAGE / name).read_text()
    assert "http://localhost:8080" in text
    return text.replace("http://localhost:8080", lab.base).replace("/path/to/file.pdf", str(lab.pdf()))


async def run(lab: FaxLab, *command: str, key: str = KEY) -> str:
    """What a program writes; it has nothing to complain of."""
    surroundings = {**os.environ, "API_KEY": key, "NODE_PATH": str(NODE_CLIENT)}
    process = await asyncio.create_subprocess_exec(
        *command, env=surroundings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        said, complaints = await process.communicate()
    assert (process.returncode, complaints.decode()) == (0, "")
    return said.decode()


async def kept(lab: FaxLab, name: str) -> dict[str, Any]:
    """The job of the page's answer, as if it had happened here."""
    said = expected(name)
    created, updated = (datetime.fromisoformat(said[time]).replace(tzinfo=UTC).timestamp() for time in TIMES)
    job = FaxJob(
        id=said["id"],
        account_id=lab.app.faxroom.faxes.office.account_id,
        to=said["to"],
        state=JobState(said["status"]),
        backend=said["backend"],
        idempotency_key=said["id"],
        priority=0,
        file_name="file.pdf",
        sha256="",
        ident="",
        header="",
        detail="fine",
        created_at=created,
        updated_at=updated,
        due_at=created,
        error=said["error"],
    )
    await lab.app.faxroom.faxes.rows.add(job)
    return said


async def test_curl_sends_and_asks_as_the_page_says(lab: FaxLab) -> None:
    sent = json.loads(await run(lab, "sh", "-ec", written(lab, "send.sh")))
    page = expected("sent.json")
    assert list(sent) == list(page)
    assert {name: type(value) for name, value in sent.items() if page[name] is not None} == {
        name: type(value) for name, value in page.items() if value is not None
    }
    assert (sent["to"], sent["status"], sent["error"], sent["provider_sid"]) == ("+15551234567", "queued", None, None)
    assert (await lab.settled(sent["id"])).json["status"] == "SUCCESS"
    status = await kept(lab, "status.json")
    assert json.loads(await run(lab, "sh", "-ec", written(lab, "status.sh"))) == status
    await kept(lab, "sent.json")
    refreshed = await run(lab, "sh", "-ec", written(lab, "refresh.sh"), key=ADMIN)
    assert json.loads(refreshed) == expected("refresh.json")


async def test_pythons_example_sends(lab: FaxLab) -> None:
    said = await run(lab, sys.executable, "-c", "import os\n" + written(lab, "send.py.txt"))
    assert "'to': '+15551234567', 'status': 'queued'" in said
    (sent,) = await settled(lab)
    assert (sent.number, sent.pages) == ("+15551234567", 1)


@needs_node
async def test_nodes_example_sends(lab: FaxLab) -> None:
    said = await run(lab, "node", "-e", f"(async () => {{\n{written(lab, 'send.js')}}})();")
    assert "to: '+15551234567',\n  status: 'queued'," in said
    (sent,) = await settled(lab)
    assert (sent.number, sent.pages) == ("+15551234567", 1)


FOLLOW = """
const FaxbotClient = require('faxbot');
const [base, file, text] = process.argv.slice(1);
const client = new FaxbotClient(base, process.env.API_KEY);
const heard = (promise) => promise.then(() => null, (error) => [error.status, error.message]);
(async () => {
  let job = await client.sendFax('+15551234567', file);
  while (['queued', 'in_progress'].includes(job.status)) {
    await new Promise((done) => setTimeout(done, 20));
    job = await client.getStatus(job.id);
  }
  console.log(JSON.stringify({
    healthy: await client.checkHealth(),
    status: job.status,
    text: (await client.sendFax('5551234567', text)).pages,
    number: await heard(client.sendFax('12', file)),
    missing: await heard(client.getStatus('none')),
    stranger: await heard(new FaxbotClient(base, 'wrong').getStatus('none')),
  }));
})();
"""


@needs_node
async def test_nodes_client_follows_a_fax_and_hears_of_mistakes(lab: FaxLab) -> None:
    text = lab.folder / "a.txt"
    text.write_text("Dear Sir,\n", encoding="utf-8")
    assert json.loads(await run(lab, "node", "-e", FOLLOW, lab.base, str(lab.pdf()), str(text))) == {
        "healthy": True,
        "status": "SUCCESS",
        "text": 1,
        "number": [400, "\"'to' must be E.164 or digits only\""],
        "missing": [404, '"Job not found"'],
        "stranger": [401, '"Invalid or missing API key"'],
    }


async def settled(lab: FaxLab) -> list[Any]:
    """What the line was asked for, once it was."""
    async with asyncio.timeout(20):
        while not lab.line.sent:
            await asyncio.sleep(0.02)
    return lab.line.sent
