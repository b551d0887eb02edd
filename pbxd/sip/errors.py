"""What can go wrong with a SIP message, and what to answer.

SipError
└── ParseError      the peer wrote something that cannot be read; `status` and `reason` are the answer it deserves
    └── SdpError    the session description inside cannot be read (400) or cannot be used (488)
"""

from __future__ import annotations

from typing import Any


class SipError(Exception):
    """Base of all errors of the SIP floor."""


class ParseError(SipError):
    """A message, header or URI that breaks the grammar. The only exception a parser raises.

    `status` and `reason` make the response. `request` is a best-effort `Request` that `response_to()` can answer, or
    None when there must be no answer: responses, ACKs, and requests without a readable Via (RFC 3261 §18.2.2).
    `reason` never holds text of the peer.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.request: Any = None


class SdpError(ParseError):
    """A session description that cannot be read (400) or not be used (488)."""
