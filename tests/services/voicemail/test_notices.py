"""Owners are told once of each message, by mail and webhook, whatever happens meanwhile; phones by their lamp."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from email.message import EmailMessage
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from media.transcription import CannotTranscribe
from pbxd.config.mailboxes import Mailbox
from pbxd.outbox import Kind, MailServer, Outbox, Rules, Security, SmtpSender
from pbxd.outbox.letter import compose
from pbxd.services.deliveries import Deliveries
from pbxd.services.voicemail import Counts, Folder, Message
from pbxd.services.voicemail.lamp import summary
from pbxd.services.voicemail.notices import letter_of, request_of
from pbxd.store import Store
from tests.outbox.keeping import ScriptedSender
from tests.services.voicemail.theatre import ACCOUNT, House, tone

SERVER = MailServer("mail.test", 25, Security.NONE, "pbx@lab.test", None, None, None, 5)
MAILBOXES = {
    "1002": Mailbox(pin=SecretStr("1002"), mail="bob@lab.test", webhook="https://hook.test/voicemail?secret=1"),
    "1003": Mailbox(mail="carol@lab.test", attach=False),
}


@pytest_asyncio.fixture
async def house(store: Store, tmp_path: Path) -> House:
    return await House(store, tmp_path / "voicemail").load(MAILBOXES)


def outbox_of(store: Store, rules: Rules | None = None) -> Outbox:
    return Outbox(Deliveries(store), ScriptedSender(), SmtpSender(SERVER), rules or Rules())


async def told(house: House) -> None:
    async with asyncio.timeout(5):
        while house.voicemail.telling:  # noqa: ASYNC110 - what tells has no event
            await asyncio.sleep(0.01)


def read(body: bytes) -> EmailMessage:
    message = email.message_from_bytes(body, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_a_mail_with_the_sound_and_a_webhook(house: House, store: Store) -> None:
    outbox = outbox_of(store)
    house.voicemail.serve(outbox)
    message = house.leave_one()
    await told(house)
    items = {item.kind: item for item in await outbox.page(None, 10, None)}
    assert set(items) == {Kind.MAIL, Kind.HTTP}
    parcel = await Deliveries(store).parcel(items[Kind.MAIL].id)
    assert parcel is not None
    mail = read(parcel.body)
    assert mail["To"] == "bob@lab.test"
    assert mail["Subject"] == "Voicemail from Somebody <1001> for 1002 (0:02)"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "The message is attached. There is 1 new and 0 saved." in text.get_content()
    assert "Somebody &lt;1001&gt;" in html.get_content()
    (attached,) = mail.iter_attachments()
    assert attached.get_content_type() == "audio/wav"
    assert attached.get_content() == house.voicemail.archive.path(message).read_bytes()
    hook = await Deliveries(store).parcel(items[Kind.HTTP].id)
    assert hook is not None
    said = json.loads(hook.body)
    assert (said["event"], said["id"], said["mailbox"], said["seconds"]) == (
        "voicemail.received",
        message.id,
        "1002",
        2.0,
    )
    assert house.messages()[0].told_at is not None
    await house.voicemail.stop()


async def test_who_died_before_telling_tells_at_the_next_start_and_only_once(house: House, store: Store) -> None:
    house.leave_one()  # nobody serves yet
    outbox = outbox_of(store)
    for _ in range(2):
        await store.drain()
        again = await House(store, house.folder).load(MAILBOXES)
        again.voicemail.serve(outbox)
        await told(again)
        await again.voicemail.stop()
    assert len(await outbox.page(None, 10, None)) == 2


async def test_a_sound_that_is_too_large_stays_at_home(house: House, store: Store) -> None:
    outbox = outbox_of(store, Rules(max_bytes=20_000))
    house.voicemail.serve(outbox)
    house.leave_one()
    await told(house)
    (mail,) = [item for item in await outbox.page(None, 10, None) if item.kind is Kind.MAIL]
    parcel = await Deliveries(store).parcel(mail.id)
    assert parcel is not None
    assert list(read(parcel.body).iter_attachments()) == []
    assert b"Listen to it by phone." in parcel.body
    await house.voicemail.stop()


async def test_without_a_mail_server_nothing_is_tried_again(
    house: House, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = outbox_of(store)
    outbox.mail = None
    house.voicemail.serve(outbox)
    house.leave_one("1003")
    await told(house)
    assert "no mail server is configured" in caplog.text
    assert house.messages("1003")[0].told_at is not None
    assert await outbox.page(None, 10, None) == []
    await house.voicemail.stop()


async def test_an_outbox_that_is_full_is_asked_again(house: House, store: Store) -> None:
    outbox = outbox_of(store, Rules(max_waiting=1))
    house.voicemail.serve(outbox)
    house.leave_one()
    await told(house)
    assert house.messages()[0].told_at is None
    await house.voicemail.stop()


def test_nobody_writes_into_the_head_of_a_mail(house: House) -> None:
    message = Message("vmm_1", "acc_1", house.box().id, "1001", "Eve\r\nBcc: all@lab.test", "c", 1.8e9, seconds=61.0)
    mail = read(compose(letter_of(house.box(), message, None), "pbx@lab.test", "id", 1.8e9))
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Voicemail from Eve  Bcc: all@lab.test <1001> for 1002 (1:01)"
    assert b"secret" not in request_of(house.box(), message).body


@pytest.mark.parametrize(
    ("counts", "body"),
    [
        (Counts(), "Messages-Waiting: no\r\nMessage-Account: sip:a@b\r\nVoice-Message: 0/0 (0/0)\r\n"),
        (Counts(2, 8, 0, 2), "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/8 (0/2)\r\n"),
        (Counts(0, 3), "Messages-Waiting: no\r\nMessage-Account: sip:a@b\r\nVoice-Message: 0/3 (0/0)\r\n"),
    ],
)
def test_what_a_lamp_is_told(counts: Counts, body: str) -> None:
    assert summary(counts, "sip:a@b") == body.encode()


async def test_counts_follow_the_folders(house: House) -> None:
    house.scribe.said = tone(1.0)
    first, second = house.leave_one(), house.leave_one()
    house.voicemail.mark(ACCOUNT, "1002", first.id, urgent=True)
    assert house.box().counts == Counts(2, 0, 1, 0)
    house.voicemail.move(ACCOUNT, "1002", first.id, Folder.SAVED)
    house.voicemail.move(ACCOUNT, "1002", second.id, Folder.DELETED)
    assert house.box().counts == Counts(0, 1, 0, 1)


class Stenographer:
    """Writes down the same for every message, or nothing."""

    def __init__(self, words: str | None) -> None:
        self.words = words
        self.closed = False

    def transcribe(self, path: Path) -> str:
        assert path.suffix == ".wav"
        if self.words is None:
            raise CannotTranscribe("it coughs")
        return self.words

    def tidy(self) -> None:
        """It has nothing."""

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("words", ["Call <me> back.", "", None])
async def test_what_a_message_says_is_in_the_mail_the_webhook_and_the_row(
    house: House, store: Store, words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = outbox_of(store)
    stenographer = Stenographer(words)
    house.voicemail.serve(outbox, stenographer)
    message = house.leave_one()
    await told(house)
    kept = house.box().messages[message.id]
    assert kept.transcript == (words or None)
    assert kept.told_at is not None  # whatever it could write down
    mail = letter_of(house.box(), kept, None)
    assert ("\u201cCall <me> back.\u201d" in mail.text) is bool(words)
    assert ("<blockquote>Call &lt;me&gt; back.</blockquote>" in (mail.html or "")) is bool(words)
    assert json.loads(request_of(house.box(), kept).body)["transcript"] == (words or None)
    assert ("it coughs" in caplog.text) is (words is None)
    await house.voicemail.stop()
    assert stenographer.closed
