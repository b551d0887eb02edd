"""The fax contract: who may what, what goes wrong and how it is said, and every trap that others fell into."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pbxd.api.fax import FAX
from pbxd.api.openapi import document
from tests.api.fax.house import ADMIN, KEY, TO, FaxLab, fax_lab
from tests.services.faxes.line import ScriptedLine
from tests.services.faxes.test_arrivals import tiff


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[FaxLab]:
    async with fax_lab(tmp_path) as lab:
        yield lab


def matches(path: str, method: str, status: str, answer: object) -> None:
    """The answer is what the document promises."""
    described = document(FAX)
    schema = described["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": described["components"]}).validate(answer)


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(document(FAX)).validate()


async def test_a_fax_has_the_shape_of_the_page(lab: FaxLab) -> None:
    sent = await lab.send(lab.pdf())
    assert sent.status == 202
    matches("/fax", "post", "202", sent.json)
    assert list(sent.json) == [
        *("id", "to", "status", "error", "pages", "backend", "provider_sid", "created_at", "updated_at")
    ]
    assert re.fullmatch(r"[0-9a-f]{32}", sent.json["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", sent.json["created_at"])
    done = await lab.settled(sent.json["id"])
    matches("/fax/{id}", "get", "200", done.json)
    assert done.json["status"] == "SUCCESS"


NO_NUMBERS = (
    "12345",
    "+" + "1" * 21,
    "+1555123\n",
    "+15551234567\n",
    "+1 555 123",
    "１２３４５６７",
    "",
    "tel:+15551234",
)


async def test_what_is_no_number_is_refused_to_the_last_sign(lab: FaxLab) -> None:
    pdf = lab.pdf()
    for to in NO_NUMBERS:
        answer = await lab.send(pdf, to)
        assert (answer.status, answer.json) == (400, {"detail": "'to' must be E.164 or digits only"}), to


async def test_who_may_what(lab: FaxLab) -> None:
    pdf = lab.pdf()
    missing = await lab.send(pdf, key=None)
    assert (missing.status, missing.json) == (401, {"detail": "Invalid or missing API key"})
    assert (await lab.send(pdf, key="nonsense")).status == 401
    minted = await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"name": "reader", "scopes": ["fax:read"]})
    matches("/admin/api-keys", "post", "200", minted.json)
    reader = minted.json["token"]
    assert re.fullmatch(r"fbk_live_[0-9a-f]{12}_[\w-]{43}", reader)
    refused = await lab.send(pdf, key=reader)
    assert (refused.status, refused.json) == (403, {"detail": "Insufficient scope: fax:send required"})
    for key in (KEY, reader, None):
        denied = await lab.client.get("/admin/api-keys", key=key)
        assert denied.status == 401
    assert (await lab.client.get("/admin/api-keys", key=reader)).json == {"detail": "Admin authentication failed"}
    everything = await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"scopes": ["*"]})
    assert (await lab.send(pdf, key=everything.json["token"])).status == 202
    assert (await lab.client.get("/admin/settings", key=everything.json["token"])).status == 401  # * is no admin
    manager = await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"scopes": ["keys:manage"]})
    assert (await lab.client.get("/admin/settings", key=manager.json["token"])).status == 200


async def test_a_key_is_rotated_expires_and_is_revoked(lab: FaxLab) -> None:
    made = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"owner": "me", "note": "n"})).json
    assert made["scopes"] == ["fax:read", "fax:send"]
    place = f"/admin/api-keys/{made['key_id']}"
    rotated = (await lab.client.ask("POST", f"{place}/rotate", key=ADMIN)).json
    assert (rotated["key_id"], rotated["token"] != made["token"]) == (made["key_id"], True)
    assert (await lab.client.get("/fax/x", key=made["token"])).status == 401
    assert (await lab.client.get("/fax/x", key=rotated["token"])).status == 404
    assert (await lab.client.ask("DELETE", place, key=ADMIN)).json == {"status": "ok"}
    assert (await lab.client.get("/fax/x", key=rotated["token"])).status == 401
    (listed,) = (await lab.client.get("/admin/api-keys", key=ADMIN)).json
    assert (listed["owner"], listed["revoked_at"] is not None, listed["last_used_at"] is not None) == ("me", True, True)
    assert "token" not in listed
    unknown = await lab.client.ask("DELETE", "/admin/api-keys/none", key=ADMIN)
    assert (unknown.status, unknown.json) == (404, {"detail": "Key not found"})
    past = {"expires_at": "2020-01-01T00:00:00"}
    expired = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json=past)).json
    assert (await lab.client.get("/fax/x", key=expired["token"])).status == 401
    wrong = await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"scopes": ["root"]})
    assert (wrong.status, wrong.json["detail"][0]["loc"]) == (422, ["scopes"])
    matches("/admin/api-keys", "post", "422", wrong.json)


async def test_a_key_has_its_rate_by_path_and_minute(lab: FaxLab) -> None:
    wish = {"scopes": ["fax:read", "inbound:list"], "rate_per_minute": 2}
    made = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json=wish)).json
    answers = [await lab.client.get("/fax/x", key=made["token"]) for _ in range(3)]
    assert [answer.status for answer in answers] in ([404, 404, 429], [404, 404, 404])  # the minute may turn once
    if answers[2].status == 429:
        assert answers[2].json == {"detail": "Rate limit exceeded"}
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert (await lab.client.get("/inbound", key=made["token"])).status == 200  # a path of its own


async def test_a_form_that_lacks_something_or_is_none(lab: FaxLab) -> None:
    lacking = await lab.client.ask("POST", "/fax", key=KEY, data={"to": TO})
    assert (lacking.status, [one["loc"] for one in lacking.json["detail"]]) == (422, [["to"], ["file"]])
    matches("/fax", "post", "422", lacking.json)
    broken = await lab.client.ask(
        "POST", "/fax", key=KEY, data=b"--x\r\njunk", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert broken.status in (400, 422)
    assert (await lab.client.ask("POST", "/fax", key=KEY, json={})).status == 422
    assert lab.line.sent == []


async def test_an_idempotency_key_is_one_fax_of_each_who_asks(lab: FaxLab) -> None:
    pdf = lab.pdf()
    first = await lab.send(pdf, idempotency_key="a")
    again = await lab.send(pdf, idempotency_key="a")
    assert first.json["id"] == again.json["id"]
    assert (await lab.send(pdf, to="+15550000000", idempotency_key="a")).status == 409
    assert (await lab.send(pdf, key=ADMIN, idempotency_key="a")).json["id"] != first.json["id"]


async def test_a_fax_is_cancelled(lab: FaxLab) -> None:
    lab.line.hold = asyncio.Event()
    job = (await lab.send(lab.pdf())).json
    async with asyncio.timeout(20):
        while not lab.line.sent:
            await asyncio.sleep(0.02)
    cancelled = await lab.client.ask("DELETE", f"/fax/{job['id']}", key=KEY)
    assert (cancelled.json["status"], cancelled.json["error"]) == ("FAILED", "it was cancelled")
    assert lab.line.hung_up == 1
    assert (await lab.client.ask("DELETE", f"/fax/{job['id']}", key=KEY)).status == 409


async def test_a_link_opens_one_pdf_for_a_while(lab: FaxLab) -> None:
    job = (await lab.send(lab.pdf())).json
    other = (await lab.send(lab.pdf(2))).json
    house = lab.app.faxroom.house
    token = house.pdf_token("out", job["id"])
    good = await lab.client.get(f"/fax/{job['id']}/pdf?token={token}")
    assert (good.status, good.headers["Content-Type"], good.headers["Cache-Control"]) == (
        200,
        "application/pdf",
        "no-store",
    )
    assert good.headers["Content-Disposition"] == f'attachment; filename="fax_{job["id"]}.pdf"'
    assert good.body == await asyncio.to_thread(lab.pdf().read_bytes) or good.body.startswith(b"%PDF")
    place = f"/fax/{job['id']}/pdf"
    assert (await lab.client.get(place)).status == 422
    until, _, signature = token.partition(".")
    other_end = signature[:-1] + ("1" if signature.endswith("0") else "0")
    for wrong in (
        "x",
        "",
        f"{until}.",
        f"{until}.{other_end}",
        f"{int(until) + 9}.{signature}",
        "²." + signature,
        "é",
    ):
        refused = await lab.client.get(place, params={"token": wrong})
        assert (refused.status, refused.json) == (403, {"detail": "Invalid token"})
    assert (await lab.client.get(f"/fax/{other['id']}/pdf?token={token}")).status == 403
    assert (await lab.client.get(f"/fax/{'0' * 32}/pdf?token={token}")).json == {"detail": "Job not found"}
    wall, house.wall = house.wall, lambda: float(until)
    assert (await lab.client.get(f"{place}?token={token}")).json == {"detail": "Token expired"}
    house.wall = wall


async def test_a_received_fax_is_listed_and_its_link_needs_no_key(lab: FaxLab) -> None:
    inbox = lab.folder / "data" / "faxes" / "inbox"
    inbox.mkdir(parents=True)
    tiff(inbox / "fax.tiff")
    said = {"tiff_path": "fax.tiff", "to_number": "+12025550150", "from_number": "+15551112222", "uniqueid": "1.1"}
    secret = {"X-Internal-Secret": "lab-asterisk"}
    taken = await lab.client.ask("POST", "/_internal/asterisk/inbound", json=said, headers=secret)
    assert (taken.status, taken.json["status"]) == (200, "ok")
    again = await lab.client.ask("POST", "/_internal/asterisk/inbound", json=said, headers=secret)
    assert again.json == taken.json
    listed = await lab.client.get("/inbound?mailbox=lab", key=ADMIN)
    matches("/inbound", "get", "200", listed.json)
    (fax,) = listed.json
    assert (fax["fr"], fax["to"], fax["status"], fax["pages"]) == ("+15551112222", "+12025550150", "received", 2)
    assert (await lab.client.get("/inbound?status=nonsense", key=ADMIN)).json == []
    link = urlsplit(fax["pdf_url"])
    opened = await lab.client.get(f"{link.path}?{link.query}")
    assert (opened.status, len(opened.body)) == (200, fax["size_bytes"])
    assert (await lab.client.get(f"{link.path}?token=1.x")).json == {"detail": "Invalid token"}
    assert (await lab.client.get(link.path)).status == 401
    assert (await lab.client.get(link.path, key=KEY)).status == 403
    assert (await lab.client.get(link.path, key=ADMIN)).status == 200
    assert (await lab.client.get(f"/inbound/{'0' * 32}", key=ADMIN)).json == {"detail": "Inbound fax not found"}
    reads = {"scopes": ["inbound:list", "inbound:read"]}
    reader = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json=reads)).json["token"]
    assert (await lab.client.get(link.path, key=reader)).status == 200
    denied = await lab.client.ask("DELETE", f"/inbound/{fax['id']}", key=reader)
    assert (denied.status, denied.json) == (
        401,
        {"detail": "Admin authentication failed"},
    )  # who reads destroys nothing
    assert (await lab.client.ask("DELETE", f"/inbound/{fax['id']}", key=ADMIN)).status == 200
    assert (await lab.client.get(f"/inbound/{fax['id']}", key=ADMIN)).status == 404


async def test_the_internal_door_opens_to_its_secret_and_its_folder_alone(lab: FaxLab) -> None:
    inbox = lab.folder / "data" / "faxes" / "inbox"
    inbox.mkdir(parents=True)
    outside = tiff(lab.folder / "outside.tiff")
    (inbox / "link.tiff").symlink_to(outside)
    said = {"to_number": "1", "uniqueid": "1.1"}

    async def ask(path: str, secret: str | None = "lab-asterisk") -> tuple[int, object]:
        headers = {} if secret is None else {"X-Internal-Secret": secret}
        answer = await lab.client.ask(
            "POST", "/_internal/asterisk/inbound", json=said | {"tiff_path": path}, headers=headers
        )
        return answer.status, answer.json

    for wrong in (None, "", "lab-asteris", "lab-asterisk2"):
        assert await ask("fax.tiff", wrong) == (401, {"detail": "Invalid internal secret"})
    for secret, expected in ((None, 401), ("lab-asterisk", 400)):  # the secret first, then what is said
        headers = {} if secret is None else {"X-Internal-Secret": secret}
        bodies: tuple[object, ...] = ({}, [], said, said | {"tiff_path": "fax.tiff", "faxpages": "many"})
        for json_body in bodies:
            answer = await lab.client.ask("POST", "/_internal/asterisk/inbound", json=json_body, headers=headers)
            assert answer.status == expected
            assert answer.json == {"detail": "Invalid payload" if secret else "Invalid internal secret"}
    for path in (str(outside), "../../../outside.tiff", "link.tiff", "/etc/passwd", ".", "gone.tiff", "a\0b"):
        assert await ask(path) == (400, {"detail": "Invalid payload"})


async def test_settings_are_written_taken_up_and_taken_back(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        before = await lab.client.get("/admin/settings", key=ADMIN)
        matches("/admin/settings", "get", "200", before.json)
        assert before.json["inbound"]["asterisk_inbound_secret"] == "***risk"
        wish = {"max_file_size_mb": 2, "fax_header": "New", "pdf_token_ttl_minutes": 5, "backend": "disabled"}
        after = (await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json=wish)).json
        assert (after["limits"]["max_file_size_mb"], after["sip"]["header"]) == (2, "New")
        assert after["_meta"] == {"backend_changed": True, "storage_changed": False, "restart_recommended": False}
        assert (await lab.send(lab.pdf())).json["status"] == "disabled"
        for wrong in ({"max_file_size_mb": 0}, {"fax_station_id": "letters"}, {"backend": "pigeon"}):
            assert (await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json=wrong)).status == 400
        file = lab.folder / "data" / "settings.yaml"
        assert yaml.safe_load(file.read_text())["faxes"]["max_mb"] == 2
        assert file.stat().st_mode & 0o77 == 0
        exported = (await lab.client.get("/admin/settings/export", key=ADMIN)).json
        assert "MAX_FILE_SIZE_MB=2\n" in exported["env_content"]
        assert "lab-asterisk" not in json.dumps(exported)
        elsewhere = {"path": "/tmp/elsewhere", "content": "x"}
        kept = await lab.client.ask("POST", "/admin/settings/persist", key=ADMIN, json=elsewhere)
        assert kept.json == {"ok": True, "path": "settings.yaml"}
        assert not Path("/tmp/elsewhere").exists()
        assert (await lab.client.ask("POST", "/admin/settings/reload", key=ADMIN)).status == 200
    async with fax_lab(tmp_path) as lab:
        again = (await lab.client.get("/admin/settings", key=ADMIN)).json
        assert (again["backend"]["type"], again["limits"]["pdf_token_ttl_minutes"]) == ("disabled", 5)
        secret = lab.app.config.faxes.inbound.asterisk_secret
        assert secret is not None
        assert secret.get_secret_value() == "lab-asterisk"


async def test_an_admin_sees_jobs_health_store_logs_and_diagnostics(lab: FaxLab) -> None:
    job = (await lab.send(lab.pdf())).json
    await lab.settled(job["id"])
    jobs = await lab.client.get("/admin/fax-jobs?status=SUCCESS", key=ADMIN)
    matches("/admin/fax-jobs", "get", "200", jobs.json)
    assert (jobs.json["total"], jobs.json["jobs"][0]["to_number"]) == (1, "********4567")
    assert (await lab.client.get("/admin/fax-jobs?limit=1000", key=ADMIN)).status == 422
    place = f"/admin/fax-jobs/{job['id']}"
    detail = (await lab.client.get(place, key=ADMIN)).json
    assert (detail["file_name"], detail["speed"], detail["ecm"], detail["reason"]) == (
        "document1.pdf",
        14400,
        True,
        "ok",
    )
    assert (await lab.client.get(f"{place}/pdf", key=ADMIN)).body.startswith(b"%PDF")
    refreshed = await lab.client.ask("POST", f"{place}/refresh", key=ADMIN)
    assert (refreshed.status, refreshed.json) == (400, {"detail": "Refresh not supported for this backend"})
    health = (await lab.client.get("/admin/health-status", key=ADMIN)).json
    matches("/admin/health-status", "get", "200", health)
    assert (health["backend_healthy"], health["jobs"]["queued"]) == (True, 0)
    store = (await lab.client.get("/admin/db-status", key=ADMIN)).json
    assert (store["connected"], store["counts"]["fax_jobs"]) == (True, 1)
    found = (await lab.client.ask("POST", "/admin/diagnostics/run", key=ADMIN)).json
    matches("/admin/diagnostics/run", "post", "200", found)
    assert found["summary"]["healthy"] is True
    lab.app.faxroom.faxes.sip.line = None
    found = (await lab.client.ask("POST", "/admin/diagnostics/run", key=ADMIN)).json
    assert found["summary"]["critical_issues"] == ["backend: this house has no fax line"]
    logs = (await lab.client.get("/admin/logs?event=job_created", key=ADMIN)).json
    assert (logs["count"], logs["items"][0]["to"]) == (1, "********4567")
    tail = (await lab.client.get("/admin/logs/tail?q=admin_pdf_download", key=ADMIN)).json
    assert (tail["count"], tail["source"]) == (1, "audit.log")
    assert TO not in (lab.folder / "audit.log").read_text()


async def test_a_restart_is_allowed_or_not(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        refused = await lab.client.ask("POST", "/admin/restart", key=ADMIN)
        assert (refused.status, refused.json) == (403, {"detail": "Restart not allowed"})
    async with fax_lab(tmp_path, "faxes.allow_restart=true", "faxes.plugins=false") as lab:
        asked: list[bool] = []
        lab.app.restart = lambda: asked.append(True)
        assert (await lab.client.ask("POST", "/admin/restart", key=ADMIN)).json["ok"] is True
        assert asked == [True]
        for path in ("/plugins", "/plugins/sip/config", "/plugin-registry"):
            gone = await lab.client.get(path, key=ADMIN)
            assert (gone.status, gone.json) == (404, {"detail": "v3 plugins feature disabled"})
        assert (await lab.client.get("/plugin-registry")).status == 401


async def test_without_inbound_and_without_keys(tmp_path: Path) -> None:
    async with fax_lab(tmp_path, "faxes.inbound.enabled=false", "faxes.require_key=false") as lab:
        for path in ("/inbound", f"/inbound/{'0' * 32}", f"/inbound/{'0' * 32}/pdf"):
            assert (await lab.client.get(path, key=ADMIN)).json == {"detail": "Inbound not enabled"}
        assert (await lab.send(lab.pdf(), key=None)).status == 202
        assert (await lab.send(lab.pdf(), key="wrong")).status == 401
        assert (await lab.client.get("/admin/settings")).status == 401


async def test_readiness_says_how_faxes_are(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        ready = await lab.client.get("/health/ready")
        assert (ready.status, ready.json["status"], ready.json["backend"]) == (200, "ready", "sip")
        checks = {name: ready.json["checks"][name] for name in ("db", "backend_config", "storage", "ghostscript")}
        assert checks == dict.fromkeys(checks, True)
        assert ready.json["checks"]["ami_connected"] is None
        assert (ready.json["warnings"], ready.json["storage_error"]) == ([], None)
        assert ready.json["checks"]["sip"] == "ok"  # and what the others know it by
        lab.app.faxroom.faxes.sip.line = None
        bare = (await lab.client.get("/health/ready")).json
        assert (bare["checks"]["backend_config"], bare["warnings"]) == (False, ["this house has no fax line"])
    async with fax_lab(tmp_path, "faxes.inbound.enabled=false") as lab:
        assert (await lab.client.get("/health/ready")).json["checks"]["storage"] is None


async def test_unknown_paths_of_the_contract_have_its_shape(lab: FaxLab) -> None:
    for hook in ("/phaxio-callback", "/phaxio-inbound", "/sinch-inbound"):
        assert (await lab.client.ask("POST", hook + "/more")).json == {"detail": "no such path"}
    assert (await lab.client.get("/fax/a/b/c", key=KEY)).json == {"detail": "no such path"}
    assert (await lab.client.ask("PATCH", "/fax", key=KEY)).json == {"detail": "this path takes POST"}
    assert (await lab.client.get("/house/v1/none", key=ADMIN)).json["error"]["code"] == "not_found"
    assert isinstance(lab.line, ScriptedLine)
