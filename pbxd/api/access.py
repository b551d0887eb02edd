"""Who asks: an API key in `X-API-Key` or `Authorization: Bearer`, or the local user on the Unix socket."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable

from aiohttp import web

from pbxd.api.contract import Identity
from pbxd.errors import Denied, Unauthorized

FindKey = Callable[[str], Identity | None]
"""The identity behind a plain API key, or None; takes the same time for both."""

MAX_KEY_LENGTH = 256
LOCAL = "local"

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Access:
    """Identifies requests. Being on this machine counts only on the Unix socket, never by address (DESIGN §4)."""

    def __init__(self, find_key: FindKey) -> None:
        self._find_key = find_key
        self._trusted_uids = frozenset({0, os.getuid()})

    def identify(self, request: web.Request) -> Identity:
        """Who asks. Raises Unauthorized without a known key, Denied for another user of this machine."""
        uid = peer_uid(request)
        if uid is not None:
            if uid not in self._trusted_uids:
                raise Denied("this socket is for root and for the user the daemon runs as")
            return Identity(LOCAL, None, frozenset({"*"}))
        key = key_of(request)
        identity = self._find_key(key) if key else None
        if identity is None:
            raise Unauthorized("give a known API key in X-API-Key or Authorization: Bearer")
        return identity


def peer_uid(request: web.Request) -> int | None:
    """The user id of the process at the other end of a Unix socket; None on any other connection.

    Raises Denied where the connection is gone or does not say.
    """
    connection: socket.socket | None = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        raise Denied("the connection is gone")
    if connection.family != socket.AF_UNIX:
        return None
    _pid, uid, _gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def key_of(request: web.Request) -> str | None:
    """The key that a request brings in `X-API-Key` or as a bearer, if any."""
    key = request.headers.get("X-API-Key")
    if key is None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        key = value.strip() if scheme.lower() == "bearer" else None
    return key if key and len(key) <= MAX_KEY_LENGTH else None
