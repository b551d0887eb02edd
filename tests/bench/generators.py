"""The C programs that make load, compiled once and run as often as wanted."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.bench.daemon import BenchError, Daemon, MediaPorts, free_port

HERE = Path(__file__).parent
WARM_UP_S = 1  # that load.c does not measure
GRACE_S = 60


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the compiled programs are."""

    place: Path

    @classmethod
    def compile(cls, place: Path) -> Self:
        for name in ("relay", "load", "sip_load", "junk", "web_load"):
            subprocess.run(["gcc", "-O2", "-o", str(place / name), str(HERE / f"{name}.c")], check=True)
        return cls(place)

    def path(self, name: str) -> str:
        return str(self.place / name)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back of the RTP sent; latencies in microseconds, through the relay and the kernel twice. `worst_lost`
    is what the worst stream missed of `each_sent`."""

    sent: int
    received: int
    worst_lost: int
    each_sent: int
    p50_us: int
    p99_us: int
    max_us: int

    @property
    def lost(self) -> int:
        return self.sent - self.received


def talk(programs: Programs, ports: MediaPorts, streams: int, seconds: int, begun: Callable[[], None]) -> Heard:
    """RTP on all streams for so long; `begun` is called when the warm-up is over."""
    numbers = (streams, ports.media_first, ports.rtp_first, seconds + WARM_UP_S)
    words = [programs.path("load"), *map(str, numbers)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as talking:
        time.sleep(WARM_UP_S)
        begun()
        output = talking.communicate(timeout=seconds + GRACE_S)[0]
    if talking.returncode != 0:
        raise BenchError("load did not run: are its ports taken?")
    return Heard(**json.loads(output))


@dataclass(frozen=True, slots=True)
class Called:
    """What became of the calls of one run. Times in microseconds from the INVITE to its 200."""

    calls: int
    answered: int
    ended: int
    failed: int
    first_failure: int
    misplaced: int
    repeated: int
    p50_us: int
    p99_us: int
    max_us: int
    bye_p99_us: int
    cpu_us: float

    @property
    def not_ended(self) -> int:
        """Calls that did not go all the way."""
        return self.calls - self.ended


class Calls:
    """Calls under way, made by sip_load: begun at `a_second`, each held for `hold_ms`, or (None) until `hang_up`.

    With `media` their legs are led to the ports of `talk`: only for the first calls of a daemon. Those `beside` other
    calls leave the answering to these.
    """

    def __init__(
        self,
        programs: Programs,
        daemon: Daemon,
        count: int,
        a_second: int,
        *,
        hold_ms: int | None,
        media: bool = False,
        beside: bool = False,
    ) -> None:
        numbers = (
            daemon.sip_port,
            free_port(),
            0 if beside else daemon.callee_port,
            count,
            a_second,
            -1 if hold_ms is None else hold_ms,
            daemon.media.rtp_first,
            daemon.media.media_first if media else 0,
        )
        self._timeout = count / a_second + (hold_ms or 0) / 1000 + GRACE_S
        self._process = subprocess.Popen(
            [programs.path("sip_load"), *map(str, numbers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def up(self) -> None:
        """Waits until all are up."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "up\n":
            raise BenchError(f"the calls did not come up: {line}")

    def hang_up(self) -> Called:
        """Ends those that stay up, and waits."""
        return self.over("\n")

    def over(self, last_word: str = "") -> Called:
        """Waits for the end of all."""
        output = self._process.communicate(last_word, timeout=self._timeout)[0]
        if self._process.returncode != 0:
            raise BenchError("sip_load did not run")
        row: dict[str, Any] = json.loads(output)
        called = Called(**row)
        if called.misplaced:
            raise BenchError(f"media went astray: {called}")
        return called

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
