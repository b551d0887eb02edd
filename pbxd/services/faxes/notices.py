"""Telling people how a fax ended and that one came in: mail with the PDF, and webhooks, each once by its key."""

from __future__ import annotations

import html
import json
import logging
from datetime import UTC, datetime

from pbxd.errors import HouseError, Invalid, TooLarge
from pbxd.outbox import Attachment, Letter, Outbox, Request
from pbxd.services.faxes.job import FaxJob, JobState
from pbxd.services.faxes.received import ReceivedFax

log = logging.getLogger(__name__)

BASE64 = 1.4  # how much an attachment grows on its way

Facts = list[tuple[str, str]]


def of_job(job: FaxJob) -> dict[str, object]:
    """What a webhook is told of a fax that was sent."""
    return {
        "event": "fax.ended",
        "id": job.id,
        "to": job.to,
        "status": job.state.value,
        "pages": job.pages,
        "pages_confirmed": job.confirmed,
        "tries": job.tries,
        "speed": job.speed,
        "ecm": job.ecm,
        "transport": job.transport,
        "remote_ident": job.remote_ident,
        "duration_s": round(job.duration_s, 1),
        "reason": job.reason.value if job.reason else None,
        "error": job.error,
        "backend": job.backend,
        "ended_at": _moment(job.updated_at),
    }


def of_received(fax: ReceivedFax) -> dict[str, object]:
    """What a webhook is told of a fax that came in."""
    return {
        "event": "fax.received",
        "id": fax.id,
        "from": fax.caller,
        "to": fax.called,
        "mailbox": fax.box,
        "status": fax.state.value,
        "pages": fax.pages,
        "size_bytes": fax.octets,
        "sha256": fax.sha256,
        "remote_ident": fax.remote_ident,
        "reason": fax.reason or None,
        "received_at": _moment(fax.received_at),
    }


def letter_of_job(to: str, job: FaxJob) -> Letter:
    well = job.state is JobState.SUCCESS
    facts: Facts = [("To", job.to), ("Result", "sent" if well else "not sent"), ("Tries", str(job.tries))]
    facts.append(("Pages", f"{job.confirmed} of {job.pages} confirmed"))
    if job.remote_ident:
        facts.append(("Far side", job.remote_ident))
    if job.error:
        facts.append(("Reason", job.error))
    subject = f"Fax to {job.to} {'sent' if well else 'failed'} ({job.confirmed} of {job.pages} pages)"
    return _letter(to, subject, facts)


def letter_of_received(to: str, fax: ReceivedFax, pdf: bytes | None) -> Letter:
    facts: Facts = [("From", fax.caller or "unknown"), ("To", fax.called), ("Box", fax.box), ("Pages", str(fax.pages))]
    if fax.remote_ident:
        facts.append(("Far side", fax.remote_ident))
    if fax.reason:
        facts.append(("Ended", fax.reason))
    attached = (Attachment(f"fax-{fax.id}.pdf", "application/pdf", pdf),) if pdf is not None else ()
    return _letter(to, f"Fax from {fax.caller or 'unknown'} ({fax.pages} pages)", facts, attached)


async def mail(outbox: Outbox, account_id: str, letter: Letter, key: str, summary: str) -> bool:
    """Hands a mail over; False where that is worth another try. One that is too large goes without its pages."""
    if outbox.mail is None:
        log.warning("no mail about a fax: no mail server is configured (mail.server)")
        return True
    if sum(len(one.content) for one in letter.attachments) * BASE64 > outbox.rules.max_bytes:
        letter = _bare(letter)
    try:
        await outbox.put_letter(account_id, letter, key, summary)
    except TooLarge:
        await outbox.put_letter(account_id, _bare(letter), key, summary)
    except Invalid as error:
        log.error("a mail about a fax cannot be written: %s", error.message)
    except HouseError as error:
        log.warning("a mail about a fax cannot be sent now: %s", error.message)
        return False
    return True


async def hook(outbox: Outbox, account_id: str, url: str, said: dict[str, object], key: str) -> bool:
    """Hands a request over; False where that is worth another try."""
    request = Request(url, json.dumps(said).encode(), headers={"Content-Type": "application/json"})
    try:
        await outbox.put_request(account_id, request, key, str(said["event"]))
    except Invalid as error:
        log.error("the webhook of faxes cannot be used: %s", error.message)
    except HouseError as error:
        log.warning("the webhook of faxes cannot be told now: %s", error.message)
        return False
    return True


def _letter(to: str, subject: str, facts: Facts, attached: tuple[Attachment, ...] = ()) -> Letter:
    facts = [(name, _line(value)) for name, value in facts]
    table = "".join(f"<tr><th align=left>{html.escape(n)}</th><td>{html.escape(v)}</td></tr>" for n, v in facts)
    return Letter(
        to=to,
        subject=_line(subject),
        text="\n".join([*(f"{name + ':':<12}{value}" for name, value in facts), ""]),
        html=f"<html><body><table cellspacing=4>{table}</table></body></html>",
        attachments=attached,
    )


def _bare(letter: Letter) -> Letter:
    return Letter(letter.to, letter.subject, letter.text, letter.html)


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)[:200]


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat()
