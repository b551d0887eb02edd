"""A mail as bytes (RFC 5322). No value given by anybody can add a header or a recipient."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from pbxd.errors import Invalid

MAX_SUBJECT = 512
_ADDRESS = re.compile(
    r"(?=.{3,254}$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,63}")
_SEVEN_BITS = SMTP.clone(cte_type="7bit")  # not every server takes more (RFC 6152)
_NOT_ATTACHED = ("message/", "multipart/")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels along. `media_type` is lower case, such as `audio/wav`."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one person. To several go several, so that one refusal neither stops nor repeats the others."""

    to: str
    subject: str
    text: str
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()


def check_address(text: str) -> str:
    """`text`, if it is a mailbox of plain letters (RFC 5321 §4.1.2, without quoting). Raises Invalid."""
    if not _ADDRESS.fullmatch(text) or len(text.partition("@")[0]) > 64:
        raise Invalid("this is not a mail address like name@example.com")
    return text


def _line(text: str, what: str, limit: int) -> str:
    if len(text) > limit or _CONTROL.search(text):
        raise Invalid(f"{what} is one line of at most {limit} signs")
    return text


def compose(letter: Letter, sender: str, message_id: str, wall: float) -> bytes:
    """The message with CRLF line ends. Raises Invalid where a value has no place in a header.

    The Message-ID is the item's and the same on every try: a far side that got it twice can tell.
    """
    message = EmailMessage(policy=_SEVEN_BITS)
    message["From"] = Address(display_name="pbxd", addr_spec=check_address(sender))
    message["To"] = Address(addr_spec=check_address(letter.to))
    message["Subject"] = _line(letter.subject, "a subject", MAX_SUBJECT)
    message["Date"] = format_datetime(datetime.fromtimestamp(int(wall), UTC))
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no absence notes, please
    try:
        message.set_content(letter.text)
        if letter.html is not None:
            message.add_alternative(letter.html, subtype="html")
    except UnicodeEncodeError:
        raise Invalid("the text holds signs that are no characters") from None
    for attachment in letter.attachments:
        if not _MEDIA_TYPE.fullmatch(attachment.media_type) or attachment.media_type.startswith(_NOT_ATTACHED):
            raise Invalid("an attachment's media type is written audio/wav")
        kind, _, subtype = attachment.media_type.partition("/")
        name = _line(attachment.name, "a file name", 128)
        message.add_attachment(attachment.content, maintype=kind, subtype=subtype, filename=name)
    return message.as_bytes()


def compose_test(to: str, sender: str, message_id: str, wall: float) -> bytes:
    """A mail that proves the settings. Raises Invalid for an address that is none."""
    letter = Letter(to, "pbxd: test of the mail settings", "The mail settings of pbxd work.\n")
    return compose(letter, sender, message_id, wall)


def mail_address(to: str) -> str:
    """The address of a parcel that is a mail."""
    return json.dumps({"to": to})


def read_mail_address(address: str) -> str:
    """To whom a parcel goes."""
    return str(json.loads(address)["to"])
