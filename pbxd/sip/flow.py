"""Where a message came from and where one goes: the values every SIP layer shares with its shells."""

from __future__ import annotations

from dataclasses import dataclass

from pbxd.sip.symbol import Symbol


class Transport(Symbol):
    """A transport of RFC 3261 §18; the value is its name in a Via."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def reliable(self) -> bool:
        return self is not Transport.UDP

    @property
    def secure(self) -> bool:
        return self is Transport.TLS

    @property
    def default_port(self) -> int:
        return 5061 if self is Transport.TLS else 5060


def place(transport: Transport, host: str, port: int) -> str:
    """A transport address in words, for records and logs: `udp:192.0.2.7:5060`, `tls:[2001:db8::1]:5061`."""
    return f"{transport.value.lower()}:[{host}]:{port}" if ":" in host else f"{transport.value.lower()}:{host}:{port}"


@dataclass(frozen=True, slots=True)
class Flow:
    """The way one message came in; its answer goes out the same way (RFC 3261 §18.2.2, RFC 3581, RFC 5626).

    `local` and `remote` are (IP literal without brackets, port). `socket` is the index of the UDP socket,
    `connection` the number of the stream connection, each 0 where it does not apply; both start at 1.
    """

    transport: Transport
    local: tuple[str, int]
    remote: tuple[str, int]
    socket: int = 0
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """One place a request can be sent to: the outcome of RFC 3263, an IP literal. `flow` names a connection or
    socket to reuse; `server_name` is what the certificate of a TLS peer must say."""

    transport: Transport
    host: str
    port: int
    flow: Flow | None = None
    server_name: str | None = None


@dataclass(slots=True)
class Outgoing:
    """One message for the shell to send. `transaction` is told when it cannot be sent."""

    data: bytes
    destination: Destination
    transaction: object | None = None
