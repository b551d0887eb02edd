"""What must arrive: mail over SMTP and requests over HTTP, kept until they arrived or the last try failed.

item      what is kept, and the states it goes through     keeper    who keeps it (a Protocol; the store fills it)
letter    a mail as bytes, safe headers                    request   an HTTP request, safe headers
verdict   what an answer of the far side means             schedule  who is tried when: pure, `now` is an argument
smtp  web the two that touch the network                   outbox    the thin shell around all of it
"""

from pbxd.outbox.item import Item, Kind, Parcel, State
from pbxd.outbox.keeper import Keeper, KeeperError
from pbxd.outbox.letter import Attachment, Letter, compose_test
from pbxd.outbox.outbox import Outbox, Refusal
from pbxd.outbox.request import Request
from pbxd.outbox.schedule import Rules
from pbxd.outbox.smtp import MailServer, Security, SmtpSender
from pbxd.outbox.web import WebSender

__all__ = [
    "Attachment",
    "Item",
    "Keeper",
    "KeeperError",
    "Kind",
    "Letter",
    "MailServer",
    "Outbox",
    "Parcel",
    "Refusal",
    "Request",
    "Rules",
    "Security",
    "SmtpSender",
    "State",
    "WebSender",
    "compose_test",
]
