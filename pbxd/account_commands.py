"""`pbxd account …`: list the accounts, write one out as a file, read such a file in."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

from pbxd.cli import Column, CommandError, Commands, Exit, Row, ask, daemon_options, read_text, table

ACCOUNTS = "/house/v1/accounts"


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    account = commands.add_parser("account", parents=[daemon], help="list accounts; export, import")
    account.set_defaults(action=_list)
    deeper = account.add_subparsers(dest="account_command", metavar="[list | export | import]")
    deeper.add_parser("list", parents=[daemon], help="list the accounts").set_defaults(action=_list)
    export = deeper.add_parser("export", parents=[daemon], help="write an account out as one file")
    export.add_argument("account", help="its id or short name")
    export.add_argument("file", type=Path, metavar="FILE", help="- is the standard output")
    export.set_defaults(action=_export)
    importing = deeper.add_parser("import", parents=[daemon], help="make the account of such a file")
    importing.add_argument("file", type=Path, metavar="FILE", help="- is the standard input")
    importing.add_argument("--as", dest="slug", metavar="NAME", help="another short name than the file's")
    importing.set_defaults(action=_import)


def _list(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", ACCOUNTS)
    if arguments.json:
        print(json.dumps(answer))
        return
    columns = (
        Column("ACCOUNT", lambda row: row["slug"]),
        Column("NAME", lambda row: row["name"]),
        Column("REALM", lambda row: row["realm"]),
        Column("DOMAINS", lambda row: ", ".join(row["domains"]) or "-"),
        Column("KIND", _kind),
        Column("ID", lambda row: row["id"]),
    )
    print(table(columns, answer["accounts"]))


def _kind(row: Row) -> str:
    if row["default"]:
        return "default"
    return "declared" if row["declared"] else "made"


def _export(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", f"{ACCOUNTS}/{quote(arguments.account, safe='')}/export")
    text = json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
    if str(arguments.file) == "-":
        sys.stdout.write(text)
        return
    try:
        descriptor = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
    except OSError as error:
        raise CommandError(f"{arguments.file} cannot be written: {error.strerror or error}", Exit.REFUSED) from None
    if arguments.json:
        print(json.dumps({"file": str(arguments.file), "account": answer["account"]["slug"]}))
    else:
        print(f"{arguments.file}: the account {answer['account']['slug']}. It logs phones in: keep it like passwords.")


def _import(arguments: argparse.Namespace) -> None:
    text = read_text(arguments.file)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(f"{arguments.file} is not JSON: {error}", Exit.MISTAKE) from None
    if arguments.slug and isinstance(document, dict) and isinstance(document.get("account"), dict):
        document["account"]["slug"] = arguments.slug
    made = ask(arguments, "POST", f"{ACCOUNTS}/import", document)
    print(json.dumps(made) if arguments.json else f"The account {made['slug']} is there ({made['id']}).")
