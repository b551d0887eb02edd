"""Setting faxes up by HTTP: providers and buckets are tried before they are used, manifests installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Answer
from tests.api.fax.cloud import BASIC, PUBLIC, clouded
from tests.api.fax.house import ADMIN, KEY, FaxLab, fax_lab
from tests.api.fax.test_contract import matches
from tests.api.fax.test_providers import handed
from tests.services.faxes.store import ObjectStore, object_store
from tests.services.faxes.test_manifest import ACME

SENDS = {"url": "{{base_url}}/v3/faxes", "body": {"kind": "json", "template": {"to": "{{to}}"}}}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[FaxLab]:
    async with fax_lab(tmp_path) as lab:
        yield lab


async def validated(lab: FaxLab, **said: Any) -> dict[str, Any]:
    answer = await lab.client.ask("POST", "/admin/settings/validate", key=ADMIN, json=said)
    assert answer.status == 200
    matches("/admin/settings/validate", "post", "200", answer.json)
    found: dict[str, Any] = answer.json["checks"]
    return found


# ---- tried before it is used


HARMLESS = {
    "phaxio": "/v2.1/account/status",
    "sinch": "/v3/projects/p-1/faxes?pageSize=1",
    "signalwire": "/api/laml/2010-04-01/Accounts/the-key/Faxes.json?PageSize=1",
    "freeswitch": "/webapi/status",
}


async def test_a_provider_is_asked_for_something_harmless(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        good = {"known": True, "ready": True, "reachable": True, "credentials": True, "storage": True}
        for backend, path in HARMLESS.items():
            cloud.status = 200
            cloud.asked.clear()
            assert await validated(lab, backend=backend) == good
            assert cloud.asked == [("GET", path)]
            cloud.status = 401
            assert (await validated(lab, backend=backend))["credentials"] == "its answer was 401"
            cloud.status = 404
            assert (await validated(lab, backend=backend))["credentials"] is True


async def test_other_credentials_are_tried_and_not_kept(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip") as (lab, cloud):
        assert (await validated(lab, backend="phaxio", settings={"creds.key": "other"}))["credentials"] is True
        assert cloud.auth[-1] != cloud.auth[0] or len(cloud.auth) == 1
        elsewhere = {"base_url": "http://127.0.0.1:9", "creds.key": "k", "creds.secret": "s"}
        said = await validated(lab, backend="phaxio", settings=elsewhere)
        assert said["reachable"] == "it cannot be reached"
        assert lab.app.config.faxes.providers["phaxio"].creds["key"].get_secret_value() == "the-key"
        for wrong in ({"creds.other": "x"}, {"base_url": "nonsense"}):
            body = {"backend": "phaxio", "settings": wrong}
            assert (await lab.client.ask("POST", "/admin/settings/validate", key=ADMIN, json=body)).status == 400
    async with fax_lab(tmp_path) as lab:
        assert (await validated(lab, backend="phaxio")) == {
            "known": False,
            "ready": "faxes.providers.phaxio lacks creds.key, creds.secret",
            "storage": True,
        }
        assert (await validated(lab)) == {"known": True, "ready": True, "storage": True}
        assert (await validated(lab, backend="other")) == {"known": False, "storage": True}
        lab.app.faxroom.faxes.sip.line = None
        assert (await validated(lab))["ready"] == "this house has no fax line"


async def in_file(lab: FaxLab, providers: str) -> None:
    """Providers of the configuration file: what the API says stands over it."""
    with (lab.folder / "pbxd.yaml").open("a") as file:
        file.write(f"  providers: {providers}\n")
    assert (await lab.client.ask("POST", "/admin/settings/reload", key=ADMIN)).status == 200


async def test_stored_secrets_are_not_sent_where_they_were_not_meant_for(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with (
        clouded(tmp_path, "sip", known=False) as (lab, cloud),
        clouded(tmp_path / "other", "sip", known=False) as (_, thief),
    ):
        await in_file(lab, f"{{phaxio: {{base_url: '{cloud.base}', creds: {{key: the-key, secret: the-secret}}}}}}")

        async def ask(method: str, path: str, **said: object) -> Answer:
            return await lab.client.ask(method, path, key=ADMIN, json=said)

        again = {"detail": "creds.key, creds.secret: needed again where phaxio is asked elsewhere"}
        for given in ({}, {"creds.key": "***", "creds.secret": "***"}, {"creds.key": "", "creds.secret": ""}):
            wish = {"base_url": thief.base, **given}
            tried = await ask("POST", "/admin/settings/validate", backend="phaxio", settings=wish)
            assert (tried.status, tried.json) == (400, again)
            put = await ask("PUT", "/plugins/phaxio/config", settings=wish)
            assert put.status == 400
        half = {"base_url": thief.base, "creds.key": "mine"}
        for path, method in (("/plugins/phaxio/config", "PUT"), ("/admin/settings/validate", "POST")):
            told = await ask(method, path, backend="phaxio", settings=half)
            assert told.json == {"detail": "creds.secret: needed again where phaxio is asked elsewhere"}
        gone = await ask("PUT", "/plugins/phaxio/config", settings={"base_url": ""})
        assert gone.status == 200  # the configuration file says the same, and is heard again
        assert lab.app.config.faxes.providers["phaxio"].base_url == cloud.base
        assert (thief.asked, cloud.asked) == ([], [])
        own = {"base_url": thief.base, "creds.key": "mine", "creds.secret": "mine, too"}
        assert (await validated(lab, backend="phaxio", settings=own))["credentials"] is True
        assert (await ask("PUT", "/plugins/phaxio/config", settings=own)).status == 200
        # without our own again those of the configuration file would be heard, at our place
        bare = await ask("PUT", "/plugins/phaxio/config", settings={"creds.key": "", "creds.secret": ""})
        assert (bare.status, bare.json) == (400, again)
        assert [auth for auth in thief.auth if auth == BASIC] == []
        audit = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        notes = [(one["backend"], one["names"]) for one in audit if one["event"] == "settings_validated"]
        assert notes[0] == ("phaxio", "base_url")
        assert len(notes) == 5


async def test_the_host_that_a_setting_names_is_an_address_too(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        await in_file(lab, "{signalwire: {settings: {space: a.signalwire.com}, creds: {key: k, secret: s}}}")
        again = {"detail": "creds.key, creds.secret: needed again where signalwire is asked elsewhere"}

        async def ask(method: str, **said: object) -> Answer:
            return await lab.client.ask(
                method, "/admin/settings" + "/validate" * (method == "POST"), key=ADMIN, json=said
            )

        tried = await ask("POST", backend="signalwire", settings={"settings.space": "b.signalwire.com"})
        assert (tried.status, tried.json) == (400, again)
        moved = await ask("PUT", signalwire_space_url="b.signalwire.com")
        assert (moved.status, moved.json) == (400, again)
        assert lab.app.config.faxes.providers["signalwire"].settings == {"space": "a.signalwire.com"}
        keys = {"signalwire_project_id": "p", "signalwire_api_token": "t"}
        assert (await ask("PUT", signalwire_space_url="b.signalwire.com", **keys)).status == 200


async def test_a_manifest_of_another_place_does_not_get_what_is_stored(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:

        async def ask(what: str, **said: object) -> Answer:
            return await lab.client.ask("POST", f"/admin/plugins/http/{what}", key=ADMIN, json=said)

        assert (await ask("install", manifest=ACME)).status == 200
        wish = {"settings": {"creds.token": "secret-token"}}
        assert (await lab.client.ask("PUT", "/plugins/acme/config", key=ADMIN, json=wish)).status == 200
        file = lab.folder / "data" / "faxes" / "manifests" / "acme.json"
        before = file.read_text()
        again = "creds.token: needed again where acme is asked elsewhere"
        moved = {"base_url": "https://api.thief.example", "allowed_domains": ["thief.example"]}
        for change in (moved, {"allowed_domains": ["acme.example", "thief.example"]}):
            assert (await ask("install", manifest=ACME | change)).json == {"detail": again}
            many = await ask("import-manifests", items=[ACME | change])
            assert (many.json["imported"], many.json["errors"]) == ([], [{"id": "acme", "error": again}])
        assert file.read_text() == before
        assert (await ask("install", manifest=ACME | {"name": "Acme 2"})).status == 200


async def test_the_secret_of_a_bucket_stays_with_its_endpoint(lab: FaxLab) -> None:
    async with object_store() as store, object_store() as thief:

        async def put(**said: object) -> Answer:
            return await lab.client.ask("PUT", "/plugins/s3/config", key=ADMIN, json={"settings": said})

        assert (await with_s3(lab, store)).status == 200
        again = {"detail": "key, secret: needed again for another endpoint"}
        refused = await put(endpoint=thief.base)
        assert (refused.status, refused.json) == (400, again)
        assert (await put(endpoint=thief.base, key="***", secret="***")).json == again
        by_name = await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json={"s3_endpoint_url": thief.base})
        assert (by_name.status, by_name.json) == (400, again)
        assert lab.app.config.faxes.storage.s3.endpoint == store.base
        assert thief.asked == []
        assert (await put(prefix="other/", endpoint=store.base)).status == 200
        assert (await with_s3(lab, thief)).status == 200


async def test_a_provider_is_set_up_by_the_contracts_names(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip", known=False) as (lab, cloud):

        async def put(**said: object) -> Answer:
            return await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json=said)

        assert (await put(backend="phaxio")).status == 400  # nothing is known of it
        done = await put(backend="phaxio", phaxio_api_key="the-key", phaxio_api_secret="a-long-secret-of-phaxio")
        assert (done.status, done.json["_meta"]["backend_changed"]) == (200, True)
        assert done.json["phaxio"]["creds"] == {"key": "***", "secret": "***axio"}
        assert (await put(phaxio_verify_signature=False)).json["phaxio"]["verify"] is False
        again = {"creds.key": "the-key", "creds.secret": "a-long-secret-of-phaxio"}
        wish = {"settings": {"base_url": cloud.base, **again}}
        assert (await lab.client.ask("PUT", "/plugins/phaxio/config", key=ADMIN, json=wish)).status == 200
        assert (await handed(lab))["provider_sid"] == "323034813"
        sinch = await put(sinch_project_id="p-1", sinch_api_key="k", sinch_inbound_basic_user="u")
        assert (sinch.json["sinch"]["settings"], sorted(sinch.json["sinch"]["creds"])) == (
            {"project_id": "p-1"},
            ["inbound_user", "key"],
        )
        space = await put(signalwire_space_url="s.signalwire.com", signalwire_project_id="p", signalwire_api_token="t")
        assert space.json["signalwire"]["settings"] == {"space": "s.signalwire.com"}
        assert (await put(phaxio_api_key="")).status == 422
        assert (await lab.client.ask("POST", "/admin/settings/persist", key=ADMIN)).status == 200
        assert lab.app.config.faxes.providers["phaxio"].creds["key"].get_secret_value() == "the-key"


# ---- storage


async def with_s3(lab: FaxLab, store: ObjectStore, **changes: object) -> Answer:
    said: Any = store.settings(**changes)
    wish = {"enabled": True, "settings": said["s3"]}
    return await lab.client.ask("PUT", "/plugins/s3/config", key=ADMIN, json=wish)


def in_bucket(lab: FaxLab) -> bool:
    return lab.app.faxroom.faxes.depot.in_bucket


async def test_s3_is_enabled_keeps_documents_and_gives_them_out(lab: FaxLab) -> None:
    async with object_store() as store:
        refused = await lab.client.ask("PUT", "/plugins/s3/config", key=ADMIN, json={"enabled": True})
        assert refused.status == 400
        assert "s3 lacks endpoint, bucket, key, secret" in refused.json["detail"]
        assert (await with_s3(lab, store)).json == {"ok": True, "path": "settings.yaml"}
        shown = (await lab.client.get("/plugins/s3/config", key=ADMIN)).json
        assert (shown["enabled"], shown["settings"]["bucket"], shown["settings"]["secret"]) == (True, "faxes", "***")
        assert shown["settings"]["path_style"] is True
        plugins = (await lab.client.get("/plugins", key=ADMIN)).json["items"]
        assert {one["id"]: one["enabled"] for one in plugins if one["categories"] == ["storage"]} == {
            "local": False,
            "s3": True,
        }
        pdf = lab.pdf()
        job = (await lab.send(pdf)).json
        await lab.settled(job["id"])
        async with asyncio.timeout(20):
            while not store.kept:
                await asyncio.sleep(0.02)
        link = f"/fax/{job['id']}/pdf?token={lab.app.faxroom.house.pdf_token('out', job['id'])}"
        assert (await lab.client.get(link)).body == await asyncio.to_thread(pdf.read_bytes)
        groups = (await lab.client.get("/admin/settings", key=ADMIN)).json
        assert (groups["storage"]["backend"], groups["storage"]["s3_credentials"]) == ("s3", True)
        assert "the-secret-of-the-store" not in json.dumps(groups) + json.dumps(shown)
        store.kept.clear()
        for copy in (lab.folder / "data" / "faxes" / "fetched").iterdir():
            copy.unlink()
        assert (await lab.client.get(link)).json == {"detail": "PDF file not found"}
        store.status = 503
        assert (await lab.client.get(link)).status == 503
        sick = (await lab.client.ask("POST", "/admin/diagnostics/run", key=ADMIN)).json
        assert sick["summary"]["critical_issues"] == ["storage: its answer was 503 SlowDown"]
        ready = (await lab.client.get("/health/ready")).json
        assert (ready["checks"]["storage"], ready["storage_error"]) == (False, "its answer was 503 SlowDown")
        assert (await validated(lab))["storage"] == "its answer was 503 SlowDown"


async def test_storage_is_chosen_by_settings_too(lab: FaxLab) -> None:
    async with object_store() as store:
        assert (await with_s3(lab, store)).status == 200
        idle = await lab.client.ask("PUT", "/plugins/local/config", key=ADMIN, json={"enabled": False})
        assert idle.status == 200
        assert in_bucket(lab)
        changed = await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json={"storage_backend": "local"})
        assert changed.json["storage"]["backend"] == "local"
        assert changed.json["_meta"] == {
            "backend_changed": False,
            "storage_changed": True,
            "restart_recommended": False,
        }
        assert not in_bucket(lab)
        refused = await lab.client.ask("PUT", "/plugins/local/config", key=ADMIN, json={"enabled": False})
        assert refused.json == {"detail": "documents have to lie somewhere: enable another storage in its place"}
        wrong = await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json={"storage_backend": "tape"})
        assert wrong.status == 422
        exported = (await lab.client.get("/admin/settings/export", key=ADMIN)).json["env_content"]
        assert f"STORAGE_BACKEND=local\nS3_ENDPOINT_URL={store.base}\nS3_BUCKET=faxes\n" in exported
        assert (await lab.client.ask("POST", "/admin/settings/persist", key=ADMIN)).status == 200


# ---- the registry, and manifests


async def test_the_registry_is_file_backed_where_there_is_a_file(lab: FaxLab) -> None:
    place = lab.folder / "data" / "faxes" / "registry.json"
    builtin = (await lab.client.get("/plugin-registry", key=ADMIN)).json
    place.parent.mkdir(exist_ok=True)
    place.write_text(
        json.dumps({"items": [{"id": "acme", "name": "Acme Fax", "categories": ["outbound"]}, {"id": "sip"}]})
    )
    listed = await lab.client.get("/plugin-registry", key=ADMIN)
    matches("/plugin-registry", "get", "200", listed.json)
    assert [one["id"] for one in listed.json["items"]] == [one["id"] for one in builtin["items"]] + ["acme"]
    assert listed.json["items"][-1]["enabled"] is False
    for wrong in ("[]", "{", '{"items": [{}]}', '{"items": [{"id": "a", "enabled": true}]}', " " * (1 << 21)):
        place.write_text(wrong)
        said = (await lab.client.get("/plugin-registry", key=ADMIN)).json
        assert (said["items"], "cannot be read" in said["note"]) == (builtin["items"], True)


async def test_a_manifest_is_looked_at_installed_and_used(tmp_path: Path) -> None:
    async with clouded(tmp_path, "sip", known=False) as (lab, cloud):

        async def ask(what: str, manifest: object = None, **body: object) -> Answer:
            said = body or {"manifest": manifest}
            return await lab.client.ask("POST", f"/admin/plugins/http/{what}", key=ADMIN, json=said)

        sends = {**SENDS, "response": {"job_id": "id"}}
        acme = ACME | {"base_url": cloud.base, "actions": {"send_fax": sends}}
        seen = await ask("validate", acme)
        matches("/admin/plugins/http/validate", "post", "200", seen.json)
        assert (seen.json["id"], seen.json["actions"], seen.json["error"]) == ("acme", ["send_fax"], None)
        assert seen.json["warnings"] == ["without get_status nobody asks how a fax ended"]
        for name in ("../acme", "a/b", ".x", "phaxio", "sip"):
            assert (await ask("validate", acme | {"id": name})).json["error"].startswith("id: ")
            assert (await ask("install", acme | {"id": name})).status == 400
        for what, said in (("validate", "Manifest id required"), ("install", "Manifest id is required")):
            missing = await ask(what, {"name": "x"})
            assert (missing.status, missing.json) == (400, {"detail": said})
        assert (await ask("install", acme | {"allowed_domains": []})).status == 400
        put = await ask("install", acme)
        assert put.json == {"ok": True, "id": "acme", "path": "manifests/acme.json"}
        wish = {"enabled": True, "settings": {"base_url": cloud.base, "creds.token": "secret-token"}}
        assert (await lab.client.ask("PUT", "/plugins/acme/config", key=ADMIN, json=wish)).status == 200
        assert (await handed(lab))["backend"] == "acme"
        assert (cloud.asked, cloud.auth) == ([("POST", "/v3/faxes")], ["Bearer secret-token"])
        assert (await ask("import-manifests", items=[])).json == {"detail": "No manifest candidates provided"}
        again = await ask("import-manifests", items=[acme | {"name": "Acme 2"}, acme | {"id": "b"}, {"id": "c"}])
        assert (again.json["ok"], again.json["imported"]) == (False, ["acme", "b"])
        assert again.json["errors"][0]["id"] == "c"
        names = {one["id"]: one["name"] for one in (await lab.client.get("/plugins", key=ADMIN)).json["items"]}
        assert (names["acme"], names["b"]) == ("Acme 2", "Acme Fax")
        manifests = lab.folder / "data" / "faxes" / "manifests"
        assert sorted(one.name for one in manifests.iterdir()) == ["acme.json", "b.json"]
    async with fax_lab(tmp_path, "faxes.plugins=false") as lab:
        for what in ("validate", "install", "import-manifests"):
            gone = await lab.client.ask("POST", f"/admin/plugins/http/{what}", key=ADMIN, json={"manifest": {}})
            assert (gone.status, gone.json) == (404, {"detail": "v3 plugins feature disabled"})


# ---- what a console asks for


async def test_a_console_learns_what_the_house_can_do(tmp_path: Path) -> None:
    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        able = (await lab.client.get("/admin/config", key=ADMIN)).json
        matches("/admin/config", "get", "200", able)
        assert (able["backend"], able["storage"], able["limits"]["max_file_size_mb"]) == ("phaxio", "local", 1)
        assert able["backends"] == ["disabled", "freeswitch", "phaxio", "signalwire", "sinch", "sip"]
        found = (await lab.client.get("/admin/inbound/callbacks", key=ADMIN)).json
        matches("/admin/inbound/callbacks", "get", "200", found)
        assert found["backend"] == "phaxio"
        assert [one["url"] for one in found["callbacks"][:2]] == [
            f"{PUBLIC}/phaxio-callback",
            f"{PUBLIC}/phaxio-inbound",
        ]
        routes = {route.resource.canonical for route in lab.app.server._runner.app.router.routes() if route.resource}
        assert {one["url"].removeprefix(PUBLIC) for one in found["callbacks"]} <= routes
        assert (await lab.client.get("/admin/config", key=KEY)).status == 401


async def test_a_fax_that_nobody_sent_is_in_its_box(lab: FaxLab) -> None:
    place = "/admin/inbound/simulate"
    made = await lab.client.ask("POST", place, key=ADMIN, json={"fr": "+1555", "to": "+12025550150", "pages": 2})
    matches(place, "post", "200", made.json)
    assert (made.json["mailbox"], made.json["pages"], made.json["status"]) == ("lab", 2, "received")
    (listed,) = (await lab.client.get("/inbound", key=ADMIN)).json
    assert listed["id"] == made.json["id"]
    failed = await lab.client.ask("POST", place, key=ADMIN, json={"status": "failed", "backend": "phaxio"})
    assert (failed.json["status"], failed.json["backend"], failed.json["pdf_url"]) == ("failed", "phaxio", None)
    assert (await lab.client.ask("POST", place, key=ADMIN, json={"pages": 21})).status == 422
    await lab.client.ask("PUT", "/admin/settings", key=ADMIN, json={"inbound_enabled": False})
    off = await lab.client.ask("POST", place, key=ADMIN, json={})
    assert (off.status, off.json) == (400, {"detail": "Inbound not enabled"})
