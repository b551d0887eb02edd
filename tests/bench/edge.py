"""The control plane of the edge beside calls: /route and /auth at a steady rate while 100 calls are up, and what a line
of a trace costs."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from time import process_time

from dialplan.command import Play, Reply, Sound, SoundKind
from pbxd.flows.trail import came_note, command_note
from pbxd.trace import Recorder, Topic
from pbxd.trace.packing import pack
from pbxd.trace.segment import checksums, compress
from tests.bench.daemon import API_KEY, Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import GRACE_S, Calls, Programs

CALLS, BEGIN_A_SECOND = 100, 50
A_SECOND = 400
SECONDS = 10
CONNECTIONS = 32
TRACED_CALLS = 2000
PLAY = Play((Sound(SoundKind.TEXT, "Welcome. Press 1 for our opening hours.", "en"),))

FIGURES = (
    Figure("edge: /route answered a second", "requests", bar=0.99 * A_SECOND, digits=0, at_least=True),
    Figure("edge: /route p50", "ms"),
    Figure("edge: /route p99", "ms", bar=20, remark=f"beside {CALLS} calls, each a call of its own"),
    Figure("edge: /auth answered a second", "requests", bar=0.99 * A_SECOND, digits=0, at_least=True),
    Figure("edge: /auth p50", "ms"),
    Figure("edge: /auth p99", "ms", bar=20, remark="each with a nonce of its own"),
    Figure("edge: /route refused or lost", "requests", bar=0, digits=0),
    Figure("edge: /auth refused or lost", "requests", bar=0, digits=0),
    Figure("edge: CPU of a /route", "µs", digits=0),
    Figure("edge: CPU of an /auth", "µs", digits=0),
    Figure("edge: a line of a trace, noted, packed", "µs", bar=100, digits=1),
)


def run(programs: Programs, place: Path, *, seconds: int = SECONDS) -> Readings:
    with Daemon(place) as daemon, Calls(programs, daemon, CALLS, BEGIN_A_SECOND, hold_ms=None) as calls:
        calls.up()
        count = A_SECOND * seconds
        readings: dict[str, float] = {}
        for path, article, bodies in (("/route", "a", routes(count)), ("/auth", "an", answers(count))):
            cpu = daemon.cpu_s
            asked = ask(programs, daemon, place, path, bodies)
            readings |= {
                f"edge: {path} answered a second": asked["a_second"],
                f"edge: {path} p50": asked["p50_us"] / 1000,
                f"edge: {path} p99": asked["p99_us"] / 1000,
                f"edge: {path} refused or lost": count - asked["answered"] + asked["refused"],
                f"edge: CPU of {article} {path}": (daemon.cpu_s - cpu) / count * 1e6,
            }
        calls.hang_up()
    return readings | {"edge: a line of a trace, noted, packed": traced() * 1e6}


def ask(
    programs: Programs, daemon: Daemon, place: Path, path: str, bodies: Iterable[dict[str, str]]
) -> dict[str, float]:
    """Asks with each body once, at the rate."""
    file = place / "requests"
    with file.open("wb") as out:
        for body in bodies:
            text = json.dumps(body)
            request = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nx-admin-token: {API_KEY}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
            ).encode()
            out.write(struct.pack("<I", len(request)) + request)
    words = [programs.path("web_load"), *map(str, (daemon.http_port, A_SECOND, CONNECTIONS, file))]
    output = subprocess.run(words, check=True, capture_output=True, text=True, timeout=GRACE_S + SECONDS).stdout
    read: dict[str, float] = json.loads(output)
    return read


def routes(count: int) -> Iterable[dict[str, str]]:
    """A number of ours, an extension and a number outside in turn; every call is a new one."""
    for number in range(count):
        called = ("12025550123", "1002", "8123")[number % 3]
        yield {"callId": f"bench-{number}", "from": "1001", "fromDomain": "127.0.0.1", "to": called}


def answers(count: int) -> Iterable[dict[str, str]]:
    """What phones answer, SHA-256 and MD5 in turn."""
    for number in range(count):
        algorithm, extension = ("MD5", "SHA-256")[number % 2], str(1001 + number % 10)
        nonce, uri = f"nonce-{number}", "sip:127.0.0.1"
        secret = _hash(algorithm, f"{extension}:127.0.0.1:lab-{extension}")
        request = _hash(algorithm, f"REGISTER:{uri}")
        yield {
            "username": extension,
            "realm": "127.0.0.1",
            "nonce": nonce,
            "uri": uri,
            "method": "REGISTER",
            "algorithm": algorithm,
            "qop": "auth",
            "nc": "00000001",
            "cnonce": "bench",
            "response": _hash(algorithm, f"{secret}:{nonce}:00000001:bench:auth:{request}"),
        }


def _hash(algorithm: str, text: str) -> str:
    return hashlib.new("md5" if algorithm == "MD5" else "sha256", text.encode()).hexdigest()


def traced() -> float:
    """Seconds of CPU for one line of a trace: noted while the call is up, packed and compressed after its end."""
    recorder = Recorder(lambda now: now)
    reply = Reply.read("digit:1")
    began, lines = process_time(), 0
    for number in range(TRACED_CALLS):
        call = f"call_{number}"
        recorder.began(call, f"edge acc_1 {number}", "acc_1", 0.0)
        for change in ("started", "ringing", "answered", "ended"):
            recorder.note(call, Topic.STATE, change, 1.0)
        for _ in range(4):
            recorder.note(call, Topic.COMMAND, command_note("reception/welcome.1", PLAY), 2.0)
            recorder.note(call, *came_note("reception/welcome.1", reply), 3.0)
        recorder.ended(call, 4.0)
        lines += 12
    tracks = recorder.finish_all(5.0)
    compress([pack(track, str) for track in tracks])
    checksums([name for track in tracks for name in track.names])
    return (process_time() - began) / lines
