"""The session timer (RFC 4028): who must show up again, and when the other gives up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pbxd.sip.headers import Headers
from pbxd.sip.message import Request, Response, parse_seconds

FLOOR_S = 90
"""RFC 4028 §4: no session interval below this, whoever asks."""
SHORTEST_S = 10
"""What a peer answers with is not judged by its Min-SE, but never makes us refresh in a frenzy."""


class SessionTimer:
    """What two sides agreed about refreshing, from our side. It only computes: whoever owns it keeps the clock.

    `expires` is what we ask for (0: nothing), `min_se` the least we take; both in seconds. `interval` is what holds
    now, None when the session never expires, and `we_refresh` says whose turn it is.
    """

    __slots__ = ("expires", "interval", "min_se", "we_refresh")

    def __init__(self, expires: int, min_se: int) -> None:
        self.min_se = max(min_se, FLOOR_S)
        self.expires = max(expires, self.min_se) if expires else 0
        self.interval: int | None = None
        self.we_refresh = False

    # ---- when

    @property
    def refresh_after(self) -> float | None:
        """Seconds from the last refresh to ours; None when it is not ours to do (RFC 4028 §7.2: half the interval)."""
        return self.interval / 2 if self.interval is not None and self.we_refresh else None

    @property
    def expires_after(self) -> float | None:
        """Seconds from the last refresh to our BYE (RFC 4028 §10: a third of the interval or 32 s before its end)."""
        return None if self.interval is None else self.interval - min(32.0, self.interval / 3)

    # ---- our requests, their responses

    def ask(self, headers: Headers) -> None:
        """Puts Session-Expires and Min-SE into an INVITE or UPDATE of ours (RFC 4028 §7.1, §7.4)."""
        if self.interval is not None:
            headers.add(
                "Session-Expires", f"{max(self.interval, self.min_se)};refresher={'uac' if self.we_refresh else 'uas'}"
            )
        elif self.expires:
            headers.add("Session-Expires", str(self.expires))
        else:
            return
        if self.min_se > FLOOR_S:
            headers.add("Min-SE", str(self.min_se))

    def accept(self, response: Response) -> None:
        """Takes what a 2xx to an INVITE or UPDATE of ours says; without Session-Expires it switches the timer off
        (RFC 4028 §7.2). A refresher that is missing or unknown means us: then the session lives at least."""
        interval, refresher = _session_expires(response.headers)
        self.interval = None if interval is None else max(interval, SHORTEST_S)
        self.we_refresh = refresher != "uas"

    def too_small(self, response: Response) -> bool:
        """Takes the Min-SE of a 422. False if asking again would not change anything (RFC 4028 §7.3)."""
        wanted = _delta(response.headers.get("Min-SE"))
        if wanted is None or wanted <= self.min_se:
            return False
        self.min_se = wanted
        self.expires = max(self.expires, wanted)
        return True

    # ---- their requests, our responses

    def refusal(self, request: Request) -> int | None:
        """The Min-SE to answer a 422 with when the peer asks for less than we take and can be told so
        (RFC 4028 §9), else None."""
        asked = _delta(request.headers.get("Session-Expires"))
        return self.min_se if asked is not None and asked < self.min_se and "timer" in request.supported else None

    def grant(self, request: Request, headers: Headers) -> None:
        """Settles the timer for an INVITE or UPDATE of theirs and says so in our 2xx (RFC 4028 §9 and its table 2).
        A peer that neither asks for one nor knows of it is left alone."""
        asked, refresher = _session_expires(request.headers)
        knows = "timer" in request.supported
        least = max(_delta(request.headers.get("Min-SE")) or 0, self.min_se)
        if asked is None and not (knows and self.expires):
            self.interval = None
            return
        wanted = min(asked, self.expires) if asked is not None and self.expires else (asked or self.expires)
        self.interval = max(wanted, least)
        self.we_refresh = not knows or refresher == "uas" or (refresher is None and self.we_refresh)
        headers.add("Session-Expires", f"{self.interval};refresher={'uas' if self.we_refresh else 'uac'}")
        if knows:
            headers.add("Require", "timer")

    # ---- plain data

    def to_plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        timer = cls(plain["expires"], plain["min_se"])
        timer.interval, timer.we_refresh = plain["interval"], plain["we_refresh"]
        return timer


def _session_expires(headers: Headers) -> tuple[int | None, str | None]:
    """The Session-Expires of a message and its refresher. What cannot be read counts as not there."""
    value = headers.get("Session-Expires")
    if value is None:
        return None, None
    refresher = None
    for param in value.split(";")[1:]:
        name, _, setting = param.partition("=")
        if name.strip().lower() == "refresher":
            refresher = setting.strip().lower()
    return _delta(value), refresher if refresher in ("uac", "uas") else None


def _delta(value: str | None) -> int | None:
    """delta-seconds (RFC 3261 §25.1) before any parameter."""
    return None if value is None else parse_seconds(value.partition(";")[0].strip())
