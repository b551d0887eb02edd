"""`pbxd recordings`: what was recorded, and recording a call that is up."""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
from pathlib import Path
from urllib.parse import quote

from pbxd.cli import (
    Column,
    CommandError,
    Commands,
    Exit,
    Row,
    ask,
    clock,
    daemon_options,
    find_socket,
    show,
    socket_connection,
)

DOWNLOAD_TIMEOUT_S = 60.0
CHANNELS = ("stereo", "mixed", "caller", "callee")


def add_commands(commands: Commands) -> None:
    """Adds them to the command line."""
    daemon = daemon_options()
    recordings = commands.add_parser(
        "recordings", parents=[daemon], help="list recordings; get or delete one; record a call"
    )
    recordings.set_defaults(action=_list, call=None)
    deeper = recordings.add_subparsers(
        dest="recordings_command", metavar="[list | get | delete | start | pause | resume | stop]"
    )
    listing = deeper.add_parser("list", parents=[daemon], help="list recordings, newest first")
    for parser in (recordings, listing):
        parser.add_argument("--call", default=argparse.SUPPRESS, help="only those of this call")
    get = deeper.add_parser("get", parents=[daemon], help="fetch the file of one")
    get.add_argument("id")
    get.add_argument("-o", "--output", type=Path, default=None, metavar="FILE", help="default: its own name, here")
    get.set_defaults(action=_get)
    delete = deeper.add_parser("delete", parents=[daemon], help="delete one for good")
    delete.add_argument("id")
    delete.set_defaults(action=_delete)
    for verb, text in (
        ("start", "record a call from now on"),
        ("pause", "write nothing of what is said until it goes on"),
        ("resume", "let it go on"),
        ("stop", "record the call no more"),
    ):
        one = deeper.add_parser(verb, parents=[daemon], help=text)
        one.add_argument("call", help="the id of the call, as `pbxd calls` shows it")
        one.set_defaults(action=_order, verb=verb)
        if verb == "start":
            one.add_argument("--channels", choices=CHANNELS, help="default: what the configuration says")
            one.add_argument("--format", choices=("wav", "opus"), help="default: what the configuration says")
            one.add_argument("--announce", choices=("none", "beep", "prompt"), help="likewise")


def _list(arguments: argparse.Namespace) -> None:
    columns = (
        Column("RECORDING", lambda row: row["id"]),
        Column("OF", lambda row: row["call_id"] or f"conference {row['room']}"),
        Column("STATE", lambda row: row["state"]),
        Column("STARTED", lambda row: clock(row["started_at"])),
        Column("SECONDS", lambda row: f"{row['seconds']:.0f}"),
        Column("FORMAT", lambda row: f"{row['channels']} {row['format']}"),
        Column("REASON", lambda row: row["reason"] or "-"),
    )
    query = f"?call={quote(arguments.call, safe='')}" if arguments.call else ""
    show(arguments, "recordings", columns, "Nothing is recorded.", query=query)


def _order(arguments: argparse.Namespace) -> None:
    path = f"/house/v1/calls/{quote(arguments.call, safe='')}/recording"
    if arguments.verb == "start":
        wish = {name: getattr(arguments, name) for name in ("channels", "format", "announce")}
        recording = ask(arguments, "POST", path, wish)
    else:
        recording = ask(arguments, "POST", f"{path}/{arguments.verb}")
    _say(arguments, recording, f"{recording['id']}: {recording['state']}")


def _delete(arguments: argparse.Namespace) -> None:
    ask(arguments, "DELETE", f"/house/v1/recordings/{quote(arguments.id, safe='')}")
    _say(arguments, None, f"{arguments.id} is deleted")


def _get(arguments: argparse.Namespace) -> None:
    place = find_socket(arguments)
    connection = socket_connection(place, DOWNLOAD_TIMEOUT_S)
    try:
        connection.request("GET", f"/house/v1/recordings/{quote(arguments.id, safe='')}/audio")
        response = connection.getresponse()
        if response.status >= 400:
            raise CommandError(json.loads(response.read())["error"]["message"], Exit.REFUSED)
        target = arguments.output or Path(_name_in(response, arguments.id))
        with target.open("xb") as file:
            shutil.copyfileobj(response, file)
    except FileExistsError as error:
        raise CommandError(f"{error.filename} is there already", Exit.REFUSED) from None
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the recording cannot be fetched: {error}", Exit.REFUSED) from None
    finally:
        connection.close()
    _say(arguments, {"file": str(target)}, str(target))


def _name_in(response: http.client.HTTPResponse, otherwise: str) -> str:
    """The file's own name, never a path."""
    said = (response.headers.get("Content-Disposition") or "").partition('filename="')[2].rstrip('"')
    return Path(said).name or otherwise


def _say(arguments: argparse.Namespace, answer: Row | None, text: str) -> None:
    print(json.dumps(answer) if arguments.json else text)
