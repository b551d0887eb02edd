"""Commands for voicemail: `voicemail`, `voicemail show`, `voicemail pin` and so on."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import datetime
from urllib.parse import quote

from pbxd.cli import Column, CommandError, Commands, Exit, ask, daemon_options, table

VOICEMAIL = "/house/v1/voicemail"


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    voicemail = commands.add_parser(
        "voicemail", parents=[daemon], help="list mailboxes; show, save, delete, restore, purge; pin"
    )
    voicemail.set_defaults(action=_list)
    deeper = voicemail.add_subparsers(
        dest="voicemail_command", metavar="[list | show | save | delete | restore | purge | pin]"
    )
    deeper.add_parser("list", parents=[daemon], help="list the mailboxes")
    show = deeper.add_parser("show", parents=[daemon], help="list the messages of a mailbox")
    show.add_argument("number")
    show.set_defaults(action=_show)
    for name, text, wish in (
        ("save", "a message was heard", {"folder": "saved"}),
        ("delete", "delete a message; it can be had back for a while", {"folder": "deleted"}),
        ("restore", "have a deleted message back", {"folder": "saved"}),
        ("purge", "remove a message for good", None),
    ):
        one = deeper.add_parser(name, parents=[daemon], help=text)
        one.add_argument("number")
        one.add_argument("id")
        one.set_defaults(action=_change, wish=wish)
    pin = deeper.add_parser("pin", parents=[daemon], help="give a mailbox another PIN, and unlock it")
    pin.add_argument("number")
    pin.set_defaults(action=_pin)


def _list(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", VOICEMAIL)
    if arguments.json:
        print(json.dumps(answer))
        return
    columns = (
        Column("MAILBOX", lambda row: row["number"]),
        Column("NEW", lambda row: row["new"]),
        Column("SAVED", lambda row: row["saved"]),
        Column("DELETED", lambda row: row["deleted"]),
        Column("SECONDS", lambda row: f"{row['seconds']:.0f}"),
        Column("GREETINGS", lambda row: ", ".join(row["greetings"]) or "-"),
        Column("STATE", lambda row: "locked" if row["locked_until"] else "full" if row["full"] else "-"),
    )
    print(table(columns, answer["mailboxes"]) if answer["mailboxes"] else "There are no mailboxes.")


def _show(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", f"{VOICEMAIL}/{quote(arguments.number, safe='')}/messages")
    if arguments.json:
        print(json.dumps(answer))
        return
    columns = (
        Column("MESSAGE", lambda row: row["id"]),
        Column("FOLDER", lambda row: row["folder"]),
        Column("FROM", lambda row: row["caller"] or "-"),
        Column("RECEIVED", lambda row: _clock(row["received_at"])),
        Column("SECONDS", lambda row: f"{row['seconds']:.0f}"),
        Column("URGENT", lambda row: "yes" if row["urgent"] else "-"),
    )
    print(table(columns, answer["messages"]) if answer["messages"] else "There are no messages.")


def _change(arguments: argparse.Namespace) -> None:
    path = f"{VOICEMAIL}/{quote(arguments.number, safe='')}/messages/{quote(arguments.id, safe='')}"
    message = (
        ask(arguments, "DELETE", path) if arguments.wish is None else ask(arguments, "PATCH", path, arguments.wish)
    )
    if arguments.json:
        print(json.dumps(message))
    else:
        print(f"{message['id']}: {'removed' if arguments.wish is None else message['folder']}")


def _pin(arguments: argparse.Namespace) -> None:
    """The PIN comes from the terminal or from stdin: an argument would be seen by all users of the machine."""
    pin = getpass.getpass("New PIN: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not pin:
        raise CommandError("no PIN was given", Exit.MISTAKE)
    box = ask(arguments, "POST", f"{VOICEMAIL}/{quote(arguments.number, safe='')}/pin", {"pin": pin})
    print(json.dumps(box) if arguments.json else f"The mailbox {box['number']} has a new PIN.")


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
