"""What the shells could not carry, and why connections end: every loss has a name, and is counted by it."""

from __future__ import annotations

from enum import Enum


class Loss(Enum):
    """Why a message was not sent, or not taken in; counted in `Transports.losses`."""

    SEND_BUFFER_FULL = "the kernel's send buffer was full; the transaction sends again"
    NETWORK = "the network refused it"
    NOT_AN_ADDRESS = "its destination is no address"
    NO_SOCKET = "no UDP socket of its address family"
    FLOW_GONE = "its connection is gone"
    SLOW_READER = "the peer does not read what we send"
    PENDING_FULL = "too many messages wait for its connection"
    OPENING_FULL = "too many connections are being opened"
    CONNECTIONS_FULL = "more connections than allowed"
    NO_TLS = "TLS is not set up"
    UNREACHABLE = "the peer could not be reached"
    HANDSHAKE = "the TLS handshake failed, or the peer did not prove its name"
    NO_FILES = "no file descriptor is left for a connection"
    STOPPED = "the daemon stops"
    FAULT = "a bug of ours: it costs one message, never the loop"


class Closing(Enum):
    """Why a connection ended or was not made; counted in `Connections.closings`."""

    PEER = "the peer closed it"
    BROKEN = "the network broke it"
    IDLE = "nothing was said for the idle time"
    SILENT = "accepted, and no message came"
    HALF_MESSAGE = "a message began and did not end in time"
    FRAMING = "what came cannot be cut into messages"
    SLOW_READER = "the peer does not read what we send"
    FULL = "more connections than allowed"
    FULL_SOURCE = "more connections from one address than allowed"
    REFUSED = "the address may not connect"
    HANDSHAKE = "the TLS handshake failed"
    CONNECT = "the peer could not be reached"
    NO_FILES = "no file descriptor is left to accept it with"
    STOPPED = "the daemon stops"
