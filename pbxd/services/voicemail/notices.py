"""Telling the owner that a message is there: a mail, with the sound where it fits, and a request to a webhook.

Both go by the outbox under a key of the message's, so that however often they are handed over, they go out once.
"""

from __future__ import annotations

import html
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pbxd.errors import HouseError, Invalid, TooLarge
from pbxd.outbox import Attachment, Letter, Outbox, Request
from pbxd.services.voicemail.archive import Box
from pbxd.services.voicemail.rules import Message

log = logging.getLogger(__name__)

BASE64 = 1.4  # how much an attachment grows on its way, headers and line ends included


def letter_of(box: Box, message: Message, sound: bytes | None) -> Letter:
    """The mail about a message; `sound` is its WAV file, to be attached."""
    caller = _who(message)
    when = datetime.fromtimestamp(message.received_at, UTC).astimezone()
    moment, length = when.strftime("%Y-%m-%d %H:%M"), _length(message)
    urgent = "Urgent: " if message.urgent else ""
    rows = [("From", caller), ("Mailbox", box.number), ("Received", f"{moment} ({when.tzname()})"), ("Length", length)]
    if message.urgent:
        rows.append(("Urgent", "yes"))
    if message.forwarded_by:
        rows.append(("Forwarded by", message.forwarded_by))
    attached = "The message is attached." if sound is not None else "Listen to it by phone."
    counts = box.counts
    tail = f"{attached} There {'is' if counts.new == 1 else 'are'} {counts.new} new and {counts.old} saved."
    words = [f"\u201c{message.transcript}\u201d", ""] if message.transcript else []
    text = "\n".join([*(f"{name + ':':<14}{value}" for name, value in rows), "", *words, tail, ""])
    table = "".join(f"<tr><th align=left>{html.escape(n)}</th><td>{html.escape(v)}</td></tr>" for n, v in rows)
    quoted = f"<blockquote>{html.escape(message.transcript)}</blockquote>" if message.transcript else ""
    name = f"{when.strftime('%Y%m%d-%H%M%S')}-{box.number}.wav".replace("*", "").replace("#", "")
    return Letter(
        to=box.rules.mail or "",
        subject=_line(f"{urgent}Voicemail from {caller} for {box.number} ({length})"),
        text=text,
        html=f"<html><body><table cellspacing=4>{table}</table>{quoted}<p>{html.escape(tail)}</p></body></html>",
        attachments=(Attachment(name, "audio/wav", sound),) if sound is not None else (),
    )


def request_of(box: Box, message: Message) -> Request:
    """What a webhook is told."""
    counts = box.counts
    said = {
        "event": "voicemail.received",
        "id": message.id,
        "mailbox": box.number,
        "caller": message.caller,
        "caller_name": message.caller_name,
        "call_id": message.call_id,
        "received_at": datetime.fromtimestamp(message.received_at, UTC).isoformat(),
        "seconds": message.seconds,
        "urgent": message.urgent,
        "forwarded_by": message.forwarded_by,
        "transcript": message.transcript,
        "new": counts.new,
        "saved": counts.old,
    }
    headers = {"Content-Type": "application/json"}
    return Request(box.rules.webhook or "", json.dumps(said).encode(), headers=headers)


async def tell(outbox: Outbox, box: Box, message: Message, sound: bytes | None) -> bool:
    """Hands over what is due for a message. False: not now, and it is worth another try."""
    told = True
    if box.rules.mail is not None:
        told = await _mail(outbox, box, message, sound)
    if box.rules.webhook is not None:
        try:
            await outbox.put_request(message.account_id, request_of(box, message), f"voicemail-hook-{message.id}")
        except Invalid as error:
            log.error("the webhook of the mailbox %s cannot be used: %s", box.number, error.message)
        except HouseError as error:
            log.warning("the webhook of the mailbox %s cannot be told now: %s", box.number, error.message)
            told = False
    return told


async def _mail(outbox: Outbox, box: Box, message: Message, sound: bytes | None) -> bool:
    if outbox.mail is None:
        log.warning("no mail about the message %s: no mail server is configured (mail.server)", message.id)
        return True
    if sound is not None and len(sound) * BASE64 > outbox.rules.max_bytes:
        sound = None
    letter, key = letter_of(box, message, sound), f"voicemail-mail-{message.id}"
    summary = f"voicemail for {box.number}"
    try:
        await outbox.put_letter(message.account_id, letter, key, summary)
    except TooLarge:
        await outbox.put_letter(message.account_id, replace(letter, attachments=()), key, summary)
    except Invalid as error:
        log.error("the mail about the message %s cannot be written: %s", message.id, error.message)
    except HouseError as error:
        log.warning("the mail about the message %s cannot be sent now: %s", message.id, error.message)
        return False
    return True


def read_sound(path: Path) -> bytes | None:
    """A message's file; None where it cannot be read. May block."""
    try:
        return path.read_bytes()
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror or error)
        return None


def _who(message: Message) -> str:
    number = message.caller or "unknown"
    return _line(f"{message.caller_name} <{number}>" if message.caller_name else number)


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)[:200]


def _length(message: Message) -> str:
    minutes, seconds = divmod(round(message.seconds or 0.0), 60)
    return f"{minutes}:{seconds:02d}"
