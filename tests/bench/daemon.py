"""One pbxd under measurement, seen from outside only."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "etc" / "lab.yaml"
PLAIN = (str(Path(sys.executable).parent / "pbxd"),)
API_KEY = "lab-admin"
LAUNCHER = (sys.executable, "-m", "tests.bench.launcher")

LEG_PORTS, MEDIA_PORTS, RANGE = 1200, 600, 6000
PATIENCE_S = 60.0
PROBE_S = 0.005
STOP_S = 30.0
CPU_CLOCK = 2  # CPUCLOCK_SCHED of <linux/posix-timers.h>: all threads of a process, in nanoseconds


class BenchError(Exception):
    """A measurement that cannot be one: the daemon did not do what is to be measured."""


def free_port() -> int:
    """A port that nobody had a moment ago, on UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return int(tcp.getsockname()[1])


@dataclass(frozen=True, slots=True)
class MediaPorts:
    """Ports below those that the system hands out: from `rtp_first` on the relay's, from `media_first` on those of
    the far ends."""

    rtp_first: int

    @classmethod
    def free(cls) -> Self:
        """Ports of which those that must not be taken are not. Raises BenchError when there are none."""
        for first in range(12_000, 32_000 - RANGE - MEDIA_PORTS, 500):
            ports = cls(first)
            if all(map(_is_free, (*range(first, first + LEG_PORTS), *range(ports.media_first, ports.end)))):
                return ports
        raise BenchError("too many ports of this machine are in use")

    @property
    def rtp_last(self) -> int:
        return self.rtp_first + RANGE - 1

    @property
    def media_first(self) -> int:
        return self.rtp_first + RANGE

    @property
    def end(self) -> int:
        return self.media_first + MEDIA_PORTS


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Daemon:
    """A pbxd that runs the lab's configuration on ports of its own.

    `answered_after_s` is the time from exec to the answer to the first REGISTER, `callee_port` where trunk lab-uas
    leads.
    """

    def __init__(self, place: Path, *, config: Path = LAB, command: Sequence[str] = PLAIN) -> None:
        self.media = MediaPorts.free()
        self.sip_port, self.callee_port, self._http_port = free_port(), free_port(), free_port()
        overrides = {
            "data_dir": str(place / "data"),
            "sip.udp": f"[127.0.0.1:{self.sip_port}]",
            "sip.tcp": f"[127.0.0.1:{self.sip_port}]",
            "sip.tls": f"[127.0.0.1:{free_port()}]",
            "http.listen": f"127.0.0.1:{self._http_port}",
            "rtp.ports": f"{self.media.rtp_first}-{self.media.rtp_last}",
            "trunks.lab-uas.proxy": f"sip:127.0.0.1:{self.callee_port}",
        }
        words = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        self._log = (place / "log").open("ab")
        started = time.monotonic()
        self._process = subprocess.Popen(
            [*command, "run", str(config), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            text=True,
        )
        try:
            self.answered_after_s = self._await_answer() - started
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def http_port(self) -> int:
        """Where its API listens."""
        return self._http_port

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()

    def tell(self, word: str) -> None:
        """A line to the launcher, and its answer awaited."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    # ---- what is measured

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the whole process."""
        return time.clock_gettime((~self._process.pid) << 3 | CPU_CLOCK)

    @property
    def wire_cpu_s(self) -> float:
        """CPU seconds of the wire thread."""
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "wire":
                return int((task / "schedstat").read_text().split()[0]) * 1e-9
        raise BenchError("pbxd has no wire thread")

    @property
    def resident_kib(self) -> int:
        """Resident memory of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    @property
    def threads(self) -> int:
        """Threads of the process."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/task").iterdir())

    def descriptors(self) -> tuple[int, int]:
        """Open file descriptors, and how many of them are sockets."""
        found = []
        for entry in Path(f"/proc/{self._process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.append(str(entry.readlink()))
        return len(found), sum(target.startswith("socket:") for target in found)

    def metrics(self) -> dict[str, float]:
        """What /metrics says, by name with labels."""
        rows = (line.rpartition(" ") for line in self._ask("GET", "/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the house API answers, as the lab's administrator. Raises BenchError when it refuses."""
        return json.loads(self._ask(method, path, body))

    def _ask(self, method: str, path: str, body: Any = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            sent = None if body is None else json.dumps(body)
            kind = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, sent, {"X-API-Key": API_KEY, **kind})
            response = connection.getresponse()
            text = response.read().decode()
        if response.status >= 400:
            raise BenchError(f"{method} {path} is answered {response.status}: {text[:200]}")
        return text

    def packets(self) -> float:
        """RTP packets received since the start."""
        return self.metrics()["pbxd_rtp_packets_received_total"]

    def until(self, name: str, value: float) -> None:
        """Waits until a metric has that value. Raises BenchError when it does not come to that."""
        deadline = time.monotonic() + PATIENCE_S
        while (seen := self.metrics()[name]) != value:
            if time.monotonic() > deadline:
                raise BenchError(f"{name} is {seen:.0f}, not {value:.0f}")
            time.sleep(0.2)

    # ---- the first answer

    def _await_answer(self) -> float:
        """Asks until a 401 comes; gives when it came."""
        deadline = time.monotonic() + PATIENCE_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.connect(("127.0.0.1", self.sip_port))
            for question in _registers(phone.getsockname()[1]):
                with contextlib.suppress(ConnectionRefusedError):
                    phone.send(question)
                if select.select([phone], [], [], PROBE_S)[0]:
                    with contextlib.suppress(ConnectionRefusedError):
                        answer = phone.recv(65536)
                        if not answer.startswith((b"SIP/2.0 401", b"SIP/2.0 100")):
                            raise BenchError(f"a REGISTER was answered {answer[:40]!r}")
                        return time.monotonic()
                    time.sleep(PROBE_S)
                if self._process.poll() is not None:
                    raise BenchError(f"pbxd ended: {Path(self._log.name).read_text()[-2000:]}")
                if time.monotonic() > deadline:
                    raise BenchError("pbxd does not answer")
        raise AssertionError("unreachable")


def _registers(port: int) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield (
            f"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKprobe{number};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:1001@127.0.0.1>;tag=probe\r\nTo: <sip:1001@127.0.0.1>\r\n"
            f"Call-ID: probe-{port}\r\nCSeq: {number} REGISTER\r\nContact: <sip:1001@127.0.0.1:{port}>\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()
