"""The house that something happens to, and calls that must not notice."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clients.block import Block
from tests.clients.house import ADMIN_KEY, BAD_LINE, House
from tests.clients.lab import Lab
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_rtp import RawRtp
from tests.clients.raw_sip import RawDialog
from tests.clients.until import until

PEER = "127.0.0.11"
"""Who calls without a password: the lab's trunk `lab-peer`."""


class AilingHouse(House):
    """A house that is expected to complain: of everything in `expected`, and of nothing else."""

    def __init__(self, block: Block, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        super().__init__(block, folder, settings)
        self.expected: set[str] = set()

    def assert_clean_log(self) -> None:
        said = self.log()
        assert not [words for words in self.expected if words not in said], (self.expected, said[-4000:])
        bad = [line for line in said.splitlines() if BAD_LINE.search(line)]
        assert not [line for line in bad if not any(words in line for words in self.expected)], bad

    def said(self, words: str) -> int:
        """How many lines of the log have these words."""
        return sum(words in line for line in self.log().splitlines())

    def ready(self) -> tuple[int, dict[str, Any]]:
        """`GET /health/ready`: the status and what it says."""
        return self.ask("GET", "/health/ready")

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """A request to the HTTP API, whatever becomes of it."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": ADMIN_KEY, "Content-Type": "application/json"}
        request = urllib.request.Request(self.http + path, headers=headers, method=method, data=data)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


class EchoCall:
    """A call to the echo, set up in `setup_s` seconds."""

    def __init__(self, lab: Lab, *, tcp: bool = False, number: str = "600") -> None:
        self.sip = lab.raw(address=PEER, tcp=tcp)
        self.rtp: RawRtp = lab.rtp(PEER)
        self.dialog = RawDialog.calling(self.sip, "outside", number)
        begun = time.monotonic()
        answer, _ = self.dialog.invite(sdp(PEER, self.rtp.port))
        self.setup_s = time.monotonic() - begun
        assert answer.status == 200, answer.start
        self.dialog.acknowledge(answer)
        self.rtp.send_to(answer.media())

    def hears_itself(self, packets: int = 10) -> None:
        """New packets come back from now on."""
        before = len(self.rtp.packets)
        until(lambda: len(self.rtp.packets) >= before + packets, "the echo of the call", timeout=3)

    def hang_up(self) -> None:
        """BYE, and its answer."""
        self.rtp.stop_sending()
        self.dialog.send("BYE")
        assert self.sip.response(method="BYE").status == 200


def refused(lab: Lab, number: str = "600", *, tcp: bool = False, timeout: float = 4.0) -> tuple[RawMessage, float]:
    """The refusal of a call, and the seconds it took."""
    sip = lab.raw(address=PEER, tcp=tcp)
    dialog = RawDialog.calling(sip, "outside", number)
    begun = time.monotonic()
    sent = dialog.send("INVITE", body=sdp(PEER, 40_000))
    answer = sip.response(method="INVITE", timeout=timeout)
    took = time.monotonic() - begun
    dialog.acknowledge_failure(sent, answer)
    assert (answer.status or 0) >= 300, answer.start
    return answer, took
