"""`pbxd flow …` that speak to the daemon: what is live, reading the files again, versions, going back."""

from __future__ import annotations

import argparse
import json
import sys
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
    of_account,
    read_text,
    table,
)

FLOWS = "/house/v1/flows"
OVERRIDES = "/house/v1/schedules"


def add_commands(flow: Commands) -> None:
    """Add them to those of `flow`."""
    daemon = argparse.ArgumentParser(add_help=False, parents=[daemon_options(), account_option()])
    one = flow.add_parser("list", parents=[daemon], help="list the flows that are live, and what is wrong with files")
    one.set_defaults(action=_list)
    one = flow.add_parser("reload", parents=[daemon], help="read the files again, now")
    one.set_defaults(action=_reload)
    one = flow.add_parser("put", parents=[daemon], help="check a file and make it the flow of that name")
    one.add_argument("name")
    one.add_argument("file", type=Path, metavar="FILE", help="- is the standard input")
    one.set_defaults(action=_put)
    one = flow.add_parser("versions", parents=[daemon], help="list the versions of a flow")
    one.add_argument("name")
    one.set_defaults(action=_versions)
    one = flow.add_parser("diff", parents=[daemon], help="what a version and the live flow differ in")
    one.add_argument("name")
    one.add_argument("old", metavar="VERSION")
    one.add_argument("new", nargs="?", default="live", metavar="VERSION", help="default: live")
    one.set_defaults(action=_diff)
    one = flow.add_parser("rollback", parents=[daemon], help="make an earlier version live again")
    one.add_argument("name")
    one.add_argument("version", metavar="VERSION")
    one.set_defaults(action=_rollback)
    one = flow.add_parser("hours", parents=[daemon], help="open or close a schedule by hand")
    one.add_argument("schedule", nargs="?", help="default: list those that are overridden")
    one.add_argument("opening", nargs="?", choices=("open", "closed", "holiday", "auto"))
    one.add_argument("--for", dest="hours", type=float, metavar="HOURS", help="default: until it is taken back")
    one.set_defaults(action=_hours)


def _list(arguments: argparse.Namespace) -> None:
    _show(arguments, ask(arguments, "GET", FLOWS + of_account(arguments)))


def _reload(arguments: argparse.Namespace) -> None:
    _show(arguments, ask(arguments, "POST", f"{FLOWS}/reload{of_account(arguments)}"))


def _put(arguments: argparse.Namespace) -> None:
    _show(arguments, ask(arguments, "PUT", _path(arguments), {"text": read_text(arguments.file)}))


def _versions(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", _path(arguments, "/versions"))
    if arguments.json:
        print(json.dumps(answer))
        return
    columns = [
        Column("VERSION", lambda row: row["id"]),
        Column("SINCE", lambda row: clock(row["created_at"])),
        Column("BY", lambda row: row["made_by"]),
        Column("", lambda row: "live" if row["live"] else ""),
    ]
    print(table(columns, answer["versions"]))


def _diff(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", _path(arguments, "/diff", old=arguments.old, new=arguments.new))
    print(json.dumps(answer) if arguments.json else answer["diff"] or "They are the same.")


def _rollback(arguments: argparse.Namespace) -> None:
    _show(arguments, ask(arguments, "POST", _path(arguments, "/rollback"), {"version": arguments.version}))


def _path(arguments: argparse.Namespace, what: str = "", **query: str) -> str:
    """Of the flow that is named."""
    return f"{FLOWS}/{quote(arguments.name, safe='')}{what}{of_account(arguments, **query)}"


def _hours(arguments: argparse.Namespace) -> None:
    if arguments.schedule is None:
        answer = ask(arguments, "GET", f"{OVERRIDES}/overrides{of_account(arguments)}")
    elif arguments.opening is None:
        raise CommandError("say what it is to be: open, closed, holiday or auto", Exit.MISTAKE)
    else:
        wish = {
            "opening": None if arguments.opening == "auto" else arguments.opening,
            "lasts_s": arguments.hours * 3600 if arguments.hours else None,
        }
        path = f"{OVERRIDES}/{quote(arguments.schedule, safe='')}/override{of_account(arguments)}"
        answer = ask(arguments, "PUT", path, wish)
    if arguments.json:
        print(json.dumps(answer))
        return
    columns = [
        Column("SCHEDULE", lambda row: row["schedule"]),
        Column("IS", lambda row: row["opening"]),
        Column("UNTIL", lambda row: clock(row["until"]) if row["until"] else "taken back"),
        Column("BY", lambda row: row["by"]),
    ]
    rows = answer["overrides"]
    print(table(columns, rows) if rows else "All schedules follow their hours.")


def _show(arguments: argparse.Namespace, answer: Row) -> None:
    """The list; a file that is not good is an error for who asked by a program."""
    if arguments.json:
        print(json.dumps(answer))
    else:
        columns = [
            Column("FLOW", lambda row: row["name"]),
            Column("LIVE", _live),
            Column("STEPS", lambda row: row["steps"]),
            Column("CALLS", lambda row: row["calls"]),
            Column("TITLE", lambda row: row["title"]),
        ]
        print(table(columns, answer["flows"]) if answer["flows"] else "There are no flows.")
        for problem in answer["problems"]:
            print(_line(problem), file=sys.stderr)
    if not answer["good"]:
        raise CommandError("some files have mistakes; their flows are as they were", Exit.REFUSED)


def _live(row: Row) -> str:
    if not row["live"]:
        return "no"
    return "yes" if row["file_good"] else "an earlier version"


def _line(problem: Row) -> str:
    where = problem["file"] + (f":{problem['line']}:{problem['column']}" if problem["line"] else "")
    said = problem["message"] if problem["severity"] == "error" else f"warning: {problem['message']}"
    return ": ".join(filter(None, (where, problem["key"], said)))
