"""The mail server is dead or deaf, or the store cannot keep a mail: calls go on, and what was taken arrives."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from pbxd.app import App
from pbxd.config import load
from pbxd.errors import Unavailable
from pbxd.outbox import Item, Letter, MailServer, Refusal, Security, SmtpSender, State
from pbxd.sip.flow import Transport
from pbxd.store import Trouble
from tests.clients.hand import calling
from tests.faults.levers import fill
from tests.outbox.keeping import until
from tests.outbox.mailbox import serving

LETTER = Letter("ann@example.org", "Voicemail", "from 1002")
QUICK_S = 0.5

pytestmark = pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")


@contextmanager
def _silent_port(*, deaf: bool) -> Iterator[int]:
    """A port where nobody listens, or where somebody does who never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if deaf:
            server.listen()
        yield server.getsockname()[1]


@asynccontextmanager
async def _app(folder: Path, data: Path, port: int) -> AsyncIterator[App]:
    file = folder / "pbxd.yaml"
    file.write_text(
        f"data_dir: {data}\n"
        "sip: {udp: ['127.0.0.1:0'], tcp: [], tls: []}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47200-47299}\nfirst_start: {phones: '', admin_key: false}\n"
        "trunks: {peer: {sources: [127.0.0.1]}}\n"
        f"mail: {{server: 127.0.0.1, port: {port}, security: none, from: pbx@example.org, timeout_s: 1}}\n",
        encoding="utf-8",
    )
    app = App(load(file))
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def _call_quickly(app: App) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with calling(app.telephony.transports.bound[Transport.UDP][0]) as caller:
        assert loop.time() - begun < QUICK_S
        app.telephony.hangup_all("the test is over")
        caller.agree(await caller.hear("BYE"))


async def _waiting(app: App, item_id: str) -> Item:
    """The delivery as it is kept after a try that failed."""
    async with asyncio.timeout(5):
        while (item := await app.deliveries.outbox.get(item_id)).state is not State.WAITING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return item


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_mail_server_that_is_dead_or_deaf_delays_no_call(tmp_path: Path, deaf: bool) -> None:
    with _silent_port(deaf=deaf) as port:
        async with _app(tmp_path, tmp_path / "data", port) as app:
            outbox = app.deliveries.outbox
            item = await outbox.put_letter("acc_1", LETTER)
            await _call_quickly(app)
            await until(lambda: sum(outbox.failed.values()) == 1)
            kept = await _waiting(app, item.id)
            assert (outbox.waiting, bool(kept.reason)) == (1, True)
            async with serving() as mailbox:
                outbox.mail = SmtpSender(MailServer("127.0.0.1", mailbox.port, Security.NONE, "pbx@example.org"))
                await outbox.retry(item.id)
                await until(lambda: outbox.waiting == 0)
            assert len(mailbox.mails) == 1
            assert (await outbox.get(item.id)).state is State.DELIVERED


async def test_what_cannot_be_kept_is_not_acknowledged(disk: Path, tmp_path: Path) -> None:
    async with serving() as mailbox, _app(tmp_path, disk / "data", mailbox.port) as app:
        outbox = app.deliveries.outbox
        fill(disk / "ballast")
        with pytest.raises(Unavailable, match="the store does not take it now"):
            await outbox.put_letter("acc_1", LETTER)
        assert app.store.trouble is Trouble.DISK_FULL
        assert outbox.refused[Refusal.STORE] == 1
        assert outbox.waiting == 0
        (disk / "ballast").unlink()
        kept = await outbox.put_letter("acc_1", LETTER)
        await until(lambda: outbox.waiting == 0)
        assert [(await outbox.get(kept.id)).state, len(mailbox.mails)] == [State.DELIVERED, 1]
        assert [item.id for item in await outbox.page()] == [kept.id]  # of the refused one nothing is left
