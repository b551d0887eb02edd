"""Phones for the soak: one asyncio socket each way, calls as short scripts, answers by what the number stands for.

Independent of the house's own SIP, like every far end of the tests; it only knows what the soak needs, and repeats what
is not answered (RFC 3261 §17.1.1.2), so that a datagram lost on a busy machine is no failed call.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from typing import Self, cast

from tests.clients.raw_message import Headers, RawMessage, credentials, sdp, tag_of

HOST = "127.0.0.1"
T1_S = 0.5
TRIES = 5
PATIENCE_S = 20.0
RINGING_S = 0.1
PACKET_S = 0.1  # sound is sent now and then: what is watched is what it leaves behind
RTP_HEAD = bytes((0x80, 0))
SIP_BEGINNINGS = (b"SIP/2.0 ", b"INVITE ", b"ACK ", b"BYE ", b"CANCEL ", b"OPTIONS ", b"UPDATE ")
SILENCE = b"\xff" * 160


class Manner(Enum):
    """How a called number behaves."""

    ANSWERS = "answers"
    BUSY = "busy"
    RINGS = "rings"


class Unexpected(Exception):
    """The house did something else than the script says."""


class Line(asyncio.DatagramProtocol):
    """One UDP socket that many calls share; messages are told apart by Call-ID."""

    def __init__(self, server: tuple[str, int], manner: Callable[[str], Manner]) -> None:
        self.server = server
        self.port = 0
        self._manner = manner
        self._transport: asyncio.DatagramTransport | None = None
        self._heard: dict[str, asyncio.Queue[RawMessage]] = {}
        self._answering: dict[str, asyncio.Task[None]] = {}
        self.failures: list[BaseException] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: tuple[str, int], manner: Callable[[str], Manner], port: int = 0) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        transport, line = await loop.create_datagram_endpoint(lambda: cls(server, manner), local_addr=(HOST, port))
        try:
            yield line
        finally:
            for task in line._answering.values():
                task.cancel()
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data.startswith(SIP_BEGINNINGS):
            return  # a keep-alive, or RTCP for a neighbouring port
        message = RawMessage.parse(data)
        call = message["Call-ID"]
        if call in self._heard:
            self._heard[call].put_nowait(message)
        elif message.status is None:
            self._called(call, message)

    def _called(self, call: str, message: RawMessage) -> None:
        if message.method == "OPTIONS":
            self.respond(message, 200)
        elif message.method == "INVITE":
            task = asyncio.get_running_loop().create_task(self._answer(call, message))
            self._answering[call] = task
            task.add_done_callback(lambda done: self._answered(call, done))
        elif message.method in ("BYE", "CANCEL"):
            self.respond(message, 481)

    def _answered(self, call: str, done: asyncio.Task[None]) -> None:
        self._answering.pop(call, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            self.failures.append(error)

    @contextlib.contextmanager
    def hearing(self, call: str) -> Iterator[asyncio.Queue[RawMessage]]:
        """What comes with this Call-ID."""
        queue = self._heard[call] = asyncio.Queue()
        try:
            yield queue
        finally:
            del self._heard[call]

    def send(self, start: str, headers: Headers, body: str = "") -> None:
        """Send exactly this, with Content-Length added."""
        assert self._transport is not None
        lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}"]
        self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self.server)

    def respond(self, request: RawMessage, status: int, tag: str = "", body: str = "") -> None:
        """Answer a request (RFC 3261 §8.2.6)."""
        to = request["To"] if tag_of(request["To"]) or not tag else f"{request['To']};tag={tag}"
        headers: Headers = [("Via", via) for via in request.all("Via")]
        headers += [("From", request["From"]), ("To", to), ("Call-ID", request["Call-ID"]), ("CSeq", request["CSeq"])]
        if request.method == "INVITE":
            headers += [("Contact", f"<sip:soak@{HOST}:{self.port}>")]
        headers += [("Content-Type", "application/sdp")] if body else []
        self.send(f"SIP/2.0 {status} Soak", headers, body)

    # ---- the called side

    async def _answer(self, call: str, invite: RawMessage) -> None:
        """A whole call from its INVITE on: rings, answers or not, goes along until a BYE or CANCEL."""
        tag = secrets.token_hex(4)
        dialled = re.match(r"sips?:([^@;]+)", invite.target)
        manner = self._manner(dialled[1] if dialled else "")
        with self.hearing(call) as heard:
            if manner is Manner.BUSY:
                self.respond(invite, 486, tag)
                await self._until(heard, "ACK")
                return
            self.respond(invite, 180, tag)
            if manner is Manner.RINGS:
                cancel = await self._until(heard, "CANCEL")
                self.respond(cancel, 200, tag)
                self.respond(invite, 487, tag)
                await self._until(heard, "ACK")
                return
            await asyncio.sleep(RINGING_S)
            await self._talk_until_bye(invite, tag, heard)

    async def _talk_until_bye(self, invite: RawMessage, tag: str, heard: asyncio.Queue[RawMessage]) -> None:
        async with Sound.open() as sound:
            last = invite
            self._accept(last, tag, sound)
            while True:
                message = await asyncio.wait_for(heard.get(), PATIENCE_S)
                if message.method == "BYE" and message.status is None:
                    self.respond(message, 200)
                    return
                if message.method in ("INVITE", "UPDATE") and message.status is None:
                    last = message
                    self._accept(last, tag, sound)

    def _accept(self, request: RawMessage, tag: str, sound: Sound) -> None:
        if request.body:
            sound.to(request.media())
        held = "a=sendonly" in request.body
        body = sdp(HOST, sound.port, formats="0 8", direction="recvonly" if held else "sendrecv")
        self.respond(request, 200, tag, body)

    async def _until(self, heard: asyncio.Queue[RawMessage], method: str) -> RawMessage:
        while True:
            message = await asyncio.wait_for(heard.get(), PATIENCE_S)
            if message.method == method and message.status is None:
                return message


class Sound(asyncio.DatagramProtocol):
    """An RTP socket that says a little silence ten times a second, and counts what comes."""

    def __init__(self) -> None:
        self.port = 0
        self.received = 0
        self._first = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._far: tuple[str, int] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        transport, sound = await loop.create_datagram_endpoint(cls, local_addr=(HOST, 0))
        talking = loop.create_task(sound._talk())
        try:
            yield sound
        finally:
            talking.cancel()
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received += 1
        self._first.set()

    async def begun(self, seconds: float) -> None:
        """Return when the first packet has come, or after so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), seconds)

    def error_received(self, exc: Exception) -> None:
        """The far side has closed its port: the call ends."""

    def to(self, far: tuple[str, int]) -> None:
        """Where to send."""
        self._far = far

    async def _talk(self) -> None:
        number, source = 0, secrets.token_bytes(4)
        while True:
            if self._far is not None and self._transport is not None:
                head = RTP_HEAD + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + source
                self._transport.sendto(head + SILENCE, self._far)
                number = (number + 1) & 0xFFFF
            await asyncio.sleep(PACKET_S)


class Dialog:
    """The calling side of one call, or one registration."""

    def __init__(self, line: Line, user: str, number: str, password: str, heard: asyncio.Queue[RawMessage]) -> None:
        self._line, self._user, self._password, self._heard = line, user, password, heard
        self.call_id = ""
        self._local = f"<sip:{user}@{HOST}>;tag={secrets.token_hex(4)}"
        self._remote = f"<sip:{number}@{HOST}>"
        self._target = f"sip:{number}@{HOST}:{line.server[1]}"
        self._sequence = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, line: Line, user: str, number: str, password: str) -> Iterator[Self]:
        call_id = secrets.token_hex(10)
        with line.hearing(call_id) as heard:
            dialog = cls(line, user, number, password, heard)
            dialog.call_id = call_id
            yield dialog

    async def ask(self, method: str, body: str = "", more: Headers | None = None) -> RawMessage:
        """The final answer to a request, after one challenge where it comes to that; a refusal is acknowledged."""
        answer, _ = await self._final(method, body, more or [], None)
        for status, challenge, proof in (
            (401, "WWW-Authenticate", "Authorization"),
            (407, "Proxy-Authenticate", "Proxy-Authorization"),
        ):
            if answer.status == status:
                signed = credentials(
                    answer[challenge], user=self._user, password=self._password, method=method, uri=self._target
                )
                answer, _ = await self._final(method, body, [*(more or []), (proof, signed)], None)
                break
        return answer

    async def ask_and_cancel(self, body: str) -> RawMessage:
        """An INVITE that is cancelled when it rings; its final answer."""
        answer, _ = await self._final("INVITE", body, [], None)
        if answer.status not in (401, 407):
            raise Unexpected(f"no challenge, but {answer.start}")
        name, proof = (
            ("WWW-Authenticate", "Authorization")
            if answer.status == 401
            else ("Proxy-Authenticate", "Proxy-Authorization")
        )
        signed = credentials(answer[name], user=self._user, password=self._password, method="INVITE", uri=self._target)
        answer, sent = await self._final("INVITE", body, [(proof, signed)], 180)
        if answer.status != 180:
            raise Unexpected(f"it does not ring, but {answer.start}")
        same = dict(sent)
        cancel: Headers = [(key, same[key]) for key in ("Via", "Max-Forwards", "From", "To", "Call-ID")]
        self._line.send(f"CANCEL {self._target} SIP/2.0", [*cancel, ("CSeq", f"{self._sequence} CANCEL")])
        while answer.method != "INVITE" or (answer.status or 0) < 200:
            answer = await asyncio.wait_for(self._heard.get(), PATIENCE_S)
        self._acknowledge(sent, answer)
        return answer

    async def answer_bye(self) -> None:
        """Waits until the house hangs up."""
        while True:
            message = await asyncio.wait_for(self._heard.get(), PATIENCE_S)
            if message.status is None:
                self._line.respond(message, 200)
                if message.method == "BYE":
                    return

    async def _final(self, method: str, body: str, more: Headers, wanted: int | None) -> tuple[RawMessage, Headers]:
        """Sends it, again and again until something comes; the first answer of 200 and above, or `wanted`."""
        self._sequence += 1
        via = f"SIP/2.0/UDP {HOST}:{self._line.port};branch=z9hG4bK{secrets.token_hex(8)};rport"
        headers: Headers = [("Via", via), ("Max-Forwards", "70"), ("From", self._local), ("To", self._remote)]
        headers += [("Call-ID", self.call_id), ("CSeq", f"{self._sequence} {method}")]
        headers += [("Contact", f"<sip:{self._user}@{HOST}:{self._line.port}>"), *more]
        headers += [("Content-Type", "application/sdp")] if body else []
        heard = False
        for attempt in range(TRIES):
            self._line.send(f"{method} {self._target} SIP/2.0", headers, body)
            wait = T1_S * 2**attempt
            while True:
                try:
                    answer = await asyncio.wait_for(self._heard.get(), PATIENCE_S if heard else wait)
                except TimeoutError:
                    if heard:
                        raise Unexpected(f"no final answer to {method}") from None
                    break
                if answer.status is None:
                    self._line.respond(answer, 200)
                elif answer["CSeq"] == f"{self._sequence} {method}":
                    heard = True
                    if answer.status >= 200 or answer.status == wanted:
                        self._settle(method, headers, answer)
                        return answer, headers
        raise Unexpected(f"no answer at all to {method}")

    def _settle(self, method: str, sent: Headers, answer: RawMessage) -> None:
        if method != "INVITE" or (answer.status or 0) < 200:
            return
        self._acknowledge(sent, answer)

    def _acknowledge(self, sent: Headers, answer: RawMessage) -> None:
        """RFC 3261 §17.1.1.3 for refusals, §13.2.2.4 for a 2xx."""
        via = dict(sent)["Via"]
        if (answer.status or 0) < 300:
            self._remote, self._target = answer["To"], answer.contact()
            via = f"SIP/2.0/UDP {HOST}:{self._line.port};branch=z9hG4bK{secrets.token_hex(8)};rport"
        ack: Headers = [("Via", via), ("Max-Forwards", "70"), ("From", self._local), ("To", answer["To"])]
        ack += [("Call-ID", self.call_id), ("CSeq", f"{self._sequence} ACK")]
        self._line.send(f"ACK {self._target} SIP/2.0", ack)
