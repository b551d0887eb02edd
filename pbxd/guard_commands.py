"""`pbxd cac` and `pbxd fraud`: how many calls there are of how many there may be, and who may not call abroad."""

from __future__ import annotations

import argparse
import json
from urllib.parse import quote, urlencode

from pbxd.cli import Column, Commands, Row, ask, clock, daemon_options, show, table

ACCOUNTS = "/house/v1/accounts"
BLOCKS = "/house/v1/security/fraud"
USAGE = "/cac"


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    cac = commands.add_parser("cac", parents=[daemon], help="count the calls of accounts against their limits")
    cac.add_argument("account", nargs="?", help="its id or short name; default: all accounts")
    cac.add_argument(
        "--reset", action="store_true", help="give back what is counted of calls that are not up; rates begin anew"
    )
    cac.set_defaults(action=_usage)

    fraud = commands.add_parser("fraud", parents=[daemon], help="list who is blocked from calls abroad; release one")
    fraud.set_defaults(action=_blocks, account=None, state="active")
    deeper = fraud.add_subparsers(dest="fraud_command", metavar="[list | release]")
    listing = deeper.add_parser("list", parents=[daemon], help="list who is blocked, and why")
    for parser in (fraud, listing):
        parser.add_argument("--account", default=argparse.SUPPRESS, help="only those of this account")
        parser.add_argument(
            "--state", choices=("active", "ended", "all"), default=argparse.SUPPRESS, help="default: active"
        )
    release = deeper.add_parser("release", parents=[daemon], help="let somebody call abroad again")
    release.add_argument("id", metavar="BLOCK", help="as `pbxd fraud` shows it")
    release.set_defaults(action=_release)


# ---- counters


def _usage(arguments: argparse.Namespace) -> None:
    accounts = _accounts(arguments)
    answers = [_reset(arguments, one) if arguments.reset else _usage_of(arguments, one) for one in accounts]
    if arguments.json:
        print(json.dumps({"accounts": answers}))
        return
    names = {str(row["id"]): str(row["slug"]) for row in ask(arguments, "GET", ACCOUNTS)["accounts"]}
    print("\n\n".join(_described(answer, names.get(answer["accountId"], "")) for answer in answers))


def _accounts(arguments: argparse.Namespace) -> list[str]:
    if arguments.account is not None:
        return [arguments.account]
    return [row["id"] for row in ask(arguments, "GET", ACCOUNTS)["accounts"]]


def _usage_of(arguments: argparse.Namespace, account: str) -> Row:
    answer: Row = ask(arguments, "GET", f"{USAGE}?{urlencode({'accountId': account})}")
    return answer


def _reset(arguments: argparse.Namespace, account: str) -> Row:
    answer: Row = ask(arguments, "POST", f"{USAGE}/reset", {"accountId": account})
    return answer


def _described(answer: Row, name: str) -> str:
    columns = (
        Column("WHOSE", lambda row: "account" if row["scope"] == "account" else f"{row['scope']} {row['id']}"),
        Column("DIRECTION", lambda row: row["direction"]),
        Column("COUNTED", lambda row: f"in {row['periodS']} s" if row["periodS"] else "at a time"),
        Column("NOW", lambda row: row["current"]),
        Column("LIMIT", _limit),
        Column("NAME", lambda row: row["name"] or "-"),
    )
    count = len(answer["calls"])
    lines = [f"account {name}: {count} {'call' if count == 1 else 'calls'} up", table(columns, answer["counters"])]
    if "released" in answer:
        lines.insert(1, f"given back: {answer['released']}")
    return "\n".join(lines)


def _limit(row: Row) -> str:
    if row["limit"] is None:
        return "-"
    return f"{row['limit']}{'' if row['hard'] else ' (soft)'}"


# ---- toll fraud


def _blocks(arguments: argparse.Namespace) -> None:
    columns = [
        Column("BLOCK", lambda row: row["id"]),
        Column("CALLER", lambda row: row["caller"]),
        Column("ACCOUNT", lambda row: row["account"]),
        Column("SINCE", lambda row: clock(row["since"])),
        Column("UNTIL", lambda row: clock(row["ended_at"] or row["until"])),
        Column("REFUSED", lambda row: row["refused"]),
        Column("PATTERN", lambda row: row["pattern"]),
        Column("WHY", lambda row: row["evidence"]),
    ]
    if arguments.state != "active":
        columns.insert(5, Column("ENDED BY", lambda row: row["ended_by"] or "-"))
    query = {"state": arguments.state} | ({"account": arguments.account} if arguments.account else {})
    show(arguments, "security/fraud", columns, "Nobody is blocked.", query=f"?{urlencode(query)}", rows="blocks")


def _release(arguments: argparse.Namespace) -> None:
    block = ask(arguments, "DELETE", f"{BLOCKS}/{quote(arguments.id, safe='')}")
    text = f"{block['caller']} may call abroad again; {block['refused']} calls were refused."
    print(json.dumps(block) if arguments.json else text)
