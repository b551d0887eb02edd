"""A stack without a network, for messages written by hand."""

from __future__ import annotations

from random import Random

from pbxd.sip.flow import Flow, Outgoing, Transport
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.stack import Limits, Stack
from pbxd.sip.transaction import Failure, ServerTransaction

HOME = ("10.0.0.9", 5060)
AWAY = ("192.0.2.7", 40_000)
OVER_UDP = Flow(Transport.UDP, HOME, AWAY, socket=2)


class Lonely:
    """Its core keeps what it is asked, answers nothing but CANCELs, and raises what it is told to."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.stack = Stack(via=lambda _: HOME, user_agent="lonely", rng=Random(7), limits=limits)
        self.stack.core = self
        self.asked: list[ServerTransaction] = []
        self.acked: list[Request] = []
        self.failures: list[Failure] = []
        self.raises: Exception | None = None

    def ask(self, head: str, flow: Flow = OVER_UDP, now: float = 0.0) -> list[Outgoing]:
        """What goes out, each message once: without rport it goes to two ports."""
        self.stack.receive(head.encode(), flow, now)
        return self.taken()

    def taken(self) -> list[Outgoing]:
        return list({outgoing.data: outgoing for outgoing in reversed(self.stack.take_outgoing())}.values())[::-1]

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.asked.append(transaction)
        if self.raises is not None:
            raise self.raises

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        self.acked.append(request)

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.stack.respond(transaction, response_to(transaction.request, 487), now)

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        self.failures.append(failure)

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        """Nobody here asked anything."""


def options(via: str = "SIP/2.0/UDP 192.0.2.7:5099;branch=z9hG4bKa", method: str = "OPTIONS", **headers: str) -> str:
    lines = {
        "Via": via,
        "From": "<sip:a@example.com>;tag=1",
        "To": "<sip:b@example.com>",
        "Call-ID": "one",
        "CSeq": f"1 {method}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} sip:b@example.com SIP/2.0\r\n{head}Content-Length: 0\r\n\r\n"


def status_of(outgoing: Outgoing) -> int:
    message = parse_message(outgoing.data)
    assert isinstance(message, Response)
    return message.status
