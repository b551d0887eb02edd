"""Requests as phones send them."""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.sip.flow import Flow, Transport
from pbxd.sip.message import Request, parse_message


def request(
    method: str = "REGISTER",
    *,
    user: str = "1001",
    contacts: Sequence[str] = (),
    headers: Sequence[str] = (),
    call_id: str = "call-1",
    cseq: int = 1,
) -> Request:
    """A request for `user`, through the parser as from the network."""
    lines = [
        f"{method} sip:127.0.0.1 SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.9:5062;rport;branch=z9hG4bK1",
        f"From: <sip:{user}@127.0.0.1>;tag=1",
        f"To: <sip:{user}@127.0.0.1>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *(f"Contact: {contact}" for contact in contacts),
        *headers,
        "Content-Length: 0",
    ]
    parsed = parse_message("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(parsed, Request)
    return parsed


def udp(host: str = "10.0.0.9", port: int = 5062) -> Flow:
    """A datagram's way here."""
    return Flow(Transport.UDP, ("10.0.0.1", 5060), (host, port), socket=1)


def tcp(host: str = "10.0.0.9", port: int = 40000, connection: int = 7) -> Flow:
    """A connection's way here."""
    return Flow(Transport.TCP, ("10.0.0.1", 5060), (host, port), connection=connection)
