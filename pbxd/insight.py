"""Commands that look into calls: `trace`, `pcap`, `picture`, `drops`, `debug`. All of them ask the running daemon."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pbxd.cli import Column, CommandError, Commands, Exit, Row, ask, clock, daemon_options, fetch, table
from pbxd.trace import read_target
from pbxd.trace.ladder import Ladder, Step
from pbxd.trace.score import for_people

FOLLOW_S = 5  # a question for news waits so long
WATCH_S = 0.5  # how often we look whether a capture has ended
RASTERISER = "rsvg-convert"
RASTERISE_S = 60.0
LAST_WORDS_S = 1.0  # for the BYEs and their answers, once a call has ended


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    name = "a call's id, a SIP Call-ID, or what a debug switch watches"
    trace = commands.add_parser("trace", parents=[daemon], help="show what happened to a call, as a ladder")
    trace.add_argument("call", metavar="CALL", help=name)
    trace.add_argument("-f", "--follow", action="store_true", help="go on until the call ends")
    trace.add_argument("-v", "--verbose", action="store_true", help="with every message whole")
    trace.set_defaults(action=_trace)
    pcap = commands.add_parser("pcap", parents=[daemon], help="write a capture of a call, for Wireshark")
    pcap.add_argument("call", metavar="CALL", help=name)
    pcap.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file; - for the terminal")
    pcap.add_argument("--audio", action="store_true", help="capture from now on, with sound; CALL may be a phone")
    pcap.add_argument(
        "--for", dest="seconds", type=_duration, default=900.0, metavar="TIME", help="with --audio: 15m, unless Ctrl-C"
    )
    pcap.set_defaults(action=_pcap)
    picture = commands.add_parser("picture", parents=[daemon], help="draw a call: its sound, its quality, its events")
    picture.add_argument("call", metavar="CALL", help=name)
    text = f"an SVG file, or a PNG where {RASTERISER} is installed; CALL.svg if none is named, - for the terminal"
    picture.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)
    picture.set_defaults(action=_picture)
    drops = commands.add_parser("drops", parents=[daemon], help="list what was dropped, and why")
    drops.add_argument("--all", action="store_true", help="also what never happened")
    drops.set_defaults(action=_drops)
    debug = commands.add_parser("debug", parents=[daemon], help="watch a call, a phone or an address closely")
    debug.set_defaults(action=_list_debug)
    words = debug.add_subparsers(dest="debug_command", metavar="[on | off | list]")
    words.add_parser("list", parents=[daemon], help="list what is watched")
    on = words.add_parser("on", parents=[daemon], help="log and record all that concerns a target")
    on.add_argument("target", metavar="TARGET", help="an IP address, a call's id, a Call-ID, or a phone's number")
    on.add_argument(
        "--for", dest="seconds", type=_duration, default=900.0, metavar="TIME", help="30s, 15m (default), 2h"
    )
    on.add_argument(
        "--audio", action="store_true", help="capture the sound of its calls, too, if trace.audio allows it"
    )
    on.set_defaults(action=_debug_on)
    off = words.add_parser("off", parents=[daemon], help="stop that; its trace stays")
    off.add_argument("target", metavar="TARGET")
    off.set_defaults(action=_debug_off)


def _duration(text: str) -> float:
    """Seconds. Raises ValueError, which argparse puts into words."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    return float(text[:-1]) * unit if unit else float(text)


def _trace(arguments: argparse.Namespace) -> None:
    """Drawn as it comes; following asks again and again, and each question waits for news."""
    ladder, after, over = Ladder(), 0, False
    path = f"/house/v1/calls/{quote(arguments.call, safe='')}/trace"
    while True:
        wait = FOLLOW_S if arguments.follow and after else 0
        trace = ask(arguments, "GET", f"{path}?after={after}&wait_s={wait}")
        if arguments.json:
            print(json.dumps(trace), flush=True)
        elif not after:
            print(f"{trace['id']}" + (f"  ({trace['lost']} earlier entries are gone)" if trace["lost"] else ""))
        if not arguments.json:
            _draw(ladder, trace["entries"], verbose=arguments.verbose)
        after = trace["next"]
        if not arguments.follow or over:
            return
        over = bool(trace["ended_at"])
        if over:
            time.sleep(LAST_WORDS_S)


def _draw(ladder: Ladder, entries: Sequence[Row], *, verbose: bool) -> None:
    for entry in entries if verbose else []:
        print("\n".join(ladder.draw([_step(entry)])))
        if entry["message"]:
            print("".join(f"    {line}\n" for line in entry["message"].splitlines()))
    for line in [] if verbose else ladder.draw([_step(entry) for entry in entries]):
        print(line)
    sys.stdout.flush()


def _step(entry: Row) -> Step:
    text = entry["text"] if entry["kind"] == "sip" else f"{entry['kind']}: {for_people(entry['text'])}"
    return Step(
        entry["clock"], "".join(letter for letter in text if letter.isprintable()), entry["remote"], entry["outward"]
    )


def _pcap(arguments: argparse.Namespace) -> None:
    name = quote(arguments.call, safe="")
    if arguments.audio:
        _listen(arguments, f"/house/v1/debug/{name}")
        data = fetch(arguments, "GET", f"/house/v1/debug/{name}/pcap")
    else:
        data = fetch(arguments, "GET", f"/house/v1/calls/{name}/pcap")
    _write(arguments.output, data, f"`tshark -r {arguments.output}` or Wireshark shows them")


def _picture(arguments: argparse.Namespace) -> None:
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in arguments.call)
    output = arguments.output or Path(f"{name}.svg")
    if output.suffix not in {".svg", ".png", ""}:
        raise CommandError(f"{output.name}: a picture is .svg or .png", Exit.MISTAKE)
    data = fetch(arguments, "GET", f"/house/v1/calls/{quote(arguments.call, safe='')}/picture")
    _write(output, _png(data) if output.suffix == ".png" else data, "a browser shows it")


def _png(svg: bytes) -> bytes:
    """Rasterised by librsvg's program, where it is installed: pbxd itself draws SVG only."""
    program = shutil.which(RASTERISER)
    if program is None:
        raise CommandError(f"PNG needs {RASTERISER} (Debian: librsvg2-bin); SVG needs nothing", Exit.REFUSED)
    command = [program, "--format", "png", "--zoom", "2"]
    done = subprocess.run(command, input=svg, capture_output=True, check=False, timeout=RASTERISE_S)  # noqa: S603
    if done.returncode:
        raise CommandError(f"{RASTERISER} failed: {done.stderr.decode(errors='replace').strip()}", Exit.REFUSED)
    return done.stdout


def _write(output: Path, data: bytes, hint: str) -> None:
    """For its owner alone; a call is nobody else's business."""
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}", Exit.REFUSED) from None
    print(f"{output}: {len(data)} bytes; {hint}")


def _listen(arguments: argparse.Namespace, path: str) -> None:
    """Until the call ends, the time is over, or Ctrl-C."""
    body = {"target": arguments.call, "seconds": arguments.seconds, "audio": True}
    ask(arguments, "POST", "/house/v1/debug", body)
    print(f"captures {arguments.call} with sound; Ctrl-C ends it and writes the file", file=sys.stderr)
    target = read_target(arguments.call).text
    try:
        while any(row["target"] == target for row in ask(arguments, "GET", "/house/v1/debug")["switches"]):
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        ask(arguments, "DELETE", path)


def _drops(arguments: argparse.Namespace) -> None:
    answer = ask(arguments, "GET", "/house/v1/drops")
    if arguments.json:
        print(json.dumps(answer))
        return
    rows = [row for row in answer["drops"] if row["count"] or arguments.all]
    columns = (
        Column("LAYER", lambda row: row["layer"]),
        Column("REASON", lambda row: row["reason"].replace("_", " ")),
        Column("COUNT", lambda row: row["count"]),
    )
    if rows:
        print(table(columns, rows))
    print(f"{answer['total']} in all since {clock(answer['since'])}")


def _debug_on(arguments: argparse.Namespace) -> None:
    body = {"target": arguments.target, "seconds": arguments.seconds, "audio": arguments.audio}
    _show_debug(arguments, ask(arguments, "POST", "/house/v1/debug", body))


def _debug_off(arguments: argparse.Namespace) -> None:
    _show_debug(arguments, ask(arguments, "DELETE", f"/house/v1/debug/{quote(arguments.target, safe='')}"))


def _list_debug(arguments: argparse.Namespace) -> None:
    _show_debug(arguments, ask(arguments, "GET", "/house/v1/debug"))


def _show_debug(arguments: argparse.Namespace, answer: Row) -> None:
    columns = (
        Column("TARGET", lambda row: row["target"]),
        Column("KIND", lambda row: row["kind"]),
        Column("SECONDS LEFT", lambda row: f"{row['seconds_left']:.0f}"),
        Column("MESSAGES", lambda row: row["messages"]),
        Column("SOUND", lambda row: f"{row['packets']} packets" if row["audio"] else "-"),
    )
    if arguments.json:
        print(json.dumps(answer))
    else:
        print(table(columns, answer["switches"]) if answer["switches"] else "Nothing is being watched.")
