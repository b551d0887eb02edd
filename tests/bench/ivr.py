"""Calls into an IVR at 50 a second: how soon after its ACK a caller is sent the prompt.

Each call is answered, listens for a second and hangs up. A prompt that began before the ACK counts as 0 ms. It begins
with a breath of silence, as all prompts of the house do; when the first word comes is a figure of its own.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.bench.daemon import LAB, BenchError, Daemon
from tests.bench.figures import Figure, Readings
from tests.bench.generators import Programs

A_SECOND = 50
SECONDS = 10
LISTENS_S = 1.0
WARM_UP = 5
END_S = 3.0
FLOW = """
parts:
  begin:
    - menu: Welcome. For our opening hours, press 1. To speak with us, press 2.
      choices: {1: hours, 2: hours}
      on_timeout: hangup
      on_invalid: hangup
  hours:
    - say: We are here Monday to Friday.
"""
SILENCE = {0xFF, 0x7F, 0xFE, 0x7E}  # PCMU

FIGURES = (
    Figure("ivr: ACK→prompt p50", "ms", digits=1, remark="50 calls a second"),
    Figure("ivr: ACK→prompt p95", "ms", bar=60, digits=1),
    Figure("ivr: ACK→first word p95", "ms", digits=0, remark="a breath of 300 ms stands before it"),
    Figure("ivr: calls that heard nothing", "of 100", bar=0, digits=2),
)


@dataclass(eq=False)
class Caller(asyncio.DatagramProtocol):
    """One call; as a protocol it is the socket of its sound."""

    number: int
    tag: str = ""
    acknowledged: float | None = None
    packet: float | None = None
    word: float | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        now = time.monotonic()
        if len(data) < 13 or data[1] & 0x7F != 0:
            return
        self.packet = self.packet or now
        if self.word is None and not set(data[12:]) <= SILENCE:
            self.word = now


class Load(asyncio.DatagramProtocol):
    """All callers' signalling, on one socket."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._transport: asyncio.DatagramTransport | None = None
        self.callers: dict[str, Caller] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._port = transport.get_extra_info("sockname")[1]

    async def call(self, number: int) -> Caller:
        caller = Caller(number)
        loop = asyncio.get_running_loop()
        sound, _ = await loop.create_datagram_endpoint(lambda: caller, local_addr=("127.0.0.1", 0))
        self.callers[f"ivr-{self._port}-{number}"] = caller
        port = sound.get_extra_info("sockname")[1]
        sdp = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=ptime:20\r\n"
        )
        self._send(caller, "INVITE", 1, sdp)
        await asyncio.sleep(LISTENS_S)
        if caller.tag:
            self._send(caller, "BYE", 2)
        await asyncio.sleep(0.3)
        sound.close()
        return caller

    def datagram_received(self, data: bytes, addr: object) -> None:
        text = data.decode("latin-1")
        found = re.search(r"^Call-ID: *(\S+)", text, re.MULTILINE | re.IGNORECASE)
        caller = self.callers.get(found[1]) if found else None
        if caller is None or not text.startswith("SIP/2.0 200") or "CSeq: 1 INVITE" not in text:
            return
        tag = re.search(r"^To:.*;tag=([^\s;]+)", text, re.MULTILINE | re.IGNORECASE)
        caller.tag = tag[1] if tag else ""
        self._send(caller, "ACK", 1)
        caller.acknowledged = caller.acknowledged or time.monotonic()

    def _send(self, caller: Caller, method: str, cseq: int, body: str = "") -> None:
        assert self._transport is not None
        to = "<sip:500@127.0.0.1>" + (f";tag={caller.tag}" if caller.tag else "")
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} sip:500@127.0.0.1:{self._daemon.sip_port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._port};branch=z9hG4bK{caller.number}{method}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:bench@127.0.0.1>;tag=c{caller.number}\r\nTo: {to}\r\n"
            f"Call-ID: ivr-{self._port}-{caller.number}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:bench@127.0.0.1:{self._port}>\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._transport.sendto(text.encode(), ("127.0.0.1", self._daemon.sip_port))


async def _called(daemon: Daemon) -> list[Caller]:
    loop = asyncio.get_running_loop()
    transport, load = await loop.create_datagram_endpoint(lambda: Load(daemon), local_addr=("127.0.0.1", 0))
    for number in range(WARM_UP):  # the prompt is spoken once, and kept
        await load.call(number)
    calls: list[asyncio.Task[Caller]] = []
    began = loop.time()
    for number in range(A_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, began + number / A_SECOND - loop.time()))
        calls.append(loop.create_task(load.call(WARM_UP + number)))
    async with asyncio.timeout(LISTENS_S + END_S):
        callers = await asyncio.gather(*calls)
    transport.close()
    return callers


def run(_programs: Programs, place: Path) -> Readings:
    folder = place / "flows"
    folder.mkdir(exist_ok=True)
    (folder / "reception.yaml").write_text(FLOW)
    config = place / "ivr.yaml"
    config.write_text(f"{LAB.read_text()}\ndialplan: {{folder: {folder}}}\n")
    with Daemon(place, config=config) as daemon:
        callers = asyncio.run(_called(daemon))
    heard = [caller for caller in callers if caller.packet is not None and caller.word is not None]
    if len(heard) < 10:
        raise BenchError("hardly any call heard the prompt")
    waits = [1000 * max(0.0, (one.packet or 0) - (one.acknowledged or 0)) for one in heard]
    words = [1000 * max(0.0, (one.word or 0) - (one.acknowledged or 0)) for one in heard]
    return {
        "ivr: ACK→prompt p50": statistics.median(waits),
        "ivr: ACK→prompt p95": statistics.quantiles(waits, n=20)[-1],
        "ivr: ACK→first word p95": statistics.quantiles(words, n=20)[-1],
        "ivr: calls that heard nothing": 100 * (len(callers) - len(heard)) / len(callers),
    }
