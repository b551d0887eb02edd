"""Commands for who may speak to the house: `bans`, `ban`, `unban`, `allow`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from pbxd.cli import Column, Commands, ask, daemon_options, table

_DURATION = re.compile(r"([0-9]{1,9})([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EVER = "ever"
BANS, ALLOWED = "/house/v1/security/bans", "/house/v1/security/allowed"

Row = dict[str, Any]


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    bans = commands.add_parser("bans", parents=[daemon], help="list bans, and who is on the slower road")
    bans.set_defaults(action=_list_bans)
    bans.add_argument("network", nargs="?", metavar="IP|CIDR", help="only those that it lies in")
    bans.add_argument("--state", choices=("active", "ended", "all"), default="active", help="default: active")

    ban = commands.add_parser("ban", parents=[daemon], help="ban an address or a network")
    ban.add_argument("network", metavar="IP|CIDR")
    ban.add_argument(
        "--for", dest="duration", type=duration, default=3600.0, metavar="TIME", help="30m, 12h, 7d, ever; default: 1h"
    )
    ban.add_argument("--reason", default="", metavar="TEXT", help="why, for the list and the log")
    ban.set_defaults(action=_ban)

    unban = commands.add_parser("unban", parents=[daemon], help="lift the ban of an address or a network")
    unban.add_argument("network", metavar="IP|CIDR|ID")
    unban.set_defaults(action=_unban)

    allow = commands.add_parser("allow", parents=[daemon], help="never ban a network; `allow list`, `allow remove`")
    allow.set_defaults(action=_list_allowed)
    deeper = allow.add_subparsers(dest="allow_command", metavar="[list | add | remove]")
    deeper.add_parser("list", parents=[daemon], help="list the networks that are never banned")
    add = deeper.add_parser("add", parents=[daemon], help="never ban this one; bans inside it end")
    add.add_argument("network", metavar="IP|CIDR")
    add.add_argument("--note", default="", metavar="TEXT", help="whose it is")
    add.set_defaults(action=_allow)
    remove = deeper.add_parser("remove", parents=[daemon], help="take one off the list")
    remove.add_argument("network", metavar="IP|CIDR")
    remove.set_defaults(action=_disallow)


def duration(text: str) -> float | None:
    """`90`, `30m`, `12h`, `7d`, `2w` in seconds; None for `ever`."""
    if text == EVER:
        return None
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text} is no time: write 90, 30m, 12h, 7d, 2w or {EVER}")
    return float(match[1]) * _SECONDS[match[2]]


def _list_bans(arguments: argparse.Namespace) -> None:
    query = {"state": arguments.state} | ({"network": arguments.network} if arguments.network else {})
    bans = _all_bans(arguments, query)
    slower = ask(arguments, "GET", "/house/v1/security/slowed")
    if arguments.json:
        print(json.dumps({"bans": bans, **slower}))
        return
    columns = [
        Column("NETWORK", lambda row: row["network"]),
        Column("SINCE", lambda row: _clock(row["since"])),
        Column("UNTIL", lambda row: _clock(row["ended_at"] or row["until"], EVER)),
        Column("HITS", lambda row: row["hits"]),
        Column("TIMES", lambda row: row["offence"]),
        Column("BY", lambda row: row["made_by"]),
        Column("REASON", lambda row: row["reason"]),
        Column("EVIDENCE", lambda row: row["evidence"] or "-"),
    ]
    if arguments.state != "active":
        columns.insert(3, Column("ENDED BY", lambda row: row["ended_by"] or "-"))
    print(table(columns, bans) if bans else "Nobody is banned.")
    _show_slower(slower)


def _all_bans(arguments: argparse.Namespace, query: Row) -> list[Row]:
    bans: list[Row] = []
    cursor = None
    while True:
        answer = ask(arguments, "GET", f"{BANS}?{urlencode(query | ({'cursor': cursor} if cursor else {}))}")
        bans += answer["bans"]
        cursor = answer["next"]
        if cursor is None:
            return bans


def _show_slower(slower: Row) -> None:
    _show_below(
        "Slowed:",
        slower["slowed"],
        (
            Column("NETWORK", lambda row: row["network"]),
            Column("UNTIL", lambda row: _clock(row["until"])),
            Column("EVIDENCE", lambda row: row["evidence"]),
        ),
    )
    _show_below(
        "Phones with a wrong password, refused until it is right:",
        slower["misconfigured"],
        (
            Column("SOURCE", lambda row: row["source"]),
            Column("USERNAME", lambda row: row["username"]),
            Column("FAILURES", lambda row: row["failures"]),
            Column("LAST", lambda row: _clock(row["last"])),
        ),
    )


def _show_below(heading: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    if rows:
        print(f"\n{heading}\n{table(columns, rows)}")


def _ban(arguments: argparse.Namespace) -> None:
    wish = {"network": arguments.network, "duration_s": arguments.duration, "reason": arguments.reason}
    ban = ask(arguments, "POST", BANS, wish)
    _say(arguments, ban, f"{ban['network']} is banned until {_clock(ban['until'], 'somebody lifts it')}.")


def _unban(arguments: argparse.Namespace) -> None:
    ban = ask(arguments, "POST", "/house/v1/security/unban", {"network": arguments.network})
    _say(arguments, ban, f"{ban['network']} is no longer banned; {ban['hits']} were kept out.")


def _list_allowed(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", ALLOWED)
    columns = (
        Column("NETWORK", lambda row: row["network"]),
        Column("SINCE", lambda row: _clock(row["since"], "-")),
        Column("BY", lambda row: row["made_by"]),
        Column("NOTE", lambda row: row["note"] or "-"),
    )
    rows = answer["allowed"]
    _say(arguments, answer, table(columns, rows) if rows else "No network is on the list; trunks are never banned.")


def _allow(arguments: argparse.Namespace) -> None:
    entry = ask(arguments, "POST", ALLOWED, {"network": arguments.network, "note": arguments.note})
    _say(arguments, entry, f"{entry['network']} is never banned.")


def _disallow(arguments: argparse.Namespace) -> None:
    entry = ask(arguments, "DELETE", f"{ALLOWED}?{urlencode({'network': arguments.network})}")
    _say(arguments, entry, f"{entry['network']} is off the list.")


def _say(arguments: argparse.Namespace, answer: Row, sentence: str) -> None:
    print(json.dumps(answer) if arguments.json else sentence)


def _clock(moment: str | None, otherwise: str = "-") -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else otherwise
