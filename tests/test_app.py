"""The house as a whole, in this process: it starts, takes a call, reloads, drains, stops, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pbxd.app import App
from pbxd.calls.record import CallRecord, Result
from pbxd.certificates import CertificateError, Identity, client_context
from pbxd.config import Config, load
from pbxd.outbox import Letter
from pbxd.services.cdr import RecordFilter
from pbxd.sip.flow import Transport
from pbxd.sip.transport import BindError
from tests.clients.hand import Hand, calling
from tests.outbox.keeping import until
from tests.outbox.mailbox import PASSWORD, USER, context, identity, serving
from tests.test_tls import elliptic, make


def _config(tmp_path: Path, *overrides: str) -> Config:
    file = tmp_path / "pbxd.yaml"
    file.write_text(
        f"data_dir: {tmp_path}/data\n"
        "sip: {udp: ['127.0.0.1:0'], tcp: [], tls: []}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47100-47199}\n"
        "trunks: {peer: {sources: [127.0.0.1]}}\nkeys: {ops: {secret: ops-secret-1}}\n",
        encoding="utf-8",
    )
    return load(file, overrides)


pytestmark = pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = App(_config(tmp_path))
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
async def caller(app: App) -> AsyncIterator[Hand]:
    async with calling(app.telephony.transports.bound[Transport.UDP][0]) as caller:
        yield caller


async def _record(app: App) -> CallRecord:
    await app.store.drain()
    (record,) = await app.records.page(RecordFilter())
    return record


async def test_a_call_is_live_and_then_a_record(app: App, caller: Hand) -> None:
    headers = {"X-API-Key": "ops-secret-1"}
    host, port = app.server.bound[0]
    async with aiohttp.ClientSession(f"http://{host}:{port}", headers=headers) as session:
        async with session.get("/house/v1/calls") as answer:
            (call,) = (await answer.json())["calls"]
        assert (call["state"], call["called"], call["legs"][0]["codec"]) == ("answered", "600", "PCMU")
        async with session.get("/metrics") as answer:
            assert "\npbxd_calls 1.0\n" in await answer.text()
        async with session.post(f"/house/v1/calls/{call['id']}/hangup") as answer:
            assert answer.status == 200
        caller.agree(await caller.hear("BYE"))
        record = await _record(app)
        async with session.get(f"/house/v1/records/{call['id']}") as answer:
            told = await answer.json()
    assert (record.id, told["state"], told["sip_status"]) == (call["id"], "ended", record.sip_status)
    assert app.records.results[record.result or Result.UNKNOWN] == 1


async def test_mail_leaves_the_house_and_is_seen_to(tmp_path: Path) -> None:
    own = identity(tmp_path)
    login = f"username: {USER}, password: {PASSWORD}, authorities: {own.certificate}"
    async with serving(starttls=context(own), login=True) as mailbox:
        where = f"mail={{server: 127.0.0.1, port: {mailbox.port}, from: pbx@house.example, {login}}}"
        app = App(_config(tmp_path, where))
        await app.start()
        host, port = app.server.bound[0]
        headers = {"X-API-Key": "ops-secret-1"}
        async with aiohttp.ClientSession(f"http://{host}:{port}", headers=headers) as session:
            async with session.post("/house/v1/mail/test", json={"to": "ann@example.org"}) as answer:
                assert (answer.status, await answer.json()) == (200, {"reply": "250 2.0.0 queued as 42"})
            outbox = app.deliveries.outbox
            item = await outbox.put_letter("acc_1", Letter("ann@example.org", "Hello", "there"))
            await until(lambda: outbox.waiting == 0)
            async with session.get(f"/house/v1/outbox/{item.id}") as answer:
                assert (await answer.json())["state"] == "delivered"
            async with session.get("/metrics") as answer:
                metrics = await answer.text()
            async with session.get("/house/v1/settings") as answer:
                assert PASSWORD not in await answer.text()
        await app.stop()
    for line in (
        'delivered_total{kind="mail"} 1.0',
        "waiting 0.0",
        "oldest_seconds 0.0",
        'dead_total{kind="http"} 0.0',
    ):
        assert f"\npbxd_outbox_{line}\n" in metrics
    assert (len(mailbox.mails), mailbox.secure) == (2, [True, True])


async def test_a_drain_waits_refuses_and_then_hangs_up(app: App, caller: Hand) -> None:
    draining = asyncio.create_task(app.drain(0.2))
    await asyncio.sleep(0)
    caller.say("OPTIONS")
    assert "Retry-After:" in await caller.hear("SIP/2.0 503")
    assert not draining.done()
    caller.agree(await caller.hear("BYE"))
    await draining
    assert app.telephony.quiet
    record = await _record(app)
    assert record.ended_by == "house"


async def test_a_drain_without_calls_is_over_at_once(app: App) -> None:
    async with asyncio.timeout(1.0):
        await app.drain(60)


async def test_a_reload_touches_no_call(app: App, caller: Hand, tmp_path: Path) -> None:
    changed = await app.reload(_config(tmp_path, "calls.max=3", "node=other", "keys={}", "sip.user_agent=x"))
    assert sorted(changed) == ["calls.max", "keys.ops", "node", "sip.user_agent"]
    assert (app.config.calls.max, app.config.node, app.config.sip.user_agent) == (3, "pbxd", "pbxd")
    assert app.telephony.admission.max_calls == 3
    assert app.keys.check("ops-secret-1") is None
    assert len(app.telephony.switch.calls) == 1
    assert await app.reload(app.config) == []


async def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        app = App(_config(tmp_path, f"sip.udp=['127.0.0.1:{port}']"))
        with pytest.raises(BindError, match=f"sip.udp 127.0.0.1:{port}"):
            await app.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        app = App(_config(tmp_path, f"http.listen=127.0.0.1:{port}"))
        with pytest.raises(OSError, match="address already in use"):
            await app.start()
    assert not (tmp_path / "data/pbxd.sock").exists()
    app = App(_config(tmp_path))
    await app.start()
    await app.stop()
    await app.stop()


async def test_a_first_start_is_one(tmp_path: Path) -> None:
    first = App(_config(tmp_path, "first_start.phones=2001-2003"))
    await first.start()
    assert first.card is not None
    assert [extension for extension, _ in first.card.phones] == ["2001", "2002", "2003"]
    assert first.card.admin_key is not None
    assert first.keys.check(first.card.admin_key) is not None
    secrets = json.dumps([first.card.admin_key, *(password for _, password in first.card.phones)])
    await first.stop()
    for path in (tmp_path / "data").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(secret.encode() in content for secret in json.loads(secrets)), path
    again = App(_config(tmp_path, "first_start.phones=2001-2003"))
    await again.start()
    assert again.card is None
    assert len(again.directory.phones(again.directory.default_account)) == 3
    await again.stop()


async def test_a_reload_shows_other_certificates_and_refuses_broken_ones(tmp_path: Path) -> None:
    first, second = (
        make(tmp_path, "first", elliptic(), "first.test"),
        make(tmp_path, "second", elliptic(), "second.test"),
    )

    def files(identity: Identity) -> tuple[str, ...]:
        crt, key = identity.certificate, identity.private_key
        return "sip.tls=['127.0.0.1:0']", "http.tls=['127.0.0.1:0']", f"sip.certificate={crt}", f"sip.private_key={key}"

    app = App(_config(tmp_path, *files(first)))
    await app.start()
    try:
        https = app.server.bound_tls[0]
        sips = app.telephony.transports.bound[Transport.TLS][0]
        assert {await _shown(https), await _shown(sips)} == {"first.test"}
        changed = await app.reload(_config(tmp_path, *files(second), "http.trusted_proxies=[10.0.0.0/8]"))
        assert sorted(changed) == ["http.trusted_proxies", "sip.certificate", "sip.private_key"]
        assert {await _shown(https), await _shown(sips)} == {"second.test"}
        assert [str(net) for net in app.server.origins.proxies] == ["10.0.0.0/8"]
        first.certificate.write_text("broken")
        with pytest.raises(CertificateError, match="holds no certificate"):
            await app.reload(_config(tmp_path, *files(first), "calls.max=7"))
        assert app.config.calls.max != 7
        assert await _shown(https) == "second.test"
        make(tmp_path, "second", elliptic(), "renewed.test")
        app.telephony._looked_at = 0.0
        app.telephony._keep_house()
        assert {await _shown(https), await _shown(sips)} == {"renewed.test"}
    finally:
        await app.stop()


async def _shown(address: tuple[str, int]) -> str:
    """The name in the certificate that a TLS listener shows."""
    _, writer = await asyncio.open_connection(*address, ssl=client_context(verify=False))
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    name = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(name)
