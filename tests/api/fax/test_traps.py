"""What others fell into and no other test is about: comparisons that tell, answers that cross, secrets that ship."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from pbxd.config import load
from pbxd.services.faxes import FaxJobChanged, JobState
from tests.api.fax.cloud import TOKEN, clouded
from tests.api.fax.house import ADMIN, KEY, fax_lab
from tests.api.fax.test_providers import arrived, handed, later, listed, phaxio_posts, sinch_posts
from tests.services.faxes.line import outcome

ETC = Path(__file__).parents[3] / "etc"


async def test_no_comparison_of_a_secret_says_how_much_of_it_was_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes through one that takes the same time for all, over values of the same length."""
    compared: list[tuple[bytes, bytes]] = []
    truly = hmac.compare_digest

    def recorded(one: Any, other: Any) -> bool:
        compared.append((_octets(one), _octets(other)))
        return truly(one, other)

    async with clouded(tmp_path, "phaxio") as (lab, _cloud):
        job = await handed(lab)
        token = lab.app.faxroom.house.pdf_token("out", job["id"])
        minted = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={})).json["token"]
        monkeypatch.setattr(hmac, "compare_digest", recorded)
        wrong_token = token[:-1] + ("0" if token[-1] != "0" else "1")
        asterisk = {"X-Internal-Secret": "lab-asteriskk"}
        callback = f"/phaxio-callback?job_id={job['id']}"
        for asked, status in (
            (lab.client.get(f"/fax/{job['id']}/pdf?token={wrong_token}"), 403),
            (lab.client.get("/fax/x", key=minted[:-1]), 401),
            (lab.client.ask("POST", "/_internal/asterisk/inbound", json={}, headers=asterisk), 401),
            (phaxio_posts(lab, callback, {}, signature="0" * 40), 401),
            (sinch_posts(lab, {"id": "1"}, "fax:wrong"), 401),
            (sinch_posts(lab, {"id": "1"}, secret="wrong"), 401),
        ):
            before = len(compared)
            assert (await asked).status == status
            mine = compared[before:]
            assert mine
            assert all(len(one) == len(other) for one, other in mine)


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


async def test_a_callback_that_is_faster_than_the_answer_is_not_forgotten(tmp_path: Path) -> None:
    """The end of a fax is heard before the answer to our own request: it ends so, and is never in progress again."""
    async with clouded(tmp_path, "phaxio") as (lab, cloud):
        states: list[JobState] = []
        lab.app.bus.subscribe(FaxJobChanged, lambda event: states.append(event.job.state))
        cloud.hold = asyncio.Event()
        job = (await lab.send(lab.pdf())).json
        async with asyncio.timeout(20):
            while not cloud.asked:
                await asyncio.sleep(0.02)
        said = {"fax[id]": "323034813", "fax[status]": "success", "fax[num_pages]": "1"}
        told = asyncio.create_task(phaxio_posts(lab, f"/phaxio-callback?job_id={job['id']}", said))
        await asyncio.sleep(0)
        cloud.hold.set()
        assert (await told).json == {"status": "ok"}
        await later(lab, 0)
        assert (await lab.client.get(f"/fax/{job['id']}", key=KEY)).json["status"] == "SUCCESS"
        assert states[-1] is JobState.SUCCESS
        assert states.count(JobState.SUCCESS) == 1


async def test_what_is_not_signed_is_taken_where_the_settings_say_so(tmp_path: Path) -> None:
    trusting = ("faxes.providers.phaxio.verify=false", "faxes.providers.sinch.verify=false")
    async with clouded(tmp_path, "sip", *trusting) as (lab, cloud):
        cloud.file = await asyncio.to_thread(lab.pdf().read_bytes)
        assert (await lab.client.ask("POST", "/phaxio-inbound", data=arrived())).json == {"status": "ok"}
        assert (await lab.client.ask("POST", "/sinch-inbound", json={"id": "01IN"})).json == {"status": "ok"}
        assert sorted(one["backend"] for one in await listed(lab)) == ["phaxio", "sinch"]
        refused = await lab.client.ask("POST", "/phaxio-inbound", data=arrived(id=1, file_url="http://127.0.0.1:1/x"))
        assert TOKEN not in str(refused.json)


async def test_an_error_shows_an_admin_no_number_and_no_novel(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        long = "the far side at +15551234567 said " + "no " * 60
        lab.line.script = [outcome(0, detail=long)] * 9
        lab.app.faxroom.faxes.office.settings = lab.app.config.faxes.model_copy(update={"tries": 1})
        job = (await lab.send(lab.pdf())).json
        assert (await lab.settled(job["id"])).json["status"] == "FAILED"
        (shown,) = (await lab.client.get("/admin/fax-jobs", key=ADMIN)).json["jobs"]
        assert shown["error"].startswith("the far side at ********4567 said no")
        assert len(shown["error"]) == 80


def secrets(model: BaseModel, prefix: str = "") -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from secrets(value, f"{prefix}{name}.")
        elif isinstance(value, SecretStr):
            yield prefix + name


def test_nothing_ships_with_credentials() -> None:
    config = load(ETC / "pbxd.yaml")
    assert list(secrets(config)) == []
    assert (config.keys, config.trunks, config.faxes.providers, config.accounts) == ({}, {}, {}, {})


async def test_who_did_what_is_written_down_and_never_what_a_fax_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fax_lab(tmp_path) as lab:
        text = lab.folder / "a.txt"
        text.write_text("The secret of the letter\n", encoding="utf-8")
        job = (await lab.send(text)).json
        await lab.settled(job["id"])
        minted = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={"scopes": ["fax:read"]})).json
        assert (await lab.send(text, key=minted["token"])).status == 403
        assert (await lab.client.get("/admin/settings", key=KEY)).status == 401
        for action in ("rotate", ""):
            place = f"/admin/api-keys/{minted['key_id']}/{action}".rstrip("/")
            assert (await lab.client.ask("POST" if action else "DELETE", place, key=ADMIN)).status == 200
        token = lab.app.faxroom.house.pdf_token("out", job["id"])
        assert (await lab.client.get(f"/fax/{job['id']}/pdf?token={token}")).status == 200
        monkeypatch.setattr(lab.app.faxroom.faxes.rows, "job", _fails)
        assert (await lab.client.get(f"/fax/{'0' * 32}", key=KEY)).status == 500
        events = [entry["event"] for entry in reversed((await lab.client.get("/admin/logs", key=ADMIN)).json["items"])]
        assert [event for event in events if event != "job_updated"] == [
            *("job_created", "job_dispatch", "api_key_created", "api_key_used", "api_key_denied_scope"),
            *("api_key_denied_scope", "api_key_rotated", "api_key_revoked", "pdf_served", "api_error"),
        ]
        written = await asyncio.to_thread((lab.folder / "audit.log").read_text)
        assert "secret of the letter" not in written
        assert minted["token"] not in written


async def _fails(_job_id: str) -> None:
    raise RuntimeError("a bug")


async def test_a_key_of_an_account_that_is_gone_opens_nothing(tmp_path: Path) -> None:
    async with fax_lab(tmp_path) as lab:
        minted = (await lab.client.ask("POST", "/admin/api-keys", key=ADMIN, json={})).json["token"]
        assert (await lab.client.get("/fax/x", key=minted)).status == 404
    async with fax_lab(tmp_path) as lab:
        keys = lab.app.faxroom.keys
        (key,) = keys.of(lab.app.directory.default_account.id)
        keys._keys[key.id] = type(key)(
            **{name: getattr(key, name) for name in key.__slots__} | {"account_id": "acc_gone"}
        )
        assert (await lab.client.get("/fax/x", key=minted)).status == 401
