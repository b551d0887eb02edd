"""One question to a STUN server: which address do you see? (RFC 8489, Binding without authentication)"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct

PORT = 3478
TIMEOUT_S = 1.0
TRIES = 3
_COOKIE = 0x2112A442
_BINDING, _SUCCESS = 0x0001, 0x0101
_MAPPED, _XOR_MAPPED = 0x0001, 0x0020
_V4, _V6 = 1, 2


def seen_by(server: str) -> tuple[str, int]:
    """The address and port that `server` (`host` or `host:port`) sees us at, over IPv4 if it has that.

    Raises OSError when it cannot be found, does not answer within 3 s or answers nonsense.
    """
    host, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    found = socket.getaddrinfo(host, int(port or PORT), type=socket.SOCK_DGRAM)
    family, kind, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    transaction = secrets.token_bytes(12)
    with socket.socket(family, kind) as asking:
        asking.settimeout(TIMEOUT_S)
        asking.connect(address)
        for _ in range(TRIES):
            asking.send(struct.pack("!HHI", _BINDING, 0, _COOKIE) + transaction)
            try:
                return mapped_address(asking.recv(2048), transaction)
            except TimeoutError:
                continue
    raise TimeoutError(f"{server} does not answer")


def mapped_address(message: bytes, transaction: bytes) -> tuple[str, int]:
    """What a Binding success response to `transaction` says. Raises OSError."""
    if len(message) < 20 or message[8:20] != transaction:
        raise OSError("the answer is not to our question")
    kind, length, cookie = struct.unpack_from("!HHI", message)
    if kind != _SUCCESS or cookie != _COOKIE or 20 + length > len(message):
        raise OSError("the answer is not a Binding success response")
    at, plain = 20, None
    while at + 4 <= 20 + length:
        attribute, size = struct.unpack_from("!HH", message, at)
        value = message[at + 4 : min(at + 4 + size, 20 + length)]
        if attribute == _XOR_MAPPED and len(value) == size:
            return _address(value, message[4:20])
        if attribute == _MAPPED and len(value) == size:
            plain = _address(value, bytes(16))
        at += 4 + (size + 3) // 4 * 4
    if plain is None:
        raise OSError("the answer holds no address")
    return plain


def _address(value: bytes, mask: bytes) -> tuple[str, int]:
    """RFC 8489 §14.1 and §14.2: the port is masked by the cookie, the address by the cookie and the transaction."""
    size = {_V4: 4, _V6: 16}.get(value[1]) if len(value) >= 4 else None
    if size is None or len(value) != 4 + size:
        raise OSError("the answer holds no address")
    (port,) = struct.unpack_from("!H", value, 2)
    host = bytes(one ^ other for one, other in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(host)), port ^ int.from_bytes(mask[:2], "big")
