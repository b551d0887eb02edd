"""Accounts under one roof: each sends, receives and looks after its own, and knows nothing of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pbxd.api.contract import Part
from pbxd.api.fax import FAX
from pbxd.api.fax.door import ADMIN as ADMIN_SCOPE
from tests.api.fax.house import ADMIN, KEY, FaxLab, fax_lab
from tests.services.faxes.test_arrivals import tiff

BLUE_ADMIN, BLUE, NUMBER, BLUE_NUMBER = "blue-admin-secret", "blue-fax-secret", "+12025550150", "+12025550199"
ACCOUNTS = (
    "accounts={blue: {realm: blue.example, domains: [blue.example], "
    f"keys: {{blue-admin: {{secret: {BLUE_ADMIN}, scopes: ['*']}}, "
    f"blue-fax: {{secret: {BLUE}, scopes: ['fax:send', 'fax:read', 'inbound:list', 'inbound:read']}}}}, "
    f"extensions: {{'950': {{fax: {{mode: auto}}}}}}, numbers: {{'{BLUE_NUMBER}': {{extension: '950'}}}}}}}}"
)
OWN = [operation for operation in FAX.operations if operation.in_one_account]
OF_THE_HOUSE = [operation for operation in FAX.operations if operation.scope and not operation.in_one_account]
BODIES: dict[str, dict[str, Any]] = {"mint_key": {"name": "x"}, "simulate_inbound": {"status": "failed"}}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[FaxLab]:
    async with fax_lab(tmp_path, ACCOUNTS) as lab:
        yield lab


def blue(lab: FaxLab) -> str:
    account = lab.app.directory.account_named("blue")
    assert account is not None
    return account.id


async def came(lab: FaxLab, number: str) -> None:
    """A fax for a number, by the door for Asterisk."""
    inbox = lab.folder / "data" / "faxes" / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(tiff, inbox / "fax.tiff")
    said = {"tiff_path": "fax.tiff", "to_number": number, "uniqueid": number}
    taken = await lab.client.ask(
        "POST", "/_internal/asterisk/inbound", json=said, headers={"X-Internal-Secret": "lab-asterisk"}
    )
    assert taken.status == 200


async def test_each_account_has_its_own_faxes(lab: FaxLab) -> None:
    own = (await lab.send(lab.pdf(), idempotency_key="a")).json
    other = (await lab.send(lab.pdf(), key=BLUE, idempotency_key="a")).json
    await lab.settled(own["id"])
    async with asyncio.timeout(20):
        while (done := (await lab.client.get(f"/fax/{other['id']}", key=BLUE)).json)["status"] != "SUCCESS":
            await asyncio.sleep(0.02)
    assert {one.account_id for one in lab.line.sent} == {blue(lab), lab.app.directory.default_account.id}
    for key, known in ((ADMIN, own), (BLUE_ADMIN, done)):
        listed = (await lab.client.get("/admin/fax-jobs", key=key)).json
        assert (listed["total"], [one["id"] for one in listed["jobs"]]) == (1, [known["id"]])
    assert (await lab.client.get(f"/fax/{own['id']}", key=BLUE)).json == {"detail": "Job not found"}
    assert (await lab.client.get(f"/fax/{other['id']}", key=KEY)).json == {"detail": "Job not found"}


async def test_what_comes_in_is_for_the_account_that_has_the_number(lab: FaxLab) -> None:
    await came(lab, NUMBER)
    await came(lab, BLUE_NUMBER.removeprefix("+"))
    (own,) = (await lab.client.get("/inbound", key=ADMIN)).json
    (other,) = (await lab.client.get("/inbound", key=BLUE)).json
    assert (own["to"], other["to"]) == (NUMBER, BLUE_NUMBER.removeprefix("+"))
    assert (await lab.client.get(f"/inbound/{own['id']}/pdf", key=BLUE)).status == 404
    assert (await lab.client.get(f"/inbound/{other['id']}/pdf", key=ADMIN)).status == 404
    link = urlsplit(other["pdf_url"])
    assert (await lab.client.get(f"{link.path}?{link.query}")).status == 200  # who has the link needs no account
    assert (await lab.client.ask("DELETE", f"/inbound/{own['id']}", key=BLUE_ADMIN)).status == 404
    assert (await lab.client.ask("DELETE", f"/inbound/{other['id']}", key=BLUE_ADMIN)).status == 200


async def test_keys_are_minted_seen_and_revoked_in_their_account(lab: FaxLab) -> None:
    made = (await lab.client.ask("POST", "/admin/api-keys", key=BLUE_ADMIN, json={"scopes": ["fax:send"]})).json
    assert (await lab.client.get("/admin/api-keys", key=ADMIN)).json == []
    assert [one["key_id"] for one in (await lab.client.get("/admin/api-keys", key=BLUE_ADMIN)).json] == [made["key_id"]]
    place = f"/admin/api-keys/{made['key_id']}"
    assert (await lab.client.ask("DELETE", place, key=ADMIN)).json == {"detail": "Key not found"}
    assert (await lab.client.ask("POST", f"{place}/rotate", key=ADMIN)).json == {"detail": "Key not found"}
    sent = (await lab.send(lab.pdf(), key=made["token"])).json
    job = await lab.app.faxroom.faxes.rows.job(sent["id"])
    assert job is not None
    assert job.account_id == blue(lab)
    assert (await lab.client.ask("DELETE", place, key=BLUE_ADMIN)).json == {"status": "ok"}


async def test_no_operation_reaches_into_another_account(lab: FaxLab) -> None:
    """Each that an account may call is tried on what another one has; the others are the house's."""
    job = (await lab.send(lab.pdf())).json
    await lab.settled(job["id"])
    await came(lab, NUMBER)
    (fax,) = (await lab.client.get("/inbound", key=ADMIN)).json
    key = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={})).json
    for operation in OWN:
        if operation.name == "send_fax":
            continue
        ids = {"id": fax["id"] if operation.path.startswith("/inbound") else job["id"], "keyId": key["key_id"]}
        body: dict[str, Any] = {"json": BODIES[operation.name]} if Part.BODY in operation.parts else {}
        answer = await lab.client.ask(operation.method, operation.path.format(**ids), key=BLUE_ADMIN, **body)
        assert answer.status == (404 if Part.PATH in operation.parts else 200), operation.name
        for secret in (job["id"], fax["id"], key["key_id"]):
            assert secret.encode() not in answer.body, operation.name
    assert (await lab.client.get("/admin/api-keys", key=ADMIN)).json[0]["revoked_at"] is None
    assert (await lab.client.get(f"/inbound/{fax['id']}", key=ADMIN)).status == 200


async def test_what_is_the_houses_is_not_for_other_accounts(lab: FaxLab) -> None:
    assert {operation.scope for operation in OF_THE_HOUSE} == {ADMIN_SCOPE}
    for operation in OF_THE_HOUSE:
        body: dict[str, Any] = {"json": {}} if Part.BODY in operation.parts else {}
        answer = await lab.client.ask(operation.method, operation.path.format(id="sip"), key=BLUE_ADMIN, **body)
        assert (answer.status, answer.json) == (
            403,
            {"detail": "only keys of the house's own account may do this"},
        ), operation.name
