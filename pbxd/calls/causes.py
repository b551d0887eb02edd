"""Between the numbers of SIP and of Q.850 (RFC 3398 §7.2.4, §8.2.6.1), and the Reason header (RFC 3326)."""

from __future__ import annotations

import re

from pbxd.sip.session import EndCause, Ending

NORMAL_CLEARING = 16
NO_ANSWER = 19
RECOVERY_ON_TIMER = 102
NO_CIRCUIT = 34
TEMPORARY_FAILURE = 41
CONGESTION = 42

_Q850_OF_STATUS = {
    200: 16,
    400: 41,
    401: 21,
    402: 21,
    403: 21,
    404: 1,
    405: 63,
    406: 79,
    407: 21,
    408: 102,
    410: 22,
    413: 127,
    414: 127,
    415: 79,
    416: 127,
    420: 127,
    480: 18,
    481: 41,
    482: 25,
    483: 25,
    484: 28,
    485: 1,
    486: 17,
    487: 16,
    488: 65,
    500: 41,
    501: 79,
    502: 38,
    503: 41,
    504: 102,
    505: 127,
    513: 127,
    600: 17,
    603: 21,
    604: 1,
    606: 65,
}

_Q850_IN_REASON = re.compile(r"(?:^|,)\s*Q\.850\s*(?:;[^,]*?)?;\s*cause\s*=\s*(\d{1,3})", re.IGNORECASE)


def q850_of(status: int) -> int:
    """The Q.850 cause that says what a SIP status says; 127 (interworking) where nothing does."""
    if status in _Q850_OF_STATUS:
        return _Q850_OF_STATUS[status]
    return NORMAL_CLEARING if 200 <= status < 300 else 127


def q850_in(reason_header: str | None) -> int | None:
    """The Q.850 cause that a Reason header names, or None."""
    found = _Q850_IN_REASON.search(reason_header or "")
    return int(found.group(1)) if found else None


def passed_on(status: int) -> int:
    """The final status that the other side is told. A redirect or a challenge is between us and who sent it."""
    return 480 if 300 <= status < 400 or status in (401, 407) else status


def reason_q850(cause: int, text: str = "") -> str:
    """A Reason header for a Q.850 cause; `text` must be ours, not the far side's."""
    return f'Q.850;cause={cause};text="{text}"' if text else f"Q.850;cause={cause}"


COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


def whose_doing(ending: Ending) -> str:
    """An ending in words, for the record."""
    return _WORDS[ending.cause]


_WORDS = {
    EndCause.REMOTE_BYE: "hung up",
    EndCause.REMOTE_CANCEL: "gave up before the answer",
    EndCause.REJECTED: "refused",
    EndCause.TIMEOUT: "did not answer our messages",
    EndCause.TRANSPORT: "could not be reached",
    EndCause.SESSION_EXPIRED: "did not refresh the session",
    EndCause.NO_ACK: "never acknowledged the answer",
    EndCause.LOCAL_HANGUP: "was hung up by the house",
    EndCause.LOCAL_REJECT: "was refused by the house",
    EndCause.PROTOCOL: "broke the protocol",
}
