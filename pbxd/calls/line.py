"""What the legs of one called party hold together: a line of a trunk, or one of the calls that a user may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Line:
    """Held by `holders` legs; given back when the last one has gone, with the monotonic time and how long somebody
    talked, in seconds."""

    give_back: Callable[[float, float], None]
    holders: int = 1
    talked_s: float = 0.0

    def drop(self, now: float, talked_s: float = 0.0) -> None:
        """One of them has gone."""
        self.holders -= 1
        self.talked_s = max(self.talked_s, talked_s)
        if self.holders == 0:
            self.give_back(now, self.talked_s)
