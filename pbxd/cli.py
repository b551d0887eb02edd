"""The command line: `pbxd check` reads a file, everything else asks the running daemon over its Unix socket.

Exit codes: 0 done; 1 the daemon said no; 2 a mistake in the configuration or on the command line; 3 no daemon runs.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pbxd import __version__
from pbxd.config import Config, ConfigError, check_ports, load

DEFAULT_CONFIG = Path("etc/pbxd.yaml")
INSTALLED_CONFIG = Path("/etc/pbxd/pbxd.yaml")
INSTALLED_CODE = Path("/opt/pbxd")
LAB_CONFIG = Path("etc/lab.yaml")
LAB_SOCKET = Path("var/lab/pbxd.sock")
SOCKET_NAME = "pbxd.sock"
PREFLIGHT = "pbxd.preflight"
TIMEOUT_S = 10.0
MAIL_TEST_TIMEOUT_S = 30.0  # a mail server may think
DELIVERY_STATES = ("waiting", "sending", "delivered", "dead", "cancelled")

Row = dict[str, Any]


class Exit(IntEnum):
    """What the shell is told."""

    DONE = 0
    REFUSED = 1
    MISTAKE = 2
    NO_DAEMON = 3


class CommandError(Exception):
    """Ends the command with a sentence for people and a code for the shell."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and how a row fills it."""

    heading: str
    text: Callable[[Row], object]


Commands = Any  # what argparse calls _SubParsersAction


def build_parser(*more: Callable[[Commands], None]) -> argparse.ArgumentParser:
    """The whole command line; `more` adds commands. `arguments.action` is the function to call, or None for `run`."""
    epilog = (__doc__ or "").split("\n\n")[1]
    parser = argparse.ArgumentParser(prog="pbxd", description="An embedded PBX.", epilog=epilog)
    parser.set_defaults(socket=None, config=None, json=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for name, text, action in (
        ("run", "run the daemon in the foreground", None),
        ("check", "say everything that is wrong with a configuration, and whether its ports are free", _check),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "file", nargs="?", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}"
        )
        text = "override one value, such as calls.max=50; VALUE is YAML; may be given again"
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=text)
        command.set_defaults(action=action)
        if name == "check":
            command.add_argument("--no-ports", action="store_true", help="do not try whether ports are free")

    daemon, account = daemon_options(), account_option()
    phones = commands.add_parser(
        "phones", parents=[daemon, account], help="list the phones; `phones rotate 1001`: a new password"
    )
    phones.set_defaults(action=_list_phones)
    deeper = phones.add_subparsers(dest="phones_command", metavar="[list | rotate]")
    deeper.add_parser("list", parents=[daemon, account], help="list the phones")
    rotate = deeper.add_parser("rotate", parents=[daemon, account], help="give a phone a new password, shown once")
    rotate.add_argument("extension")
    rotate.set_defaults(action=_rotate)
    for name, text, action in (
        ("calls", "list the calls that are up", _list_calls),
        ("registrations", "list what is registered, and from where", _list_registrations),
        ("trunks", "list the trunks and their state", _list_trunks),
    ):
        commands.add_parser(name, parents=[daemon, account], help=text, description=text).set_defaults(action=action)

    _add_outbox(commands, daemon)
    commands.add_parser("version", help="say which pbxd this is").set_defaults(action=_version)
    for add in more:
        add(commands)
    return parser


def _add_outbox(commands: Any, daemon: argparse.ArgumentParser) -> None:
    """`pbxd outbox …` and `pbxd mail test`."""
    outbox = commands.add_parser(
        "outbox", parents=[daemon], help="list mail and HTTP deliveries; show, cancel, retry one"
    )
    outbox.set_defaults(action=_list_outbox, state=None)
    deeper = outbox.add_subparsers(dest="outbox_command", metavar="[list | show | cancel | retry]")
    listing = deeper.add_parser("list", parents=[daemon], help="list deliveries, newest first")
    for parser in (outbox, listing):
        parser.add_argument(
            "--state", choices=DELIVERY_STATES, default=argparse.SUPPRESS, help="only those in this state"
        )
    for name, text, method, path in (
        ("show", "say everything about one", "GET", ""),
        ("cancel", "send it no more", "POST", "/cancel"),
        ("retry", "try it now, also one that was given up", "POST", "/retry"),
    ):
        one = deeper.add_parser(name, parents=[daemon], help=text)
        one.add_argument("id")
        one.set_defaults(action=_one_delivery, method=method, path=path)
    mail = commands.add_parser("mail", parents=[daemon], help="`mail test ADDRESS`: prove the mail settings")
    test = mail.add_subparsers(dest="mail_command", required=True, metavar="test").add_parser(
        "test", parents=[daemon], help="send a test mail right now"
    )
    test.add_argument("address")
    test.set_defaults(action=_test_mail)


def daemon_options() -> argparse.ArgumentParser:
    """Options of every command that asks the daemon. Without defaults: they may stand before and after a word."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's Unix socket")
    options.add_argument("--config", type=Path, metavar="FILE", help="the daemon's configuration, to find the socket")
    options.add_argument("--json", action="store_true", help="answer with JSON, for machines")
    return options


def account_option() -> argparse.ArgumentParser:
    """The option of commands about things of one account."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument(
        "--account",
        metavar="ACCOUNT",
        help="its id or short name; without it the house's own; of calls and recordings, all",
    )
    return options


def of_account(arguments: argparse.Namespace, **more: str) -> str:
    """The query that names it, where one is named, with `more` in it."""
    account = getattr(arguments, "account", None)
    query = more | ({"account": account} if account is not None else {})
    return f"?{urlencode(query)}" if query else ""


def act(arguments: argparse.Namespace) -> Exit:
    """Carry out what was parsed, `run` excepted."""
    try:
        arguments.action(arguments)
    except CommandError as error:
        print(f"pbxd: {error}", file=sys.stderr)
        return error.code
    except ConfigError as error:
        print_problems(error)
        return Exit.MISTAKE
    except BrokenPipeError:  # `pbxd calls | head`
        sys.stderr.close()
    return Exit.DONE


def print_problems(error: ConfigError) -> None:
    """Every problem on a line of its own, then how many."""
    print(error, file=sys.stderr)
    count = len(error.problems)
    print(f"pbxd: {count} problem{'s' if count > 1 else ''}", file=sys.stderr)


def _check(arguments: argparse.Namespace) -> None:
    config = load(arguments.file, arguments.overrides)
    problems = [] if arguments.no_ports else check_ports(config, _own_listeners(config))
    # Loaded by name: what it tries takes the parts of the daemon, which other commands must not load.
    problems += importlib.import_module(PREFLIGHT).problems(config)
    if problems:
        raise ConfigError(problems)
    print(f"{arguments.file} is good: {_summary(config)}")


_LISTENERS = ("sip.udp", "sip.tcp", "sip.tls", "http.tls")


def _own_listeners(config: Config) -> frozenset[tuple[str, str]]:
    """Where the daemon of this very data directory listens, if one runs: a file that is checked before a reload must
    not hear that its own ports are taken."""
    try:
        settings = _request(config.data_dir / SOCKET_NAME, "GET", "/house/v1/settings")["settings"]
    except CommandError:
        return frozenset()
    said = {setting["key"]: setting["value"] for setting in settings}
    listeners = {(key, address) for key in _LISTENERS for address in said.get(key, ())}
    return frozenset({*listeners, ("http.listen", said["http.listen"])})


def _summary(config: Config) -> str:
    sip = [f"{kind} {address}" for kind in ("udp", "tcp", "tls") for address in getattr(config.sip, kind)]
    where = ", ".join(sip) or "nothing"
    return f"SIP on {where}; HTTP on {config.http.listen}; RTP {config.rtp.ports}; data in {config.data_dir}"


def _version(_arguments: argparse.Namespace) -> None:
    print(f"pbxd {__version__}")


def _list_phones(arguments: argparse.Namespace) -> None:
    columns = (
        Column("EXTENSION", lambda row: row["extension"]),
        Column("NAME", lambda row: row["name"]),
        Column("USERNAME", lambda row: row["auth_username"]),
        Column("REGISTERED", lambda row: row["registered"]),
        Column("FROM", lambda row: "configuration" if row["declared"] else "first start"),
    )
    show(arguments, "phones", columns, "There are no phones.", query=of_account(arguments))


def _list_calls(arguments: argparse.Namespace) -> None:
    columns = (
        Column("CALL", lambda row: row["id"]),
        Column("STATE", lambda row: row["state"]),
        Column("FROM", lambda row: row["caller"]),
        Column("TO", lambda row: row["called"]),
        Column("DIRECTION", lambda row: row["direction"]),
        Column("SECONDS", lambda row: f"{row['duration_s']:.0f}"),
        Column("CODECS", lambda row: "/".join(leg["codec"] or "-" for leg in row["legs"])),
        Column("SRTP", lambda row: "/".join("yes" if leg["srtp"] else "no" for leg in row["legs"]) or "-"),
    )
    show(arguments, "calls", columns, "No call is up.", query=of_account(arguments))


def _list_registrations(arguments: argparse.Namespace) -> None:
    columns = (
        Column("AOR", lambda row: row["aor"]),
        Column("CONTACT", lambda row: row["contact"]),
        Column("SOURCE", lambda row: row["source"]),
        Column("EXPIRES", lambda row: clock(row["expires_at"])),
        Column("USER AGENT", lambda row: row["user_agent"] or "-"),
    )
    show(arguments, "registrations", columns, "Nothing is registered.", query=of_account(arguments))


def _list_trunks(arguments: argparse.Namespace) -> None:
    columns = (
        Column("TRUNK", lambda row: row["name"]),
        Column("PROXY", lambda row: row["proxy"] or "-"),
        Column("SOURCES", lambda row: ", ".join(row["sources"]) or "-"),
        Column("STATE", lambda row: row["state"]),
        Column("SINCE", lambda row: clock(row["since"])),
        Column("REASON", lambda row: row["reason"] or "-"),
    )
    show(arguments, "trunks", columns, "There are no trunks.", query=of_account(arguments))


def _rotate(arguments: argparse.Namespace) -> None:
    path = f"/house/v1/phones/{quote(arguments.extension, safe='')}/password"
    phone = ask(arguments, "POST", path + of_account(arguments))
    if arguments.json:
        print(json.dumps(phone))
        return
    print(f"Phone {phone['extension']} has a new password, shown only now:\n")
    print(f"    username  {phone['auth_username']}\n    password  {phone['password']}\n")


def _list_outbox(arguments: argparse.Namespace) -> None:
    columns = (
        Column("DELIVERY", lambda row: row["id"]),
        Column("STATE", lambda row: row["state"]),
        Column("WHAT", lambda row: row["summary"]),
        Column("TRIES", lambda row: row["attempts"]),
        Column("NEXT", lambda row: clock(row["due_at"])),
        Column("REASON", lambda row: row["reason"] or "-"),
    )
    query = f"?state={arguments.state}" if arguments.state else ""
    show(arguments, "outbox", columns, "The outbox is empty.", query=query, rows="deliveries")


def _one_delivery(arguments: argparse.Namespace) -> None:
    path = f"/house/v1/outbox/{quote(arguments.id, safe='')}{arguments.path}"
    delivery = ask(arguments, arguments.method, path)
    if arguments.json:
        print(json.dumps(delivery))
        return
    for name, value in delivery.items():
        print(f"{name:<12} {clock(value) if name.endswith('_at') else '-' if value is None else value}")


def _test_mail(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "POST", "/house/v1/mail/test", {"to": arguments.address}, timeout_s=MAIL_TEST_TIMEOUT_S)
    print(json.dumps(answer) if arguments.json else f"The mail server took it: {answer['reply']}")


def show(
    arguments: argparse.Namespace,
    what: str,
    columns: Sequence[Column],
    nothing: str,
    *,
    query: str = "",
    rows: str | None = None,
) -> None:
    """Asks for a list of the house API and prints it as a table, or as JSON."""
    answer = ask(arguments, "GET", f"/house/v1/{what}{query}")
    if arguments.json:
        print(json.dumps(answer))
    else:
        found = answer[rows or what]
        print(table(columns, found) if found else nothing)


def table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Rows under headings, each column as wide as it must be."""
    lines = [[column.heading for column in columns], *([str(column.text(row)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join("  ".join(f"{text:<{w}}" for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def read_text(path: Path) -> str:
    """The text of a file; `-` is the standard input. Raises CommandError."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}", Exit.MISTAKE) from None


def clock(moment: str | None) -> str:
    """A moment of the API in the local time of who asks."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def socket_connection(place: Path, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the daemon that listens on the socket `place`; not opened yet."""
    return _SocketConnection(place, timeout_s)


def ask(
    arguments: argparse.Namespace, method: str, path: str, wish: Row | None = None, *, timeout_s: float = TIMEOUT_S
) -> Any:
    """What the daemon answers. Raises CommandError where there is none, or where it says no."""
    return _request(find_socket(arguments), method, path, wish, timeout_s=timeout_s)


def fetch(
    arguments: argparse.Namespace, method: str, path: str, wish: Row | None = None, *, timeout_s: float = TIMEOUT_S
) -> bytes:
    """The same for an answer that is a file."""
    return _fetch(find_socket(arguments), method, path, wish, timeout_s=timeout_s)


def _request(place: Path, method: str, path: str, wish: Row | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
    return json.loads(_fetch(place, method, path, wish, timeout_s=timeout_s) or b"null")


def _fetch(place: Path, method: str, path: str, wish: Row | None = None, *, timeout_s: float = TIMEOUT_S) -> bytes:
    connection = _SocketConnection(place, timeout_s)
    try:
        if wish is None:
            connection.request(method, path)
        else:
            connection.request(method, path, json.dumps(wish), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        problem = json.loads(answer)["error"]["message"] if response.status >= 400 else None
    except PermissionError:
        raise _not_yours(place) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandError(f"no daemon answers on {place} ({error})", Exit.NO_DAEMON) from None
    finally:
        connection.close()
    if problem is not None:
        raise CommandError(problem, Exit.REFUSED)
    return answer


def configurations() -> list[Path]:
    """The configuration files at their usual places that we may read. The installed command means the installed house,
    also when it is called where the sources are."""
    places = [DEFAULT_CONFIG, INSTALLED_CONFIG]
    if Path(sys.prefix).is_relative_to(INSTALLED_CODE):
        places.reverse()
    return [path for path in places if os.access(path, os.R_OK)]


def find_socket(arguments: argparse.Namespace) -> Path:
    """`--socket`, the data directory of `--config`, that of etc/pbxd.yaml, that of /etc/pbxd/pbxd.yaml, or the lab's:
    the first that is there."""
    if arguments.socket:
        places = [arguments.socket]
    elif arguments.config:
        places = [load(arguments.config).data_dir / SOCKET_NAME]
    else:
        places = [*(load(file).data_dir / SOCKET_NAME for file in configurations()), LAB_SOCKET]
    for place in places:
        try:
            if place.is_socket():
                return Path(place)
        except PermissionError:
            raise _not_yours(place) from None
    looked = " or ".join(str(place.absolute()) for place in places)
    hint = "start one with `make run`, or say where it is with --config FILE or --socket PATH"
    raise CommandError(f"no daemon is running: there is no {looked}; {hint}", Exit.NO_DAEMON)


def _not_yours(place: Path) -> CommandError:
    return CommandError(
        f"{place} belongs to another user: ask as root, or as the user the daemon runs as", Exit.REFUSED
    )
