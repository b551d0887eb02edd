"""Where a request really comes from: a proxy's word is taken only where the proxy is trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` of who asks, empty on the Unix socket; `secure` when nobody on the way could read along."""

    address: str
    secure: bool


class Origins:
    """Tells the origin of requests. `proxies` may be assigned anew at any time."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self.proxies = proxies

    def of(self, request: web.Request) -> Origin:
        """The nearest address that is not a trusted proxy's. X-Forwarded-For is read from its end: what stands before
        the first stranger was written by that stranger."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if not isinstance(peer, tuple):
            return Origin("", secure=True)
        address, secure = str(peer[0]), request.secure
        if not self._trusted(address):
            return Origin(address, secure)
        proto = request.headers.getall("X-Forwarded-Proto", ())
        secure = secure or bool(proto and proto[-1].rpartition(",")[2].strip().lower() == "https")
        hops = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            named = _literal(hop)
            if named is None:
                break
            address = named
            if not self._trusted(address):
                break
        return Origin(address, secure)

    def _trusted(self, address: str) -> bool:
        if not self.proxies:
            return False
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self.proxies)


def _literal(hop: str) -> str | None:
    """The address of one hop, which some proxies write with a port; None where it is none."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
