"""A peer that says what a test writes, right or wrong: no stack, no dialog, no retransmission."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TypeVar

from pbxd.sip.flow import Flow, Outgoing, Transport
from pbxd.sip.message import Message, Request, Response, parse_message, response_to
from pbxd.sip.uri import Uri
from tests.wire import Host, Wire

HeaderList = Sequence[tuple[str, str]]
M = TypeVar("M", bound=Message)


class Script(Host):
    """`got` is what came, in order."""

    def __init__(self, wire: Wire, name: str, *, behind: tuple[str, int] | None = None) -> None:
        self.got: list[Request | Response] = []
        self._outgoing: list[Outgoing] = []
        self._branch = count(1)
        super().__init__(wire, name, self, behind=behind)
        self.contact = f"<sip:{name}@{self.address[0]}:{self.address[1]}>"

    # ---- Node

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.got.append(parse_message(data))

    def take_outgoing(self) -> list[Outgoing]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        """It has no timers."""

    # ---- what came

    def request(self, method: str) -> Request:
        """The last request of that method."""
        return [each for each in self.got if isinstance(each, Request) and each.method == method][-1]

    def requests(self, method: str) -> list[Request]:
        """Each once, however often it was sent."""
        came = [each for each in self.got if isinstance(each, Request) and each.method == method]
        return list({each.via.branch: each for each in came}.values())

    def response(self, method: str) -> Response:
        """The last response to a request of that method."""
        return [each for each in self.got if isinstance(each, Response) and each.cseq.method == method][-1]

    # ---- what it says

    def reply(
        self,
        to: Host,
        request: Request,
        status: int,
        *,
        tag: str = "script",
        headers: HeaderList = (),
        sdp: bytes = b"",
        contact: bool = True,
    ) -> Response:
        response = response_to(request, status, to_tag=tag)
        if contact:
            response.headers.add("Contact", self.contact)
        return self._say(to, response, headers, sdp)

    def ask(
        self,
        to: Host,
        method: str,
        number: int,
        *,
        call_id: str = "script-call",
        from_tag: str = "script",
        to_tag: str | None = None,
        headers: HeaderList = (),
        sdp: bytes = b"",
        contact: bool = True,
        branch: str | None = None,
        transport: Transport = Transport.UDP,
    ) -> Request:
        request = Request(method, Uri.sip(to.name, *to.address))
        add = request.headers.add
        host, port = self.address
        branch = branch or f"z9hG4bK{self.name}{next(self._branch)}"
        add("Via", f"SIP/2.0/{transport.value} {host}:{port};rport;branch={branch}")
        add("Max-Forwards", "70")
        add("From", f"<sip:{self.name}@example.com>;tag={from_tag}")
        add("To", f"<sip:{to.name}@example.com>" + (f";tag={to_tag}" if to_tag else ""))
        add("Call-ID", call_id)
        add("CSeq", f"{number} {method}")
        if contact:
            add("Contact", self.contact)
        return self._say(to, request, headers, sdp, transport)

    def _say(self, to: Host, message: M, headers: HeaderList, sdp: bytes, transport: Transport = Transport.UDP) -> M:
        for name, value in headers:
            message.headers.add(name, value)
        if sdp:
            message.headers.add("Content-Type", "application/sdp")
            message.body = sdp
        self._outgoing.append(Outgoing(message.to_bytes(), to.destination(transport)))
        self.wire.settle()
        return message
