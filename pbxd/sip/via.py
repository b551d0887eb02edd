"""The topmost Via at work: what we write into ours, and which way the responses to a peer's go.

Whatever a Via claims, a response leaves by the socket or connection its request came in on.
"""

from __future__ import annotations

from pbxd.sip.flow import Destination, Flow
from pbxd.sip.grammar import format_host
from pbxd.sip.headers import Via
from pbxd.sip.message import Request

COOKIE = "z9hG4bK"  # RFC 3261 §8.1.1.7: begins every branch that is unique


def stamp(request: Request, flow: Flow) -> None:
    """Write into the topmost Via where the request really came from (RFC 3261 §18.2.1, RFC 3581 §4)."""
    via = request.via
    host, port = flow.remote
    if "rport" in via.params:
        request.headers.replace_first("Via", str(via.with_params(received=host, rport=str(port))))
    elif via.host != host or "received" in via.params:
        request.headers.replace_first("Via", str(via.with_params(received=host)))


def way_back(via: Via, flow: Flow) -> Destination:
    """Where the responses to a request with this Via go (RFC 3261 §18.2.2, RFC 3581 §4).

    On a stream that is its connection; host and port are those to connect to when it is gone. Not what RFC 3261
    §18.2.2 says: maddr is ignored, for it would let anyone aim our responses at others.
    """
    transport = flow.transport
    host, port = flow.remote
    if transport.reliable or "rport" not in via.params:
        port = via.port or transport.default_port
    return Destination(transport, host, port, flow)


def second_way_back(via: Via, flow: Flow) -> Destination | None:
    """Where a response goes as well, or None.

    Not what RFC 3261 §18.2.2 says: a request without rport gets its answer at the port of its Via and at the one it
    came from. Some phones listen only at the first; a NAT lets through only what comes back to the second.
    """
    transport = flow.transport
    if transport.reliable or "rport" in via.params or (via.port or transport.default_port) == flow.remote[1]:
        return None
    return Destination(transport, *flow.remote, flow)


def via_value(transport: str, host: str, port: int, branch: str) -> str:
    """A Via of ours; it always asks for rport (RFC 3581 §3)."""
    return f"SIP/2.0/{transport} {format_host(host)}:{port};branch={branch};rport"
