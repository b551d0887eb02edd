"""Mail through a real server: STARTTLS, TLS, log-in, and every way to fail."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

import pytest

from pbxd.certificates import Identity
from pbxd.errors import Invalid, Unavailable
from pbxd.outbox import Kind, Letter, MailServer, Outbox, Rules, Security, SmtpSender, State
from pbxd.outbox.verdict import Outcome, Verdict
from tests.outbox.keeping import MemoryKeeper, ScriptedSender, until
from tests.outbox.mailbox import PASSWORD, USER, Mailbox, context, identity, serving

MESSAGE = b"Subject: x\r\n\r\n.\r\n..dots\r\n"
LETTER = Letter("ann@example.org", "New voicemail", "From 1001.\n")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.filterwarnings("ignore:Session.login_data is deprecated"),
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with serving() as mailbox:
        yield mailbox


def _server(port: int, security: Security = Security.NONE) -> MailServer:
    return MailServer("127.0.0.1", port, security, "pbx@house.example", timeout_s=5.0)


async def _hand_in(server: MailServer) -> Verdict:
    return await SmtpSender(server).hand_in("ann@example.org", MESSAGE)


async def test_a_mail_arrives_whole(mailbox: Mailbox) -> None:
    verdict = await _hand_in(_server(mailbox.port))
    assert (verdict.outcome, verdict.reason) == (Outcome.DELIVERED, "250 2.0.0 queued as 42")
    (mail,) = mailbox.mails
    assert (mail.mail_from, mail.rcpt_tos, mail.content) == ("pbx@house.example", ["ann@example.org"], MESSAGE)
    assert mailbox.greetings == ["house.example"]


async def test_starttls_with_a_log_in(own: Identity) -> None:
    async with serving(starttls=context(own), login=True) as mailbox:
        server = replace(
            _server(mailbox.port, Security.STARTTLS), username=USER, password=PASSWORD, authorities=own.certificate
        )
        assert (await _hand_in(server)).outcome is Outcome.DELIVERED
    assert (mailbox.secure, mailbox.logins) == ([True], [USER])


async def test_tls_from_the_first_byte(own: Identity) -> None:
    async with serving(tls=context(own)) as mailbox:
        server = replace(_server(mailbox.port, Security.TLS), authorities=own.certificate)
        assert (await _hand_in(server)).outcome is Outcome.DELIVERED
    assert len(mailbox.mails) == 1


async def test_a_wrong_password_costs_no_mail_and_is_not_said(own: Identity) -> None:
    async with serving(starttls=context(own), login=True) as mailbox:
        server = replace(
            _server(mailbox.port, Security.STARTTLS), username=USER, password="wrong-one", authorities=own.certificate
        )
        verdict = await _hand_in(server)
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert verdict.reason == "the mail server refuses the log-in: 535"
    assert "wrong-one" not in repr(server)
    assert mailbox.mails == []


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_certificate_nobody_vouches_for_gets_no_mail(own: Identity, security: Security) -> None:
    served = {"starttls" if security is Security.STARTTLS else "tls": context(own)}
    async with serving(**served) as mailbox:  # type: ignore[arg-type]
        verdict = await _hand_in(_server(mailbox.port, security))
    assert (verdict.outcome, verdict.everyone, mailbox.mails) == (Outcome.TEMPORARY, True, [])
    assert "certificate" in verdict.reason.lower() or "TLS" in verdict.reason


async def test_a_server_without_starttls_gets_no_mail_and_no_password(mailbox: Mailbox) -> None:
    server = replace(_server(mailbox.port, Security.STARTTLS), username=USER, password=PASSWORD)
    verdict = await _hand_in(server)
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert "STARTTLS extension not supported" in verdict.reason
    assert (mailbox.mails, mailbox.logins) == ([], [])


@pytest.mark.parametrize(
    ("command", "reply", "outcome", "everyone"),
    [
        ("RCPT", "550 5.1.1 no such user", Outcome.PERMANENT, False),
        ("RCPT", "450 4.2.0 greylisted", Outcome.TEMPORARY, False),
        ("RCPT", "421 4.3.2 closing", Outcome.TEMPORARY, True),
        ("DATA", "552 5.3.4 too big", Outcome.PERMANENT, False),
        ("DATA", "451 4.3.0 try later", Outcome.TEMPORARY, False),
    ],
)
async def test_what_the_server_says_decides(
    mailbox: Mailbox, command: str, reply: str, outcome: Outcome, everyone: bool
) -> None:
    mailbox.replies[command] = reply
    verdict = await _hand_in(_server(mailbox.port))
    assert (verdict.outcome, verdict.everyone, verdict.reason) == (outcome, everyone, reply)
    assert mailbox.mails == []


async def test_a_server_that_stalls_is_given_up(mailbox: Mailbox) -> None:
    mailbox.stall = asyncio.Event()
    verdict = await _hand_in(replace(_server(mailbox.port), timeout_s=0.2))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert verdict.reason in ("the mail server stalls", "the mail server takes too long")
    mailbox.stall.set()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"554 go away\r\n", b"220 x\r\n"])
async def test_what_is_no_mail_server_is_tried_again(says: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if says.startswith(b"220"):
            await reader.readline()  # EHLO, and then it is gone
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        verdict = await _hand_in(_server(server.sockets[0].getsockname()[1]))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)


async def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    verdict = await _hand_in(_server(port))
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
    assert verdict.reason.startswith("the mail server cannot be used: ")


async def test_a_letter_goes_through_the_outbox_and_keeps_its_message_id(mailbox: Mailbox) -> None:
    mailbox.replies["DATA"] = "451 4.3.0 try later"
    keeper = MemoryKeeper()
    outbox = Outbox(keeper, ScriptedSender(), SmtpSender(_server(mailbox.port)), Rules())
    await outbox.start()
    try:
        item = await outbox.put_letter("acc_1", LETTER, key="vm-1")
        assert (item.kind, item.destination, item.summary) == (Kind.MAIL, "mail", "to ann@example.org")
        await until(lambda: outbox.failed[Kind.MAIL] == 1 and keeper.parcels[item.id].item.state is State.WAITING)
        assert (await outbox.get(item.id)).reason == "451 4.3.0 try later"
        mailbox.replies.clear()
        await outbox.retry(item.id)
        await until(lambda: outbox.waiting == 0)
        assert await outbox.put_letter("acc_1", LETTER, key="vm-1") == await outbox.get(item.id)
    finally:
        await outbox.stop()
    (mail,) = mailbox.mails
    assert isinstance(mail.content, bytes)
    message = message_from_bytes(mail.content)
    assert message["Message-ID"] == f"<{item.id}@house.example>"
    assert (message["Subject"], message["From"]) == ("New voicemail", "pbxd <pbx@house.example>")


async def test_the_settings_are_proved_beside_the_queue(mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="pbxd")
    outbox = Outbox(MemoryKeeper(), ScriptedSender(), SmtpSender(_server(mailbox.port)), Rules())
    assert await outbox.prove_mail("ann@example.org") == "250 2.0.0 queued as 42"
    mailbox.replies["RCPT"] = "550 5.1.1 no such user"
    with pytest.raises(Unavailable, match=r"550 5\.1\.1 no such user"):
        await outbox.prove_mail("ann@example.org")
    with pytest.raises(Invalid):
        await outbox.prove_mail("ann@example.org\r\nRCPT TO:<eve@example.org>")
    assert len(mailbox.mails) == 1
    assert caplog.text == ""


async def test_mail_waits_where_the_server_was_taken_out_of_the_settings(mailbox: Mailbox) -> None:
    keeper = MemoryKeeper()
    mail = SmtpSender(_server(mailbox.port))
    outbox = Outbox(keeper, ScriptedSender(), mail, Rules(retry_s=(1,)))
    item = await outbox.put_letter("acc_1", LETTER)
    outbox.mail = None
    await outbox.start()
    try:
        await until(lambda: outbox.failed[Kind.MAIL] == 1 and keeper.parcels[item.id].item.state is State.WAITING)
        assert "no mail server is configured" in str(keeper.parcels[item.id].item.reason)
        outbox.mail = mail
        await outbox.retry(item.id)
        await until(lambda: outbox.waiting == 0)
    finally:
        await outbox.stop()
    assert len(mailbox.mails) == 1


def test_authorities_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"mail\.authorities: .*none\.pem cannot be used: No such file"):
        SmtpSender(replace(_server(25, Security.TLS), authorities=tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(OSError, match=r"mail\.authorities: .*bad\.pem cannot be used"):
        SmtpSender(replace(_server(25, Security.TLS), authorities=tmp_path / "bad.pem"))


# ---- asked, and sent nothing


async def test_a_server_that_is_asked_gets_no_mail(own: Identity) -> None:
    async with serving(starttls=context(own), login=True) as mailbox:
        server = replace(
            _server(mailbox.port, Security.STARTTLS),
            username=USER,
            password=PASSWORD,
            authorities=own.certificate,
        )
        verdict = await SmtpSender(server).knock("ann@example.org")
    assert verdict.outcome is Outcome.DELIVERED
    assert (mailbox.logins, mailbox.mails) == ([USER], [])


async def test_a_recipient_that_is_refused_when_asked(mailbox: Mailbox) -> None:
    mailbox.replies["RCPT"] = "550 5.1.1 nobody here"
    verdict = await SmtpSender(_server(mailbox.port)).knock("ann@example.org")
    assert (verdict.outcome, verdict.reason) == (Outcome.PERMANENT, "550 5.1.1 nobody here")


async def test_nobody_there_to_ask() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    verdict = await SmtpSender(_server(port)).knock("ann@example.org")
    assert (verdict.outcome, verdict.everyone) == (Outcome.TEMPORARY, True)
