"""How a session ended: the last thing a session says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pbxd.sip.message import Request, Response


class EndCause(Enum):
    """Whose doing the end was, in the words of SIP."""

    REMOTE_BYE = auto()
    """The peer hung up an answered call."""
    REMOTE_CANCEL = auto()
    """The caller gave up before we answered (CANCEL, or BYE in an early dialog)."""
    REJECTED = auto()
    """Our INVITE got a final response of 300 or more: `status`, and `message` with the contacts of a 3xx."""
    TIMEOUT = auto()
    """No answer at all: our INVITE or an in-dialog request timed out or got 408 (then the status is 408)."""
    TRANSPORT = auto()
    """The way to the peer is dead and no other is known."""
    SESSION_EXPIRED = auto()
    """RFC 4028: nobody refreshed the session in time."""
    NO_ACK = auto()
    """Our 2xx was never acknowledged (RFC 3261 §13.3.1.4), or our reliable 18x never got its PRACK (RFC 3262 §3)."""
    LOCAL_HANGUP = auto()
    """`hangup` or `cancel` was called."""
    LOCAL_REJECT = auto()
    """`reject` was called, or `hangup` before the answer."""
    PROTOCOL = auto()
    """The peer broke a rule nobody can go on from: 481 in dialog, an answer that never came."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The reason of an end. `status` is the SIP status that ended it, ours or theirs, where there was one;
    `reason_header` the Reason (RFC 3326) the peer gave; `message` the peer's message that ended it."""

    cause: EndCause
    status: int | None = None
    reason_header: str | None = None
    message: Request | Response | None = None
