"""Providers over HTTP: what they are asked, what they tell, who may tell it, and the traps that others fell into."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest

from pbxd.api.fax.posted import body_signature, phaxio_signature
from tests.api.client import Answer
from tests.api.fax.cloud import BASIC, PUBLIC, SECRET, TOKEN, clouded
from tests.api.fax.house import ADMIN, KEY, TO, FaxLab

FORM = "application/x-www-form-urlencoded"


async def handed(lab: FaxLab) -> dict[str, Any]:
    """A fax that the provider has."""
    job = (await lab.send(lab.pdf())).json
    async with asyncio.timeout(20):
        while (answer := await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["provider_sid"] is None:
            assert answer.json["status"] in ("queued", "in_progress"), answer.json
            await asyncio.sleep(0.02)
    await later(lab, 0)  # it is stored, too
    found: dict[str, Any] = answer.json
    return found


async def later(lab: FaxLab, seconds: float) -> None:
    """What is due by then happens."""
    faxes = lab.app.faxroom.faxes
    faxes.beat(faxes.office.wall() + seconds)
    while any(not task.done() for task in faxes.office.tasks):
        await asyncio.sleep(0.01)


async def phaxio_posts(lab: FaxLab, path: str, fields: dict[str, str], **options: Any) -> Answer:
    """As Phaxio posts and signs."""
    signature = phaxio_signature(TOKEN, PUBLIC + path, fields.items())
    headers = {"X-Phaxio-Signature": options.pop("signature", signature)}
    return await lab.client.ask("POST", path, data=fields, headers=headers)


# ---- signatures


@pytest.mark.parametrize(
    ("token", "files", "signature"),
    [
        ("test-callback-token", [], "663099785e5eff09f0cd6f2bd5d78c852f3b670d"),
        ("test-webhook-token", [], "64a735ef0c47a0ae671e381c046648f0966deb29"),
        ("test-webhook-token", [("file", b""), ("file", b"")], "1d2426c242a8c5de7eb1d9b662b7fda1d0b6edab"),
    ],
)
def test_phaxios_own_examples_are_signed_as_it_signs(
    token: str, files: list[tuple[str, bytes]], signature: str
) -> None:
    """Those of its Ruby client's specification."""
    assert phaxio_signature(token, "example.com", [("test", "true")], files) == signature


def test_fields_are_signed_in_their_order_by_name() -> None:
    fields = [("b", "2"), ("a", "1")]
    assert phaxio_signature("t", "u", fields) == phaxio_signature("t", "u", sorted(fields))
    assert phaxio_signature("t", "u", fields) != phaxio_signature("t", "v", fields)


# ---- out


async def test_phaxio_is_handed_the_document_and_tells_how_it_ended(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        job = await handed(lab)
        assert (job["backend"], job["provider_sid"], job["pages"]) == ("phaxio", "323034813", None)
        assert cloud.asked == [("POST", "/v2.1/faxes")]
        assert cloud.auth == [BASIC]
        callback = f"/phaxio-callback?job_id={job['id']}"
        assert cloud.forms[0]["to"] == TO
        assert cloud.forms[0]["callback_url"] == PUBLIC + callback
        assert cloud.forms[0]["file"].startswith(b"%PDF")
        assert "caller_id" not in cloud.forms[0]  # nothing is not sent
        said = {"fax": json.dumps({"id": 323034813, "status": "success", "num_pages": 1}), "success": "true"}
        assert (await phaxio_posts(lab, callback, said)).json == {"status": "ok"}
        failed = {"fax": json.dumps({"id": 323034813, "status": "failure"})}
        assert (await phaxio_posts(lab, callback, failed)).status == 200  # too late, and no news
        done = (await lab.settled(job["id"])).json
        assert (done["status"], done["pages"], done["error"]) == ("SUCCESS", 1, None)
        assert lab.line.sent == []


async def test_a_callback_is_signed_as_the_page_says_too(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        job = await handed(lab)
        body = urlencode({"fax[id]": "323034813", "fax[status]": "failure", "fax[error_message]": "Busy"}).encode()
        headers = {"X-Phaxio-Signature": body_signature(SECRET, body), "Content-Type": FORM}
        place = f"/phaxio-callback?job_id={job['id']}"
        assert (await lab.client.ask("POST", place, data=body, headers=headers)).json == {"status": "ok"}
        done = (await lab.settled(job["id"])).json
        assert (done["status"], done["error"]) == ("FAILED", "Busy")


async def test_who_is_not_phaxio_is_told_nothing(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        job = await handed(lab)
        place = f"/phaxio-callback?job_id={job['id']}"
        missing = await lab.client.ask("POST", place, data={"a": "b"})
        assert (missing.status, missing.json) == (401, {"detail": "Missing Phaxio signature"})
        for wrong in ("0" * 40, "0" * 64, "é", phaxio_signature("", PUBLIC + place, [])):
            refused = await phaxio_posts(lab, place, {"fax[status]": "success"}, signature=wrong)
            assert (refused.status, refused.json) == (401, {"detail": "Invalid Phaxio signature"})
        elsewhere = phaxio_signature(TOKEN, f"{PUBLIC}/phaxio-callback?job_id={'0' * 32}", [])
        assert (await phaxio_posts(lab, place, {}, signature=elsewhere)).status == 401
        assert (await phaxio_posts(lab, "/phaxio-callback", {})).json == {"status": "no job_id provided"}
        unknown = await phaxio_posts(lab, f"/phaxio-callback?job_id={'0' * 32}", {})
        assert (unknown.status, unknown.json) == (404, {"detail": "Job not found"})
        other = await phaxio_posts(lab, place, {"fax": '{"id": 7, "status": "success"}'})
        assert (other.status, other.json) == (404, {"detail": "Job not found"})
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "in_progress"
    async with clouded(tmp_path, "sip", "faxes.providers={}") as (lab, _cloud):
        refused = await phaxio_posts(lab, "/phaxio-callback", {})
        assert refused.json == {"detail": "Phaxio secret not configured"}


@pytest.mark.parametrize(
    ("backend", "good", "bad", "path"),
    [
        ("phaxio", "success", "partialsuccess", "/v2.1/faxes/323034813"),
        ("sinch", "COMPLETED", "FAILURE", "/v3/projects/p-1/faxes/01GVRB50KEQFFE1SGMPFRNBG6J"),
        ("signalwire", "delivered", "no-answer", "/api/laml/2010-04-01/Accounts/the-key/Faxes/b3877c40-fx.json"),
    ],
)
async def test_a_provider_that_says_nothing_is_asked(
    tmp_path: Path, backend: str, good: str, bad: str, path: str
) -> None:
    async with clouded(tmp_path, backend) as (lab, cloud):
        for state, status in ((good, "SUCCESS"), (bad, "FAILED")):
            cloud.state = "queued"
            job = await handed(lab)
            cloud.asked.clear()
            await later(lab, 31)
            assert cloud.asked == [("GET", path)]
            assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "in_progress"
            cloud.state = state
            await later(lab, 31)  # not yet: pauses grow
            assert len(cloud.asked) == 1
            await later(lab, 62)
            done = (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json
            assert (done["status"], done["pages"]) == (status, 1)
        assert set(cloud.auth) == {BASIC}


async def test_signalwire_fetches_by_a_link_that_opens_one_document(tmp_path: Path) -> None:
    async with clouded(tmp_path, "signalwire") as (lab, cloud):
        job = await handed(lab)
        link = urlsplit(cloud.forms[0]["MediaUrl"])
        assert f"{link.scheme}://{link.netloc}" == PUBLIC
        fetched = await lab.client.get(f"{link.path}?{link.query}")
        assert (link.path, fetched.status, fetched.body[:4]) == (f"/fax/{job['id']}/pdf", 200, b"%PDF")


async def test_freeswitch_dials_a_tiff_and_tells_with_its_secret(tmp_path: Path) -> None:
    async with clouded(tmp_path, "freeswitch") as (lab, cloud):
        job = await handed(lab)
        assert (job["provider_sid"], job["pages"]) == ("7f4de4bc-17d7-11dd-b7a0-db4edd065621", 1)
        ((method, asked),) = cloud.asked
        assert (method, asked.partition("?")[0]) == ("GET", "/webapi/bgapi")
        assert f"pbxd_job_id%3D{job['id']}" in asked
        assert "sofia%2Fgateway%2Fa%2Fb%20c%2F%2B15551234567%20" in asked  # no value leaves its place
        assert "pages.tiff)" in asked
        place = "/_internal/freeswitch/outbound_result"
        said = {"job_id": job["id"], "fax_status": "SUCCESS", "fax_document_transferred_pages": 1}
        for wrong in ({}, {"X-Internal-Secret": "hush"}):
            refused = await lab.client.ask("POST", place, json=said, headers=wrong)
            assert (refused.status, refused.json) == (401, {"detail": "Invalid internal secret"})
        secret = {"X-Internal-Secret": "hush-hush"}
        assert (await lab.client.ask("POST", place, json={}, headers=secret)).json == {"detail": "Missing job_id"}
        unknown = await lab.client.ask("POST", place, json=said | {"job_id": "0" * 32}, headers=secret)
        assert (unknown.status, unknown.json) == (404, {"detail": "Job not found"})
        assert (await lab.client.ask("POST", place, json=said, headers=secret)).json == {"ok": True}
        assert (await lab.settled(job["id"])).json["status"] == "SUCCESS"


async def test_a_no_is_final_and_has_the_words_of_the_page(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sinch") as (lab, cloud):
        cloud.status, cloud.body = 422, '{"code":422,"message":"Unprocessable Entity"}'
        done = (await lab.settled((await lab.send(lab.pdf())).json["id"])).json
        assert (done["status"], done["provider_sid"]) == ("failed", None)
        assert done["error"].endswith('create fax error 422: {"code":422,"message":"Unprocessable Entity"}')
        assert len(cloud.asked) == 1


async def test_what_may_have_been_taken_is_not_sent_twice(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        cloud.body = '{"data": {}}'
        done = (await lab.settled((await lab.send(lab.pdf())).json["id"])).json
        assert (done["status"], done["error"]) == ("failed", "phaxio took the fax and gave it no id")
        await later(lab, 3600)
        assert len(cloud.asked) == 1


async def test_a_provider_that_is_busy_or_away_is_asked_again(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        cloud.status = 503
        job = (await lab.send(lab.pdf())).json
        await later(lab, 0)
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "in_progress"
        cloud.status = 200
        await later(lab, 100)
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["provider_sid"] == "323034813"


async def test_an_admin_asks_how_a_fax_is(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        job = await handed(lab)
        place = f"/admin/fax-jobs/{job['id']}/refresh"
        assert (await lab.client.ask("POST", place, key=ADMIN)).json["status"] == "in_progress"
        cloud.status = 500
        assert (await lab.client.ask("POST", place, key=ADMIN)).status == 503
        cloud.status, cloud.state = 200, "success"
        assert (await lab.client.ask("POST", place, key=ADMIN)).json["status"] == "SUCCESS"
        assert (await lab.client.ask("POST", place, key=KEY)).status == 401
    async with clouded(tmp_path, "sinch") as (lab, _cloud):
        job = await handed(lab)
        refused = await lab.client.ask("POST", f"/admin/fax-jobs/{job['id']}/refresh", key=ADMIN)
        assert (refused.status, refused.json) == (400, {"detail": "Refresh not supported for this backend"})


async def test_a_fax_is_had_back_where_the_provider_lets_it_go(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        job = await handed(lab)
        cloud.status = 409
        assert (await lab.client.ask("DELETE", f"/fax/{job['id']}", key=KEY)).status == 409
        cloud.status = 200
        gone = await lab.client.ask("DELETE", f"/fax/{job['id']}", key=KEY)
        assert (gone.json["status"], gone.json["error"]) == ("FAILED", "it was cancelled")
        assert cloud.asked[-1] == ("POST", "/v2.1/faxes/323034813/cancel")


async def test_a_fax_that_a_provider_has_is_not_sent_again_by_the_next_process(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        job = await handed(lab)
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        cloud.state = "success"
        await later(lab, 31)
        assert cloud.asked == [("GET", "/v2.1/faxes/323034813")]
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "SUCCESS"


async def test_a_fax_that_a_provider_may_have_is_not_sent_again_by_the_next_process(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        cloud.hold = asyncio.Event()
        job = (await lab.send(lab.pdf())).json
        async with asyncio.timeout(20):
            while not cloud.asked:
                await asyncio.sleep(0.02)
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        done = (await lab.settled(job["id"])).json
        said = "the house stopped while the provider was asked; it may have taken the fax"
        assert (done["status"], done["error"], cloud.asked) == ("failed", said, [])


async def test_a_fax_that_a_busy_provider_did_not_take_goes_on_in_the_next_process(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        cloud.status = 503
        job = (await lab.send(lab.pdf())).json
        await later(lab, 0)
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        await later(lab, 100)
        assert cloud.asked == [("POST", "/v2.1/faxes")]
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["provider_sid"] == "323034813"


# ---- in


def arrived(**changes: object) -> dict[str, str]:
    fax = {"id": 41, "from_number": "+15551112222", "to_number": "+12025550150", "num_pages": 2, "status": "success"}
    return {"fax": json.dumps(fax), "direction": "received", **{name: str(value) for name, value in changes.items()}}


async def listed(lab: FaxLab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await lab.client.get("/inbound", key=ADMIN)).json
    return found


async def test_phaxio_brings_a_fax_with_its_file_once(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        pdf = await asyncio.to_thread(lab.pdf(2).read_bytes)
        fields = arrived()
        signature = phaxio_signature(TOKEN, f"{PUBLIC}/phaxio-inbound", fields.items(), [("file", pdf)])
        for _ in range(2):
            form = aiohttp.FormData(fields)
            form.add_field("file", pdf, filename="fax.pdf", content_type="application/pdf")
            headers = {"X-Phaxio-Signature": signature}
            taken = await lab.client.ask("POST", "/phaxio-inbound", data=form, headers=headers)
            assert (taken.status, taken.json) == (200, {"status": "ok"})
        (fax,) = await listed(lab)
        assert (fax["fr"], fax["to"], fax["mailbox"], fax["backend"], fax["pages"], fax["size_bytes"]) == (
            *("+15551112222", "+12025550150", "lab", "phaxio", 2),
            len(pdf),
        )
        assert cloud.asked == []
        assert list((lab.folder / "data" / "faxes" / "incoming").iterdir()) == []


async def test_a_file_is_fetched_from_the_provider_by_its_id(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        cloud.file = await asyncio.to_thread(lab.pdf().read_bytes)
        assert (await phaxio_posts(lab, "/phaxio-inbound", arrived())).json == {"status": "ok"}
        assert (cloud.asked, cloud.auth) == ([("GET", "/v2.1/faxes/41/file")], [BASIC])
        assert (await phaxio_posts(lab, "/phaxio-inbound", arrived())).json == {"status": "ok"}
        assert len(cloud.asked) == 1
        assert len(await listed(lab)) == 1


OTHERS = (
    "https://evil.example/fax.pdf",
    "http://api.phaxio.com/fax.pdf",  # not by TLS
    "https://api.phaxio.com.evil.example/fax.pdf",
    "https://evilphaxio.com/fax.pdf",
    "https://api.phaxio.com@evil.example/fax.pdf",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "//evil.example/x",
    "http://127.0.0.1:1/fax.pdf",
)


async def test_no_url_but_the_providers_own_is_fetched(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        for url in OTHERS:
            refused = await phaxio_posts(lab, "/phaxio-inbound", arrived(file_url=url))
            assert (refused.status, refused.json) == (400, {"detail": "Invalid file_url"}), url
        assert (cloud.asked, await listed(lab)) == ([], [])


async def test_what_is_no_fax_is_not_taken(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        for wrong in (b"%PDF-1.4 broken", b"plain text", b""):
            cloud.file = wrong
            refused = await phaxio_posts(lab, "/phaxio-inbound", arrived())
            assert (refused.status, refused.json) == (400, {"detail": "Invalid payload"})
        assert (await phaxio_posts(lab, "/phaxio-inbound", {"a": "b"})).json == {"status": "ignored"}
        cloud.status = 404
        assert (await phaxio_posts(lab, "/phaxio-inbound", arrived())).status == 503  # it may ask again
        assert await listed(lab) == []
    async with clouded(tmp_path, "sip", "faxes.inbound.enabled=false") as (lab, _cloud):
        for path in ("/phaxio-inbound", "/sinch-inbound"):
            gone = await lab.client.ask("POST", path, json={})
            assert (gone.status, gone.json) == (404, {"detail": "Inbound not enabled"})


async def sinch_posts(lab: FaxLab, said: dict[str, Any], user: str = "fax:word", secret: str = "s") -> Answer:
    body = json.dumps(said).encode()
    basic = base64.b64encode(user.encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "X-Sinch-Signature": body_signature(secret, body)}
    return await lab.client.ask(
        "POST", "/sinch-inbound", data=body, headers={**headers, "Content-Type": "application/json"}
    )


async def test_sinch_brings_a_fax_and_tells_of_others(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sinch") as (lab, _cloud):
        pdf = await asyncio.to_thread(lab.pdf().read_bytes)
        fax = {"id": "01IN", "direction": "INBOUND", "from": "+15551112222", "to": "+12025550150", "numberOfPages": 1}
        said = {"event": "INCOMING_FAX", "fax": fax, "file": base64.b64encode(pdf).decode(), "fileType": "PDF"}
        for user, secret, why in (("fax:wrong", "s", "Invalid basic auth"), ("fax:word", "x", "Invalid signature")):
            refused = await sinch_posts(lab, said, user, secret)
            assert (refused.status, refused.json) == (401, {"detail": why})
        for _ in range(2):
            assert (await sinch_posts(lab, said)).json == {"status": "ok"}
        (found,) = await listed(lab)
        assert (found["backend"], found["fr"], found["size_bytes"]) == ("sinch", "+15551112222", len(pdf))
        job = await handed(lab)
        out = {"id": job["provider_sid"], "direction": "OUTBOUND", "status": "COMPLETED", "numberOfPages": 1}
        assert (await sinch_posts(lab, {"event": "FAX_COMPLETED", "fax": out})).json == {"status": "ok"}
        assert (await lab.settled(job["id"])).json["status"] == "SUCCESS"
        assert (await sinch_posts(lab, {"fax": out | {"id": "none"}})).status == 404
        assert (await sinch_posts(lab, {"fax": fax | {"id": "02IN"}, "file": "%%%"})).status == 400


# ---- plugins


async def test_plugins_are_listed_set_up_and_keep_their_secrets(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip", "faxes.providers={}") as (lab, cloud):
        items = (await lab.client.get("/plugins", key=ADMIN)).json["items"]
        assert [one["id"] for one in items] == [
            *("sip", "disabled", "phaxio", "sinch", "signalwire", "freeswitch", "local", "s3")
        ]
        place = "/plugins/phaxio/config"
        wish = {"creds.key": "the-key", "creds.secret": "the-secret", "base_url": cloud.base}
        unknown = await lab.client.ask("PUT", place, key=ADMIN, json={"settings": {"creds.other": "x"}})
        assert unknown.status == 400
    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        shown = (await lab.client.get("/plugins/phaxio/config", key=ADMIN)).json
        assert (shown["enabled"], shown["settings"]["creds.secret"], shown["settings"]["verify"]) == (True, "***", True)
        assert "the-secret" not in json.dumps(shown)
        groups = (await lab.client.get("/admin/settings", key=ADMIN)).json
        assert groups["phaxio"]["creds"] == {"key": "***", "secret": "***", "callback_token": "***oken"}
        assert groups["sinch"]["settings"] == {"project_id": "p-1"}
    own = tmp_path / "own"
    own.mkdir()
    async with clouded(own, "sip", known=False) as (lab, cloud):
        wish["base_url"] = cloud.base
        kept = await lab.client.ask("PUT", place, key=ADMIN, json={"enabled": True, "settings": wish})
        assert (kept.status, kept.json) == (200, {"ok": True, "path": "settings.yaml"})
        assert (await handed(lab))["provider_sid"] == "323034813"
        again = {"settings": {"creds.secret": "***"}}
        assert (await lab.client.ask("PUT", place, key=ADMIN, json=again)).status == 200
        assert lab.app.config.faxes.providers["phaxio"].creds["secret"].get_secret_value() == "the-secret"
        assert (await lab.client.ask("PUT", place, key=ADMIN, json={"enabled": False})).status == 200
        assert lab.app.config.faxes.backend == "disabled"


async def test_a_provider_that_is_not_set_up_is_said_to_be(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio", "faxes.providers={phaxio: {}}") as (lab, cloud):
        found = (await lab.client.ask("POST", "/admin/diagnostics/run", key=ADMIN)).json
        said = "faxes.providers.phaxio lacks creds.key, creds.secret"
        assert found["summary"]["critical_issues"] == [f"backend: {said}"]
        done = (await lab.settled((await lab.send(lab.pdf())).json["id"])).json
        assert (done["status"], done["error"], cloud.asked) == ("failed", said, [])
