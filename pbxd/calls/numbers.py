"""Payload type numbers of one session: a number that meant something keeps its meaning (RFC 3264 §8.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pbxd.sip.sdp import MediaLine

DYNAMIC = range(96, 128)

Meaning = tuple[str, int, int]  # encoding name, clock, channels


@dataclass(slots=True)
class PayloadTypes:
    """What each number was said to mean, by either side, from its first mention on."""

    _numbers: dict[Meaning, int] = field(default_factory=dict)
    _meanings: dict[int, Meaning] = field(default_factory=dict)

    def learn(self, line: MediaLine) -> None:
        """Takes up the numbers of an offer, so that ours will be the same."""
        for form in line.formats:
            if form.name and isinstance(form.pt, int) and form.pt in DYNAMIC:
                self._note((form.name, form.rate, form.channels), form.pt)

    def number(self, name: str, clock: int, channels: int, wanted: int) -> int:
        """The number for a format in an offer of ours: the one it has, else `wanted` if that is free, else any."""
        meaning = name, clock, channels
        known = self._numbers.get(meaning)
        if known is not None:
            return known
        number = wanted
        if wanted in self._meanings:
            number = next((free for free in DYNAMIC if free not in self._meanings), wanted)
        self._note(meaning, number)
        return number

    def _note(self, meaning: Meaning, number: int) -> None:
        if self._meanings.setdefault(number, meaning) == meaning:
            self._numbers.setdefault(meaning, number)
