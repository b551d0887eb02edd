"""What a session may do: one frozen value shared by all sessions of a kind (phones, a trunk)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from pbxd.sip.flow import Destination
from pbxd.sip.uri import Uri


class Reliability(Enum):
    """When our 18x go out reliably (RFC 3262)."""

    WHEN_REQUIRED = auto()
    """Only if the peer's INVITE has Require: 100rel."""
    WHEN_SUPPORTED = auto()
    """Whenever the peer's INVITE has it in Supported or Require."""


@dataclass(frozen=True, slots=True)
class Account:
    """Our identity in a realm: a password, or HA1 by algorithm name ("MD5", "SHA-256") when only that is kept."""

    username: str
    password: str | None = None
    ha1s: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Account({self.username!r}, ...)"


Resolve = Callable[[Uri, Callable[[Sequence[Destination]], None]], None]
"""RFC 3263 for a URI whose host is a name: calls back at once or later, with what it found (maybe nothing)."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Times are seconds."""

    allow: tuple[str, ...] = (
        "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO", "MESSAGE", "NOTIFY", "REFER",
        "SUBSCRIBE",
    )  # fmt: skip
    """Methods of our Allow header (RFC 3261 §20.5)."""
    supported: tuple[str, ...] = ("100rel", "timer")
    """Option tags we understand: our Supported header, and what a Require may ask for."""
    accept: tuple[str, ...] = ("application/sdp",)
    """Body types named in our Accept header."""
    reliable: Reliability = Reliability.WHEN_REQUIRED
    session_expires: int = 1800
    """What we ask for (RFC 4028); 0: we ask for nothing and only honour what the peer asks for."""
    min_se: int = 90
    """Shorter sessions are refused with 422; never below 90 (RFC 4028 §4)."""
    symmetric: bool = True
    """Requests in the dialog go back the way the peer's last message came when its Contact names another place
    (a phone behind NAT). False: the Contact or the route set decides alone, as RFC 3261 §12.2.1.1 has it."""
    credentials: Callable[[str], Account | None] | None = None
    """Realm to account: answers a 401 or 407 to any request of ours. None: challenges are plain refusals."""
    resolve: Resolve | None = None
    """Finds the next hop of a dialog when it is a name. None: the way the last message came is used instead."""
    allow_text: str = field(init=False, repr=False, compare=False)
    supported_text: str = field(init=False, repr=False, compare=False)
    accept_text: str = field(init=False, repr=False, compare=False)
    options: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow_text", ", ".join(self.allow))
        object.__setattr__(self, "supported_text", ", ".join(self.supported))
        object.__setattr__(self, "accept_text", ", ".join(self.accept))
        object.__setattr__(self, "options", frozenset(self.supported))

    @property
    def timed(self) -> bool:
        """Whether RFC 4028 is among what we do."""
        return "timer" in self.options
