"""`pbxd recordings`, `pbxd rooms` and `pbxd sound`: what was recorded, conferences, and calls taken in hand."""

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
    account_option,
    ask,
    clock,
    daemon_options,
    find_socket,
    of_account,
    show,
    socket_connection,
    table,
)

DOWNLOAD_TIMEOUT_S = 60.0
SIDES = ("caller", "callee")
ROOM_CHANGES: dict[str, tuple[str, Row]] = {
    "lock": ("let nobody but hosts in", {"locked": True}),
    "unlock": ("let all in again", {"locked": False}),
    "record": ("record it", {"recording": True}),
    "unrecord": ("record it no more", {"recording": False}),
    "mute": ("mute a member, or all but the hosts", {"muted": True}),
    "unmute": ("let them speak", {"muted": False}),
}
MEMBER_CHANGES: dict[str, tuple[str, Row]] = {
    "mute": ROOM_CHANGES["mute"],
    "unmute": ROOM_CHANGES["unmute"],
    "deafen": ("a member hears nobody", {"deaf": True}),
    "undeafen": ("it hears all again", {"deaf": False}),
}
CHANNELS = ("stereo", "mixed", "caller", "callee")


def add_commands(commands: Commands) -> None:
    """Adds them to the command line."""
    daemon = daemon_options()
    _add_recordings(commands, daemon)
    _add_rooms(commands, daemon)
    _add_sound(commands, daemon)


def _add_recordings(commands: Commands, daemon: argparse.ArgumentParser) -> None:
    recordings = commands.add_parser(
        "recordings", parents=[daemon, account_option()], help="list recordings; get or delete one; record a call"
    )
    recordings.set_defaults(action=_list, call=None)
    deeper = recordings.add_subparsers(
        dest="recordings_command", metavar="[list | get | delete | start | pause | resume | stop]"
    )
    listing = deeper.add_parser("list", parents=[daemon, account_option()], help="list recordings, newest first")
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


def _add_rooms(commands: Commands, daemon: argparse.ArgumentParser) -> None:
    """`pbxd rooms VERB ROOM [CALL]`: the whole room, or one of its members."""
    daemon = argparse.ArgumentParser(add_help=False, parents=[daemon, account_option()])
    rooms = commands.add_parser("rooms", parents=[daemon], help="list conferences; show, lock, record, mute, kick, end")
    rooms.set_defaults(action=_rooms)
    deeper = rooms.add_subparsers(dest="rooms_command", metavar=f"[list | show | {' | '.join(ROOM_CHANGES)} | …]")
    deeper.add_parser("list", parents=[daemon], help="list the conferences that somebody is in")
    show_one = deeper.add_parser("show", parents=[daemon], help="who is in one")
    show_one.add_argument("room")
    show_one.set_defaults(action=_room)
    for verb, (text, wish) in ROOM_CHANGES.items():
        one = deeper.add_parser(verb, parents=[daemon], help=text)
        one.add_argument("room")
        one.set_defaults(action=_change_room, wish=wish)
        if verb in MEMBER_CHANGES:
            one.add_argument("call", nargs="?", help="the call of one member; without it all but the hosts")
    for verb, (text, wish) in MEMBER_CHANGES.items():
        if verb not in ROOM_CHANGES:
            one = deeper.add_parser(verb, parents=[daemon], help=text)
            one.add_argument("room")
            one.add_argument("call", help="the call of the member, as `rooms show` has it")
            one.set_defaults(action=_change_room, wish=wish)
    volume = deeper.add_parser("volume", parents=[daemon], help="how loud the others hear a member")
    volume.add_argument("room")
    volume.add_argument("call")
    volume.add_argument("gain_db", type=float, metavar="DB", help="-24 to 12")
    volume.set_defaults(action=_change_room, wish=None)
    for verb, text in (("kick", "remove a member"), ("end", "end it for all"), ("say", "say words to all")):
        one = deeper.add_parser(verb, parents=[daemon], help=text)
        one.add_argument("room")
        one.set_defaults(action=_order_room, verb=verb)
        if verb != "end":
            one.add_argument("what", metavar="CALL" if verb == "kick" else "TEXT")


def _add_sound(commands: Commands, daemon: argparse.ArgumentParser) -> None:
    """`pbxd sound VERB CALL …`."""
    sound = commands.add_parser("sound", parents=[daemon], help="play into a call, mute, hold, listen in")
    deeper = sound.add_subparsers(
        dest="sound_command", required=True, metavar="show | play | stop | mute | unmute | hold | take | listen"
    )
    made = {}
    for verb, text in (
        ("show", "what is done to a call"),
        ("play", "play a prompt, or words with --text"),
        ("stop", "stop what is played"),
        ("mute", "nobody hears a side"),
        ("unmute", "all hear it again"),
        ("hold", "a side hears music, and nobody hears it"),
        ("take", "take it back"),
        ("listen", "call an extension, which then listens in"),
    ):
        made[verb] = one = deeper.add_parser(verb, parents=[daemon], help=text)
        one.add_argument("call", help="the id of the call, as `pbxd calls` shows it")
        one.set_defaults(action=_sound, verb=verb)
    what = made["play"].add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help="words for the house's voice")
    what.add_argument("--prompt", help="a prompt of the library")
    made["play"].add_argument("--to", choices=SIDES, help="one side; default: all")
    made["play"].add_argument("--loop", action="store_true", help="again and again")
    for verb in ("mute", "unmute", "hold", "take"):
        made[verb].add_argument("side", choices=SIDES)
    made["listen"].add_argument("extension")
    made["listen"].add_argument("--mode", choices=("monitor", "whisper", "barge"), default="monitor")
    made["listen"].add_argument("--side", choices=SIDES, default="callee", help="who hears the whisper")


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
    query = of_account(arguments, **({"call": arguments.call} if arguments.call else {}))
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


def _rooms(arguments: argparse.Namespace) -> None:
    columns = (
        Column("ROOM", lambda row: row["name"]),
        Column("MEMBERS", lambda row: len(row["members"])),
        Column("WAITING", lambda row: row["waiting"]),
        Column("LOCKED", lambda row: "yes" if row["locked"] else "no"),
        Column("RECORDING", lambda row: row["recording"] or "-"),
        Column("SINCE", lambda row: clock(row["opened_at"])),
    )
    show(arguments, "conferences", columns, "Nobody is in a conference.", query=of_account(arguments))


def _room(arguments: argparse.Namespace) -> None:
    _show_room(arguments, ask(arguments, "GET", _room_path(arguments)))


def _change_room(arguments: argparse.Namespace) -> None:
    call = getattr(arguments, "call", None)
    member = f"/members/{quote(call, safe='')}" if call else ""
    wish = arguments.wish or {"gain_db": arguments.gain_db}
    _show_room(arguments, ask(arguments, "PATCH", _room_path(arguments, member), wish))


def _order_room(arguments: argparse.Namespace) -> None:
    if arguments.verb == "kick":
        member = f"/members/{quote(arguments.what, safe='')}"
        answer = ask(arguments, "DELETE", _room_path(arguments, member))
    elif arguments.verb == "end":
        answer = ask(arguments, "POST", _room_path(arguments, "/end"))
    else:
        answer = ask(arguments, "POST", _room_path(arguments, "/play"), {"text": arguments.what})
    _say(arguments, answer, f"room {arguments.room}: {'said' if arguments.verb == 'say' else 'done'}")


def _room_path(arguments: argparse.Namespace, what: str = "") -> str:
    return f"/house/v1/conferences/{quote(arguments.room, safe='')}{what}{of_account(arguments)}"


def _show_room(arguments: argparse.Namespace, room: Row) -> None:
    columns = (
        Column("CALL", lambda row: row["call_id"]),
        Column("WHO", lambda row: f"{row['caller']} {row['caller_name']}".strip()),
        Column("HOST", lambda row: "host" if row["host"] else "-"),
        Column("MUTED", lambda row: "muted" if row["muted"] else "-"),
        Column("DEAF", lambda row: "deaf" if row["deaf"] else "-"),
        Column("GAIN", lambda row: f"{row['gain_db']:+.0f} dB"),
        Column("TALKS", lambda row: "talks" if row["talking"] else "-"),
    )
    locked = "locked" if room["locked"] else "open"
    text = f"room {room['name']}: {locked}, {room['waiting']} waiting, recording {room['recording'] or '-'}"
    _say(arguments, room, f"{text}\n{table(columns, room['members'])}")


def _sound(arguments: argparse.Namespace) -> None:
    path = f"/house/v1/calls/{quote(arguments.call, safe='')}"
    verb = arguments.verb
    if verb == "show":
        answer = ask(arguments, "GET", f"{path}/sound")
    elif verb == "play":
        wish = {"text": arguments.text, "prompt": arguments.prompt, "to": arguments.to, "loop": arguments.loop}
        answer = ask(arguments, "POST", f"{path}/play", wish)
    elif verb == "stop":
        answer = ask(arguments, "POST", f"{path}/play/stop", {})
    elif verb == "listen":
        wish = {"extension": arguments.extension, "mode": arguments.mode, "side": arguments.side}
        answer = ask(arguments, "POST", f"{path}/listen", wish)
    else:
        way, name = ("mute", "muted") if verb in ("mute", "unmute") else ("hold", "held")
        answer = ask(arguments, "POST", f"{path}/{way}", {"side": arguments.side, name: verb in ("mute", "hold")})
    _say(arguments, answer, "\n".join(f"{name:<10} {_said(value)}" for name, value in answer.items()))


def _said(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(" ".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value) or "-"
