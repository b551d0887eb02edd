"""A trunk that calls by hand: SIP over UDP as text, one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

PATIENCE_S = 10.0
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
_KEPT = ("Via", "From", "To", "Call-ID", "CSeq")


class Hand(asyncio.DatagramProtocol):
    """Calls `number` as `user`; `name` is the Call-ID."""

    def __init__(self, number: str, user: str, name: str) -> None:
        self.received: asyncio.Queue[str] = asyncio.Queue()
        self.passed_over: list[str] = []
        self.transport: asyncio.DatagramTransport
        self._number = number
        self._user = user
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait(data.decode())

    def say(self, method: str, to_tag: str = "") -> None:
        host, port = self.transport.get_extra_info("sockname")
        body = SDP if method == "INVITE" else ""
        to = f"sip:{self._number}@127.0.0.1"
        self.transport.sendto(
            f"{method} {to} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{self._name}-{method}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self._user}@127.0.0.1>;tag=1\r\nTo: <{to}>{to_tag}\r\n"
            f"Call-ID: {self._name}\r\nCSeq: 1 {method}\r\nContact: <sip:{self._user}@{host}:{port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    async def hear(self, start: str) -> str:
        """The next message that starts so; what comes before it is passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while not (message := await self.received.get()).startswith(start):
                self.passed_over.append(message)
        return message

    def agree(self, request: str) -> None:
        kept = [line for line in request.split("\r\n") if line.split(":")[0] in _KEPT]
        self.transport.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())


@asynccontextmanager
async def calling(
    address: tuple[str, int], number: str = "600", user: str = "peer", name: str = "by-hand"
) -> AsyncIterator[Hand]:
    """A caller in an answered call with a number of the house at `address`."""
    transport, hand = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Hand(number, user, name), remote_addr=address
    )
    try:
        hand.say("INVITE")
        answer = await hand.hear("SIP/2.0 200")
        tag = next(line for line in answer.split("\r\n") if line.startswith("To:")).rpartition(";tag=")[2]
        hand.say("ACK", f";tag={tag}")
        yield hand
    finally:
        transport.close()
