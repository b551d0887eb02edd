"""A witness of the wire: tshark, which knows nothing of us, tells what it saw of SIP on the loopback; the house's
ladders must say the same.

One tshark runs for a whole test session and dissects as packets come, so a story pays milliseconds for being watched.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from tests.clients.block import BLOCKS, FIRST_PORT, PORTS_PER_BLOCK
from tests.clients.house import House, Json
from tests.clients.until import until

START_S = 20.0
PATIENCE_S = 5.0
LAST_PORT = FIRST_PORT + BLOCKS * PORTS_PER_BLOCK - 1
PROBE_PORT = LAST_PORT  # of nobody
PORTS = f"portrange {FIRST_PORT}-{LAST_PORT}"
# Neither RTP nor RTCP, whose first two bits are 10
FILTER = (
    f"(ip and udp and {PORTS} and udp[8] & 0xc0 != 0x80) or (ip6 and udp and {PORTS} and ip6[48] & 0xc0 != 0x80)"
    f" or (tcp and {PORTS})"
)
FIELDS = (
    "ip.src ipv6.src udp.srcport tcp.srcport ip.dst ipv6.dst udp.dstport tcp.dstport sip.Method sip.Status-Code "
    "sip.CSeq sip.Call-ID"
).split()
SEVERAL = "\x1f"  # between the values of several messages in one packet


@dataclass(frozen=True, slots=True)
class Said:
    """One message: a method or a status (empty where a TCP segment mixes them), the CSeq."""

    what: str
    cseq: str


Ends = tuple[str, str]
Ladder = dict[tuple[str, Ends], list[Said]]
"""What was said, by Call-ID and by `(from, to)`, in order."""


class CannotWatch(Exception):
    """tshark is not there, or must not capture."""


class Witness:
    """Watches all ports of test houses; use it as a context manager. Raises CannotWatch."""

    def __init__(self) -> None:
        self._said: list[tuple[str, Ends, Said]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if shutil.which("tshark") is None:
            raise CannotWatch("tshark is not installed")
        decoded = [f"tcp.port=={FIRST_PORT + number * PORTS_PER_BLOCK},sip" for number in range(BLOCKS)]
        decoded.append(f"udp.port=={FIRST_PORT}-{LAST_PORT},sip")
        command = ["tshark", "-i", "lo", "-l", "-n", "-B", "32", "-f", FILTER, "-T", "fields", "-E", "separator=/t"]
        command += ["-E", "occurrence=a", "-E", f"aggregator={SEVERAL}"]
        command += [word for what in decoded for word in ("-d", what)]
        command += [word for field in FIELDS for word in ("-e", field)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _wait(self) -> None:
        """Until it sees what we send."""
        name = f"probe-{os.getpid()}"
        probe = f"OPTIONS sip:witness SIP/2.0\r\nCall-ID: {name}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        deadline = time.monotonic() + START_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
            while not any(call_id == name for call_id, _, _ in self._copy()):
                if self._process.poll() is not None:
                    assert self._process.stderr
                    raise CannotWatch(f"tshark must not capture here: {self._process.stderr.read()[-300:]}")
                if time.monotonic() > deadline:
                    raise CannotWatch("tshark sees nothing of the loopback")
                prober.sendto(probe.encode(), ("127.0.0.1", PROBE_PORT))
                time.sleep(0.1)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            fields = dict(zip(FIELDS, line.rstrip("\n").split("\t"), strict=False))
            if fields.get("sip.Call-ID"):
                found = list(_messages(fields))
                with self._lock:
                    self._said.extend(found)

    def _copy(self) -> list[tuple[str, Ends, Said]]:
        with self._lock:
            return list(self._said)

    def saw(self, call_ids: Iterable[str]) -> Ladder:
        """What was said in these dialogs."""
        wanted, ladder = set(call_ids), defaultdict(list)
        for call_id, ends, said in self._copy():
            if call_id in wanted:
                ladder[call_id, ends].append(said)
        return dict(ladder)

    def confirms(self, house: House, since: str) -> int:
        """The ladder of every call that began `since` then says what was on the wire: the same messages, from and to
        the same places, in the same order each way. Gives how many messages these were."""
        count = 0
        for record in house.records():
            if record["started_at"] >= since:
                count += self._confirms(house, record["id"])
        return count

    def _confirms(self, house: House, call: str) -> int:
        def compared() -> tuple[Ladder, Ladder]:
            trace = house.get(f"/house/v1/calls/{call}/trace")
            if trace["lost"] or any(entry["remote"].startswith("TLS:") for entry in trace["entries"]):
                return {}, {}  # the beginning had to make way, or the wire shows nothing of it
            return told(trace), self.saw(trace["names"][1:])

        ours, seen = _settled(compared)
        assert same(ours, seen), f"{call}: the house says\n{_text(ours)}\nand tshark\n{_text(seen)}"
        return sum(map(len, ours.values()))


def moment() -> str:
    """Now, as records say it."""
    return (datetime.now(UTC) - timedelta(milliseconds=2)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _settled(compared: Callable[[], tuple[Ladder, Ladder]]) -> tuple[Ladder, Ladder]:
    """Messages may be on their way still."""
    last: list[tuple[Ladder, Ladder]] = []

    def agree() -> bool:
        last[:] = [compared()]
        return same(*last[0])

    try:
        until(agree, "the ladder and tshark to agree", timeout=PATIENCE_S, every=0.1)
    except AssertionError:
        return last[0]
    return last[0]


def told(trace: Json) -> Ladder:
    """The same from a trace of the API."""
    ladder = defaultdict(list)
    for entry in trace["entries"]:
        if entry["kind"] != "sip":
            continue
        lines = entry["message"].split("\r\n")
        first = lines[0].split(" ")
        headers = {line.partition(":")[0].strip().lower(): line.partition(":")[2].strip() for line in lines[1:]}
        remote, local = entry["remote"].partition(":")[2].replace("[", "").replace("]", ""), entry["local"]
        local = local.replace(" ", ":")
        ends = (local, remote) if entry["outward"] else (remote, local)
        what = first[1] if first[0].upper().startswith("SIP/") else first[0]
        call_id = headers.get("call-id") or headers.get("i") or ""
        ladder[call_id, ends].append(Said(what, " ".join(headers.get("cseq", "").split())))
    return dict(ladder)


def same(one: Ladder, other: Ladder) -> bool:
    """Whether they say the same. What tshark cannot tell apart in one packet goes by its CSeq."""
    if one.keys() != other.keys():
        return False
    return all(
        len(said) == len(other[key])
        and all(
            a.cseq == b.cseq and (a.what == b.what or "" in (a.what, b.what))
            for a, b in zip(said, other[key], strict=True)
        )
        for key, said in one.items()
    )


def _messages(fields: dict[str, str]) -> Iterable[tuple[str, Ends, Said]]:
    names, numbers, methods, statuses = (
        fields.get(name, "").split(SEVERAL) for name in ("sip.Call-ID", "sip.CSeq", "sip.Method", "sip.Status-Code")
    )
    source, target = (
        f"{fields['ip.' + end] or fields['ipv6.' + end]}:{fields[f'udp.{end}port'] or fields[f'tcp.{end}port']}"
        for end in ("src", "dst")
    )
    whats = [*filter(None, methods), *filter(None, statuses)]
    pure = len(names) == 1 or not any(methods) or not any(statuses)
    for index, call_id in enumerate(names):
        what = whats[index] if pure and index < len(whats) else ""
        cseq = numbers[index] if index < len(numbers) else ""
        yield call_id, (source, target), Said(what, " ".join(cseq.split()))


def _text(ladder: Ladder) -> str:
    return "\n".join(
        f"  {call_id} {ends[0]} -> {ends[1]}: " + ", ".join(f"{said.what or '?'} ({said.cseq})" for said in saids)
        for (call_id, ends), saids in sorted(ladder.items())
    )
